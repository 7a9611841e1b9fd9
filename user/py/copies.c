// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/copies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COPIES 4096 /* one for each thread */
#define FEW_COPIES 64

void copies__free(struct copies *c)
{
	free(c->addr);
	*c = (struct copies){ 0 };
}

size_t copies__len(const struct copies *c)
{
	return c->cnt && c->cnt <= FEW_COPIES ? 8 + 8 * c->cnt : 0;
}

int copies__again(struct copies *c, const uint8_t *data)
{
	uint64_t cnt;

	memcpy(&cnt, data, sizeof(cnt));
	if (cnt != c->cnt)
		return -EAGAIN;
	memcpy(c->addr, data + sizeof(cnt), cnt * sizeof(*c->addr));
	return 0;
}

int copies__load(struct mem *mem, struct copies **list, size_t cnt, struct mem_range *range)
{
	size_t n = 0;
	int err;

	for (size_t i = 0; i < cnt; i++)
		range[i] = (struct mem_range){ list[i]->at, &list[i]->cnt, 8, 0 };
	err = mem__readv(mem, range, cnt);
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < cnt; i++) {
		struct copies *c = list[i];

		free(c->addr);
		c->addr = NULL;
		if (range[i].err || c->cnt > MAX_COPIES)
			c->cnt = 0;
		if (!c->cnt)
			continue;
		c->addr = calloc(c->cnt, sizeof(*c->addr));
		if (!c->addr) {
			c->cnt = 0;
			return -ENOMEM;
		}
		list[n++] = c;
	}
	for (size_t i = 0; i < n; i++)
		range[i] =
			(struct mem_range){ list[i]->at + 8, list[i]->addr, list[i]->cnt * 8, 0 };
	err = mem__readv(mem, range, n);
	for (size_t i = 0; i < n; i++)
		if (range[i].err)
			list[i]->cnt = 0;
	return err == -EFAULT ? 0 : err;
}
