// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/collection.h"

#include <errno.h>
#include <stdlib.h>

#include "py/object.h"

/* CNT words at AT; *OUT is the caller's. */
static int read_words(const struct py_target *t, uint64_t at, size_t cnt, uint64_t **out)
{
	int err;

	*out = NULL;
	if (!cnt)
		return 0;
	*out = calloc(cnt, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	err = mem__read(t->mem, at, *out, cnt * sizeof(**out));
	if (err) {
		free(*out);
		*out = NULL;
	}
	return err;
}

int set__members(const struct py_target *t, uint64_t addr, uint64_t **member, size_t *cnt)
{
	const struct py_layout *l = &t->layout;
	uint64_t mask, table;
	size_t kept = 0;
	int err;

	*cnt = 0;
	*member = NULL;
	err = mem__read_u64(t->mem, addr + l->set.mask, &mask);
	if (!err)
		err = mem__read_u64(t->mem, addr + l->set.table, &table);
	if (err)
		return err;
	if (mask >= COLLECTION_MAX)
		return -E2BIG;
	err = read_words(t, table, 2 * (mask + 1), member); /* object, hash */
	for (size_t i = 0; !err && i <= mask; i++)
		if ((*member)[2 * i])
			(*member)[kept++] = (*member)[2 * i];
	*cnt = kept;
	return err;
}

int list__items(const struct py_target *t, uint64_t addr, uint64_t **item, size_t *cnt)
{
	const struct py_layout *l = &t->layout;
	uint64_t n, at;
	int err;

	*cnt = 0;
	*item = NULL;
	err = mem__read_u64(t->mem, addr + l->object.var_size, &n);
	if (!err)
		err = mem__read_u64(t->mem, addr + l->list.items, &at);
	if (err)
		return err;
	if (n > COLLECTION_MAX)
		return -E2BIG;
	err = read_words(t, at, n, item);
	*cnt = err ? 0 : n;
	return err;
}

int module__dict(const struct py_target *t, uint64_t interp, const char *name, uint64_t *dict)
{
	uint64_t modules, module;
	int err;

	*dict = 0;
	err = mem__read_u64(t->mem, interp + t->layout.interp.modules, &modules);
	if (!err)
		err = object__dict_get(t, modules, name, &module);
	if (!err)
		err = mem__read_u64(t->mem, module + t->layout.module.dict, dict);
	return err;
}
