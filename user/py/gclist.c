// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/gclist.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"

#define SEARCH 8192 /* bytes of an interpreter state among which the lists begin */
#define MAX_LISTS 16
#define PAGE 4096u
#define PAGES 1024 /* that are kept: a power of two */
#define HEAD 16 /* of an object that is collected: next, previous */
#define FLAGS 3 /* low bits of both */
#define LATE_EVERY 1024 /* objects between two looks at the clock */

/* Neighbours in a list are mostly neighbours in memory. */
struct page {
	uint64_t addr; /* 0 = nothing was read */
	uint8_t data[PAGE];
};

struct gclist {
	const struct py_target *target;
	uint64_t list[MAX_LISTS];
	size_t nlists, visited;
	uint8_t state[SEARCH];
	struct page page[PAGES];
};

struct gclist *gclist__new(const struct py_target *t)
{
	struct gclist *gc = calloc(1, sizeof(*gc));

	if (gc)
		gc->target = t;
	return gc;
}

void gclist__free(struct gclist *gc)
{
	free(gc);
}

static int read_word(struct gclist *gc, uint64_t addr, uint64_t *out)
{
	uint64_t at = addr & ~(uint64_t)(PAGE - 1);
	struct page *p = &gc->page[addr / PAGE % PAGES];
	struct bytes b = { p->data, PAGE };
	int err = 0;

	*out = 0;
	if (!at)
		return -EFAULT;
	/* the lists themselves are not aligned in each build */
	if (addr + 8 > at + PAGE)
		return mem__read_u64(gc->target->mem, addr, out);
	if (p->addr != at) {
		err = mem__read(gc->target->mem, at, p->data, PAGE);
		p->addr = err ? 0 : at;
	}
	return err ? err : bytes_u64(&b, addr - at, out);
}

/* ---- where they begin ------------------------------------------------------------------------ */

/* The type of a type is a type, and so on: of what lies behind NODE? */
static bool is_object(struct gclist *gc, uint64_t node)
{
	const uint32_t off = gc->target->layout.object.type;
	uint64_t type, meta;

	return !read_word(gc, node + HEAD + off, &type) && !read_word(gc, type + off, &meta) &&
	       meta == gc->target->known.type;
}

/* Is a list at AT, with these two words? Empty ones do not matter. */
static bool is_list(struct gclist *gc, uint64_t at, uint64_t next, uint64_t previous)
{
	uint64_t back, forth;

	next &= ~(uint64_t)FLAGS;
	previous &= ~(uint64_t)FLAGS;
	if (next == at || read_word(gc, next + 8, &back) || read_word(gc, previous, &forth))
		return false;
	return (back & ~(uint64_t)FLAGS) == at && (forth & ~(uint64_t)FLAGS) == at &&
	       is_object(gc, next);
}

static int find_lists(struct gclist *gc, uint64_t interp)
{
	struct bytes b = { gc->state, SEARCH };
	uint64_t next, previous;
	int err = mem__read(gc->target->mem, interp, gc->state, SEARCH);

	gc->nlists = 0;
	if (err)
		return err == -EFAULT ? -ENOENT : err;
	for (uint64_t off = 0; off + HEAD <= SEARCH && gc->nlists < MAX_LISTS; off += 4) {
		bytes_u64(&b, off, &next);
		bytes_u64(&b, off + 8, &previous);
		if (next >= PAGE && previous >= PAGE && next % HEAD <= FLAGS &&
		    previous % HEAD <= FLAGS && is_list(gc, interp + off, next, previous))
			gc->list[gc->nlists++] = interp + off;
	}
	return gc->nlists ? 0 : -ENOENT;
}

/* ---- what is in them ------------------------------------------------------------------------- */

/* 0, -EAGAIN (it changed while it was read), -ETIMEDOUT, -E2BIG, or what VISIT returned. */
static int visit_list(struct gclist *gc, uint64_t head, gclist_visit_fn visit, void *ctx)
{
	const uint32_t off = gc->target->layout.object.type;
	uint64_t at, next, previous = head, back, type;
	int err = read_word(gc, head, &at);

	for (at &= ~(uint64_t)FLAGS; !err && at != head; previous = at, at = next) {
		if (gc->visited++ >= GCLIST_MAX)
			return -E2BIG;
		if (gc->visited % LATE_EVERY == 0 && py_target__late(gc->target))
			return -ETIMEDOUT;
		err = read_word(gc, at, &next);
		if (!err)
			err = read_word(gc, at + 8, &back);
		if (!err)
			err = read_word(gc, at + HEAD + off, &type);
		if (err || (back & ~(uint64_t)FLAGS) != previous)
			return err && err != -EFAULT ? err : -EAGAIN;
		next &= ~(uint64_t)FLAGS;
		err = visit(ctx, at + HEAD, type);
	}
	return err == -EFAULT ? -EAGAIN : err;
}

int gclist__visit(struct gclist *gc, uint64_t interp, gclist_visit_fn visit, void *ctx,
		  const char **note)
{
	int err;

	*note = "";
	gc->visited = 0;
	for (size_t i = 0; i < PAGES; i++)
		gc->page[i].addr = 0;
	err = find_lists(gc, interp);
	for (size_t i = 0; !err && i < gc->nlists; i++) {
		err = visit_list(gc, gc->list[i], visit, ctx);
		if (err != -EAGAIN)
			continue;
		*note = "incomplete: objects came and went while they were looked through";
		err = 0;
	}
	if (err == -ETIMEDOUT)
		*note = "incomplete: no time left to look through all objects";
	else if (err == -E2BIG)
		*note = "incomplete: there are too many objects to look through";
	return err == -ETIMEDOUT || err == -E2BIG ? 0 : err;
}
