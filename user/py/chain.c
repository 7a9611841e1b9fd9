// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define BATCH 512 /* chains that are followed together */
#define OBJECT_BYTES 256 /* read at once: most coroutines fit with locals and value stack */
#define MAX_STACK 65536 /* words of a frame */
#define MEMO 1024 /* instructions whose meaning is remembered: a power of two */
#define RESUME_AWAITS 2 /* oparg of RESUME after `yield from` (2) and `await` (3) */

/* An object that is to be read, and whose chain it belongs to. */
struct probe {
	struct chain *chain;
	uint64_t addr;
};

struct memo {
	uint64_t instr;
	bool awaits;
};

struct reader {
	const struct py_target *target;
	struct kinds *kinds;
	struct chains *chains;
	struct probe live[BATCH];
	struct mem_range range[BATCH];
	uint8_t buf[BATCH][OBJECT_BYTES];
	struct memo memo[MEMO];
};

/* The smallest read that tells all of a coroutine but its locals. */
static size_t head_len(const struct py_layout *l)
{
	return l->gen.frame + l->locals.first;
}

static int add_link(struct chains *c, struct chain *chain, const struct chain_link *link)
{
	size_t cap = c->cap ? c->cap * 2 : 1024;
	struct chain_link *more;

	if (c->nlinks >= CHAIN_MAX_LINKS) {
		chain->note = "incomplete: too many coroutines";
		return -E2BIG;
	}
	if (c->nlinks == c->cap) {
		more = realloc(c->link, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->link = more;
		c->cap = cap;
	}
	c->link[c->nlinks] = *link;
	c->link[c->nlinks].outer = chain->last;
	chain->last = (uint32_t)c->nlinks++;
	chain->cnt++;
	return 0;
}

/*
 * Where a generator's state does not tell a plain `yield` from an await, the instruction after the
 * yield does: RESUME, whose argument says where it goes on.
 */
static bool instr_awaits(struct reader *r, uint64_t instr)
{
	struct memo *m = &r->memo[instr / 2 % MEMO];
	uint8_t op[4];

	if (m->instr != instr || !instr) {
		m->instr = instr;
		m->awaits = !mem__read(r->target->mem, instr, op, sizeof(op)) &&
			    (op[3] & 3) >= RESUME_AWAITS;
	}
	return m->awaits;
}

/* What the suspended coroutine at ADDR (its bytes in B) awaits; 0 = nothing that can be told. */
static uint64_t awaited(struct reader *r, uint64_t addr, const struct bytes *b)
{
	const struct py_layout *l = &r->target->layout;
	uint64_t slot, value;
	uint32_t top;

	if (l->gen.top_is_pointer) {
		bytes_u64(b, l->gen.frame + l->gen.top, &slot);
		slot -= 8ull * l->gen.below;
	} else {
		bytes_u32(b, l->gen.frame + l->gen.top, &top);
		if (top < l->gen.below || top > MAX_STACK)
			return 0;
		slot = addr + l->gen.frame + l->locals.first + 8ull * (top - l->gen.below);
	}
	if (slot < addr || bytes_u64(b, slot - addr, &value))
		mem__read_u64(r->target->mem, slot, &value);
	return value & ~(uint64_t)l->locals.tag_mask;
}

static enum chain_state state_of(const struct py_layout *l, int8_t state)
{
	if (state == l->gen.created)
		return CHAIN_CREATED;
	if (state == l->gen.running)
		return CHAIN_RUNNING;
	if (state == l->gen.suspended || state == l->gen.awaiting || state == l->gen.locked)
		return CHAIN_SUSPENDED;
	return CHAIN_DONE;
}

/* A coroutine: adds its link. The address of what it awaits in *NEXT. */
static int take_coroutine(struct reader *r, const struct probe *p, const struct bytes *b,
			  uint64_t *next)
{
	const struct py_layout *l = &r->target->layout;
	uint64_t frame = l->gen.frame;
	struct chain_link link = { .frame = p->addr + frame };
	enum chain_state state;
	uint8_t raw;
	int err;

	bytes_u8(b, l->gen.state, &raw);
	state = state_of(l, (int8_t)raw);
	if (p->chain->last == CHAIN_NONE)
		p->chain->state = state;
	if (state == CHAIN_DONE)
		return 0;
	bytes_u64(b, frame + l->frame.code, &link.code);
	bytes_u64(b, frame + l->frame.instr, &link.instr);
	link.code &= ~(uint64_t)l->locals.tag_mask;
	err = add_link(r->chains, p->chain, &link);
	if (err)
		return err == -E2BIG ? 0 : err;
	if (state != CHAIN_SUSPENDED)
		return 0;
	if (l->gen.awaiting == l->gen.suspended ? instr_awaits(r, link.instr)
						: (int8_t)raw != l->gen.suspended)
		*next = awaited(r, p->addr, b);
	return 0;
}

/* Looks at one object of a chain; *NEXT = 0: the chain ends here. */
static int take(struct reader *r, size_t i, uint64_t *next)
{
	const struct py_layout *l = &r->target->layout;
	struct probe *p = &r->live[i];
	struct bytes b = { r->buf[i], OBJECT_BYTES };
	const struct kind *k;
	uint64_t type;

	*next = 0;
	if (r->range[i].err) {
		/* less of it: objects may lie at the end of a mapping */
		b.len = head_len(l);
		if (mem__read(r->target->mem, p->addr, r->buf[i], b.len)) {
			b.len = l->object.var_size + 8;
			if (mem__read(r->target->mem, p->addr, r->buf[i], b.len))
				return 0;
		}
	}
	bytes_u64(&b, l->object.type, &type);
	k = kinds__get(r->kinds, type);
	if (k && k->class == KIND_AWAITABLE)
		bytes_u64(&b, l->object.var_size, next);
	if (!k || k->class != KIND_COROUTINE || b.len < head_len(l))
		return 0;
	if (p->chain->cnt >= CHAIN_MAX_DEPTH) {
		p->chain->note = "incomplete: the chain goes on";
		return 0;
	}
	return take_coroutine(r, p, &b, next);
}

/* One level of all live chains; returns how many go on, or an error. */
static ssize_t read_level(struct reader *r, size_t cnt)
{
	size_t kept = 0;
	uint64_t next;
	int err;

	for (size_t i = 0; i < cnt; i++)
		r->range[i] = (struct mem_range){ r->live[i].addr, r->buf[i], OBJECT_BYTES, 0 };
	err = mem__readv(r->target->mem, r->range, cnt);
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < cnt; i++) {
		err = take(r, i, &next);
		if (err)
			return err;
		if (next)
			r->live[kept++] = (struct probe){ r->live[i].chain, next };
	}
	return (ssize_t)kept;
}

