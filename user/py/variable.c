// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/variable.h"

#include <errno.h>
#include <stdlib.h>

#include "py/object.h"

#define MAX_LOCALS 256 /* of one frame */

/* The names in the tuple at NAMES, with the places of the variables, which begin at FIRST. */
static int read_names(const struct py_target *t, uint64_t names, uint64_t first,
		      struct dict_entries *out)
{
	const struct py_layout *l = &t->layout;
	uint64_t cnt, name[MAX_LOCALS];
	int err = mem__read_u64(t->mem, names + l->object.var_size, &cnt);

	*out = (struct dict_entries){ 0 };
	if (err)
		return err;
	if (cnt > MAX_LOCALS)
		return -E2BIG;
	err = mem__read(t->mem, names + l->tuple.items, name, cnt * sizeof(name[0]));
	if (err)
		return err;
	out->entry = calloc(cnt ? cnt : 1, sizeof(*out->entry));
	if (!out->entry)
		return -ENOMEM;
	out->cnt = cnt;
	for (size_t i = 0; i < cnt; i++)
		out->entry[i] = (struct dict_entry){ name[i], first + 8 * i };
	return 0;
}

/* What is in the variable NAME, as it lies in the frame; 0 = unbound, or no such variable. */
static int find(const struct py_target *t, uint64_t frame, const char *name, uint64_t *out)
{
	const struct py_layout *l = &t->layout;
	uint64_t code, tuple, first = frame + l->locals.first;
	struct dict_entries names;
	ssize_t found;
	int err = mem__read_u64(t->mem, frame + l->frame.code, &code);

	*out = 0;
	code &= ~(uint64_t)l->locals.tag_mask;
	/* an argument that is in a cell stands among the variables, too, unbound */
	for (size_t i = 0; !err && !*out && i < PY_NAME_TUPLES; i++) {
		if (l->locals.names[i] == PY_NONE)
			break;
		err = mem__read_u64(t->mem, code + l->locals.names[i], &tuple);
		if (!err)
			err = read_names(t, tuple, first, &names);
		if (err)
			break;
		found = dict_entries__find(t, &names, name);
		if (found >= 0)
			err = mem__read_u64(t->mem, names.entry[found].value, out);
		first += 8 * names.cnt;
		dict_entries__free(&names);
	}
	return err;
}

int variable__read(const struct py_target *t, struct kinds *kinds, uint64_t frame, const char *name,
		   uint64_t *out)
{
	const struct kind *k;
	int err = find(t, frame, name, out);

	*out &= ~(uint64_t)t->layout.locals.tag_mask;
	k = err ? NULL : kinds__of(kinds, *out);
	if (k && k->class == KIND_CELL)
		err = mem__read_u64(t->mem, *out + t->layout.object.var_size, out);
	return err ? err : *out ? 0 : -ENOENT;
}
