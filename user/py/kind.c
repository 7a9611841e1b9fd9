// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "py/object.h"

#define SLOTS 512 /* of the hash table: a power of two */
#define MAX_KINDS (SLOTS / 2)
#define MAX_PLACES 64 /* attributes whose place is remembered */
#define PAGE 4096
#define HEAP_TYPE (1u << 9) /* Py_TPFLAGS_HEAPTYPE: made at run time */
#define MEMBER_DEF 24 /* d_type, d_name, d_qualname come before d_member */
#define MEMBER_OFFSET 16 /* of struct PyMemberDef */
#define MAX_OFFSET (1u << 20)

/* Where instances of a class keep an attribute. */
struct place {
	uint64_t type;
	const char *name;
	uint64_t offset; /* 0 = not in a slot */
	struct attribute_hint hint;
};

struct kinds {
	const struct py_target *target;
	struct kind slot[SLOTS];
	size_t cnt;
	struct place place[MAX_PLACES];
	size_t nplaces;
};

static const struct {
	const char *name;
	enum kind_class class;
	bool heap; /* may be made at run time (modules of the newer kind do that) */
} classes[] = {
	{ "coroutine", KIND_COROUTINE, false },
	{ "generator", KIND_COROUTINE, false },
	{ "async_generator", KIND_COROUTINE, false },
	{ "coroutine_wrapper", KIND_AWAITABLE, false },
	{ "async_generator_asend", KIND_AWAITABLE, false },
	{ "async_generator_athrow", KIND_AWAITABLE, false },
	{ "anext_awaitable", KIND_AWAITABLE, false },
	{ "_asyncio.FutureIter", KIND_AWAITABLE, true },
	{ "str", KIND_STR, false },
	{ "int", KIND_INT, false },
	{ "NoneType", KIND_NONE, false },
	{ "method", KIND_METHOD, false },
	{ "cell", KIND_CELL, false },
	{ "member_descriptor", KIND_MEMBER, false },
	{ "frame", KIND_FRAME, false },
	{ "type", KIND_TYPE, false },
	{ "weakref", KIND_WEAKREF, false },
	{ "weakref.ReferenceType", KIND_WEAKREF, false },
};

struct kinds *kinds__new(const struct py_target *t)
{
	struct kinds *kinds = calloc(1, sizeof(*kinds));

	if (kinds)
		kinds->target = t;
	return kinds;
}

void kinds__free(struct kinds *kinds)
{
	free(kinds);
}

void kinds__begin(struct kinds *kinds)
{
	memset(kinds->slot, 0, sizeof(kinds->slot));
	kinds->cnt = kinds->nplaces = 0;
}

/* A text that ends with a NUL, cut where it is too long; the page behind it may not be there. */
static int read_text(const struct py_target *t, uint64_t addr, char out[KIND_NAME])
{
	size_t near = PAGE - addr % PAGE, len = KIND_NAME - 1;
	int err;

	memset(out, 0, KIND_NAME);
	if (near > len)
		near = len;
	err = mem__read(t->mem, addr, out, near);
	if (err || near == len || memchr(out, '\0', near))
		return err;
	return mem__read(t->mem, addr + near, out + near, len - near);
}

static int read_kind(const struct py_target *t, uint64_t type, struct kind *out)
{
	const struct py_layout *l = &t->layout;
	uint64_t name = 0, flags = 0;
	struct mem_range range[] = {
		{ type + l->type.name, &name, 8, 0 },
		{ type + l->type.basicsize, &out->size, 8, 0 },
		{ type + l->type.flags, &flags, 8, 0 },
	};
	int err = mem__readv(t->mem, range, 3);

	if (!err)
		err = read_text(t, name, out->name);
	if (err)
		return err;
	out->type = type;
	out->class = KIND_OTHER;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (!strcmp(classes[i].name, out->name) &&
		    (classes[i].heap || !(flags & HEAP_TYPE)))
			out->class = classes[i].class;
	return 0;
}

const struct kind *kinds__get(struct kinds *kinds, uint64_t type)
{
	size_t i = (size_t)((type >> 4) * 0x9e3779b97f4a7c15ull >> 32) % SLOTS;

	if (!type)
		return NULL;
	for (; kinds->slot[i].type; i = (i + 1) % SLOTS)
		if (kinds->slot[i].type == type)
			return &kinds->slot[i];
	if (kinds->cnt >= MAX_KINDS || read_kind(kinds->target, type, &kinds->slot[i])) {
		kinds->slot[i].type = 0;
		return NULL;
	}
	kinds->cnt++;
	return &kinds->slot[i];
}

const struct kind *kinds__of(struct kinds *kinds, uint64_t addr)
{
	const struct py_target *t = kinds->target;
	uint64_t type;

	if (!addr || mem__read_u64(t->mem, addr + t->layout.object.type, &type))
		return NULL;
	return kinds__get(kinds, type);
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* The offset of the slot NAME in instances of TYPE; -ENOENT: it has no such slot of its own. */
static int find_slot(struct kinds *kinds, uint64_t type, const char *name, uint64_t *offset)
{
	const struct py_target *t = kinds->target;
	const struct py_layout *l = &t->layout;
	uint64_t dict, member, def;
	const struct kind *k;
	int err;

	err = mem__read_u64(t->mem, type + l->type.dict, &dict);
	if (!err)
		err = object__dict_get(t, dict, name, &member);
	if (err)
		return err;
	k = kinds__of(kinds, member);
	if (!k || k->class != KIND_MEMBER)
		return -ENOENT;
	err = mem__read_u64(t->mem, member + l->object.var_size + MEMBER_DEF, &def);
	if (!err)
		err = mem__read_u64(t->mem, def + MEMBER_OFFSET, offset);
	if (err)
		return err;
	return *offset && *offset % 8 == 0 && *offset <= MAX_OFFSET ? 0 : -EINVAL;
}

static struct place *place_of(struct kinds *kinds, uint64_t type, const char *name)
{
	struct place *p;

	for (size_t i = 0; i < kinds->nplaces; i++)
		if (kinds->place[i].type == type && !strcmp(kinds->place[i].name, name))
			return &kinds->place[i];
	/* one that is met seldom makes room */
	p = &kinds->place[kinds->nplaces < MAX_PLACES ? kinds->nplaces++ : type / 64 % MAX_PLACES];
	*p = (struct place){ .type = type, .name = name };
	if (find_slot(kinds, type, name, &p->offset))
		p->offset = 0;
	return p;
}

uint64_t kinds__slot(struct kinds *kinds, uint64_t type, const char *name)
{
	return place_of(kinds, type, name)->offset;
}

int kinds__attribute(struct kinds *kinds, uint64_t addr, const char *name, uint64_t *out)
{
	const struct py_target *t = kinds->target;
	struct place *p;
	uint64_t type;
	int err = mem__read_u64(t->mem, addr + t->layout.object.type, &type);

	*out = 0;
	if (err)
		return err;
	p = place_of(kinds, type, name);
	if (!p->offset)
		return object__attribute(t, addr, name, &p->hint, out);
	err = mem__read_u64(t->mem, addr + p->offset, out);
	return err ? err : *out ? 0 : -ENOENT;
}