static int read_batch(struct reader *r, struct chain *chain, size_t cnt)
{
	ssize_t n = 0;

	for (size_t i = 0; i < cnt; i++)
		if (chain[i].coro)
			r->live[n++] = (struct probe){ &chain[i], chain[i].coro };
	/* wrappers add no link: twice as many levels as links are possible */
	for (size_t level = 0; n > 0 && level < 2 * CHAIN_MAX_DEPTH; level++) {
		if (py_target__late(r->target))
			break;
		n = read_level(r, (size_t)n);
	}
	for (ssize_t i = 0; i < n; i++)
		r->live[i].chain->note = "incomplete: no time left";
	return n < 0 ? (int)n : 0;
}

int chains__read(const struct py_target *t, struct kinds *kinds, struct chains *c)
{
	struct reader *r;
	size_t n;
	int err = 0;

	c->link = NULL;
	c->nlinks = c->cap = 0;
	if (!t->layout.gen.frame || head_len(&t->layout) > OBJECT_BYTES)
		return -EOPNOTSUPP;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->target = t;
	r->kinds = kinds;
	r->chains = c;
	for (size_t i = 0; i < c->cnt; i++) {
		c->chain[i].last = CHAIN_NONE;
		c->chain[i].cnt = 0;
		c->chain[i].state = CHAIN_UNKNOWN;
		c->chain[i].note = "";
	}
	for (size_t i = 0; !err && i < c->cnt; i += n) {
		n = c->cnt - i < BATCH ? c->cnt - i : BATCH;
		err = read_batch(r, c->chain + i, n);
	}
	free(r);
	if (err)
		chains__free(c);
	return err;
}

void chains__free(struct chains *c)
{
	free(c->link);
	c->link = NULL;
	c->nlinks = c->cap = 0;
}
