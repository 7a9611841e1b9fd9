// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/classes.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "py/object.h"

#define SLOTS (2 * CLASSES_MAX) /* of the hash table: a power of two */
#define TYPE_SUBCLASS (1ull << 31) /* Py_TPFLAGS_TYPE_SUBCLASS */
#define HEAP_TYPE (1ull << 9) /* Py_TPFLAGS_HEAPTYPE */
#define PAGE 4096u

struct entry {
	uint64_t addr; /* 0 = free */
	char *name; /* owned; NULL: it has none */
};

struct classes {
	const struct py_target *target;
	struct entry slot[SLOTS];
	size_t cnt;
};

struct classes *classes__new(const struct py_target *t)
{
	struct classes *c = calloc(1, sizeof(*c));

	if (c)
		c->target = t;
	return c;
}

void classes__begin(struct classes *c)
{
	if (!c->cnt)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		free(c->slot[i].name);
	memset(c->slot, 0, sizeof(c->slot));
	c->cnt = 0;
}

void classes__free(struct classes *c)
{
	if (!c)
		return;
	classes__begin(c);
	free(c);
}

/* The object at ADDR is a class: its own class is type, or derived from it. */
static bool is_class(const struct py_target *t, uint64_t addr)
{
	const struct py_layout *l = &t->layout;
	uint64_t meta, flags;

	if (mem__read_u64(t->mem, addr + l->object.type, &meta))
		return false;
	if (t->known.type && meta == t->known.type)
		return true;
	return !mem__read_u64(t->mem, meta + l->type.flags, &flags) && flags & TYPE_SUBCLASS;
}

/* The name of a class that was written in C: "module.Class". */
static bool add_c_name(const struct py_target *t, uint64_t addr, struct strbuf *out)
{
	char text[CLASSES_MAX_NAME];
	size_t len = PAGE - addr % PAGE; /* the next page may not be there */

	len = len < sizeof(text) ? len : sizeof(text);
	if (mem__read(t->mem, addr, text, len))
		return false;
	len = strnlen(text, len);
	if (!len)
		return false;
	text_sanitize(out, text, len);
	return true;
}

static bool add_python_name(const struct py_target *t, uint64_t dict, uint64_t qualname,
			    struct strbuf *out)
{
	uint64_t module;

	if (!object__dict_get(t, dict, "__module__", &module) &&
	    !object__str(t, module, CLASSES_MAX_NAME, out))
		strbuf_addc(out, '.');
	else
		strbuf_reset(out);
	if (strbuf_str(out) && !strcmp(strbuf_str(out), "builtins."))
		strbuf_reset(out);
	return !object__str(t, qualname, CLASSES_MAX_NAME, out);
}

static char *look_up(const struct py_target *t, uint64_t addr)
{
	const struct py_layout *l = &t->layout;
	uint64_t flags = 0, name = 0, dict = 0, qualname = 0;
	struct mem_range range[] = {
		{ addr + l->type.flags, &flags, 8, 0 },
		{ addr + l->type.name, &name, 8, 0 },
		{ addr + l->type.dict, &dict, 8, 0 },
		/* the last: a class that was written in C ends before it */
		{ addr + l->type.qualname, &qualname, 8, 0 },
	};
	struct strbuf text = STRBUF_INIT;
	bool found;

	if (!is_class(t, addr))
		return NULL;
	mem__readv(t->mem, range, sizeof(range) / sizeof(range[0]));
	if (range[0].err || range[1].err || range[2].err)
		return NULL;
	if (flags & HEAP_TYPE)
		found = !range[3].err && add_python_name(t, dict, qualname, &text);
	else
		found = add_c_name(t, name, &text);
	if (found)
		return strbuf_detach(&text);
	strbuf_free(&text);
	return NULL;
}

const char *classes__name(struct classes *c, uint64_t addr)
{
	size_t i = (size_t)((addr >> 4) * 0x9e3779b97f4a7c15ull >> 32) % SLOTS;

	if (!addr)
		return NULL;
	for (; c->slot[i].addr; i = (i + 1) % SLOTS)
		if (c->slot[i].addr == addr)
			return c->slot[i].name;
	if (c->cnt >= CLASSES_MAX || py_target__late(c->target))
		return NULL;
	c->slot[i] = (struct entry){ addr, look_up(c->target, addr) };
	c->cnt++;
	return c->slot[i].name;
}
