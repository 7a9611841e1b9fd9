// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/objects.h"

#include <errno.h>

int objects__read(const struct py_target *t, struct objects *o, size_t cnt, size_t len)
{
	int err;

	for (size_t i = 0; i < cnt; i++)
		o->range[i] = (struct mem_range){ o->addr[i], o->buf[i], len, 0 };
	err = mem__readv(t->mem, o->range, cnt);
	return err == -EFAULT ? 0 : err;
}
