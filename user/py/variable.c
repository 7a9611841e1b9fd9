// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/variable.h"

#include <errno.h>
#include <stdlib.h>

#include "py/object.h"

#define MAX_LOCALS 256 /* of one frame */

/* The names of the local variables of the frame at FRAME, with their places. */
static int read_names(const struct py_target *t, uint64_t frame, struct dict_entries *out)
{
	const struct py_layout *l = &t->layout;
	uint64_t code, names, cnt, name[MAX_LOCALS];
	int err = mem__read_u64(t->mem, frame + l->frame.code, &code);

	code &= ~(uint64_t)l->locals.tag_mask;
	if (!err)
		err = mem__read_u64(t->mem, code + l->locals.names[0], &names);
	if (!err)
		err = mem__read_u64(t->mem, names + l->object.var_size, &cnt);
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
		out->entry[i] = (struct dict_entry){ name[i], frame + l->locals.first + 8 * i };
	return 0;
}

int variable__read(const struct py_target *t, struct kinds *kinds, uint64_t frame, const char *name,
		   uint64_t *out)
{
	struct dict_entries names;
	const struct kind *k;
	ssize_t i;
	int err = read_names(t, frame, &names);

	*out = 0;
	if (err)
		return err;
	i = dict_entries__find(t, &names, name);
	err = i < 0 ? (int)i : mem__read_u64(t->mem, names.entry[i].value, out);
	dict_entries__free(&names);
	*out &= ~(uint64_t)t->layout.locals.tag_mask;
	k = err ? NULL : kinds__of(kinds, *out);
	if (k && k->class == KIND_CELL)
		err = mem__read_u64(t->mem, *out + t->layout.object.var_size, out);
	return err ? err : *out ? 0 : -ENOENT;
}
