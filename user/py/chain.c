// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/objects.h"

#define BATCH OBJECTS_MAX /* chains that are followed together */
#define MEMO 1024 /* instructions whose meaning is remembered: a power of two */
#define RESUME_AWAITS 2 /* oparg of RESUME after `yield from` (2) and `await` (3) */

/* An object of a chain that is being looked at. */
struct probe {
	struct chain *chain;
	uint64_t addr;
	uint64_t next; /* what it awaits, which is looked at next; 0 = the chain ends here ... */
	uint64_t frame; /* ... or this frame object tells, ... */
	uint64_t slot; /* ... or the word at this address is it */
};

struct memo {
	uint64_t code, instr;
	bool awaits;
};

struct reader {
	const struct py_target *target;
	struct kinds *kinds;
	struct chains *chains;
	struct probe live[BATCH];
	size_t picked[BATCH]; /* indices in live */
	struct objects objects;
	struct memo memo[MEMO];
};

/* The smallest read that tells all of a coroutine object but its locals. */
static size_t head_len(const struct py_layout *l)
{
	return l->gen.frame_is_pointer ? l->gen.frame + 8 : coroutine__span(l);
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

/* What follows the yield at INSTR: YIELD_FROM, which an await returns to again (before 3.11), or
 * RESUME, whose argument says where it goes on. */
static bool read_awaits(const struct py_target *t, uint64_t code, uint64_t instr)
{
	const struct py_layout *l = &t->layout;
	uint64_t bytecode;
	uint8_t op[4];

	if (!l->gen.yield_from)
		return !mem__read(t->mem, instr, op, sizeof(op)) && (op[3] & 3) >= RESUME_AWAITS;
	return !mem__read_u64(t->mem, code + l->code.object, &bytecode) &&
	       !mem__read(t->mem, bytecode + l->bytes.data + (instr - code) + 2, op, 1) &&
	       op[0] == l->gen.yield_from;
}

/* Where a generator's state does not tell a plain `yield` from an await, its code does. */
static bool instr_awaits(struct reader *r, uint64_t code, uint64_t instr)
{
	struct memo *m = &r->memo[(code / 16 + instr / 2) % MEMO];

	if (m->code != code || m->instr != instr || !instr)
		*m = (struct memo){ code, instr, read_awaits(r->target, code, instr) };
	return m->awaits;
}

/* A coroutine whose bytes are in B, which lie at ADDR: adds its link. */
static int take_coroutine(struct reader *r, struct probe *p, const struct bytes *b, uint64_t addr)
{
	const struct py_layout *l = &r->target->layout;
	struct chain_link link = { .coro = p->addr };
	struct coroutine coro;
	uint64_t next;
	int err;

	coroutine__parse(l, b, addr, &coro);
	if (p->chain->last == CHAIN_NONE)
		p->chain->state = coro.state;
	if (coro.state == CORO_DONE)
		return 0;
	link.frame = coro.frame;
	link.code = coro.code;
	link.instr = coro.instr;
	err = add_link(r->chains, p->chain, &link);
	if (err)
		return err == -E2BIG ? 0 : err;
	if (!coro.slot || coro.wait == CORO_AWAITS_NOTHING ||
	    (coro.wait == CORO_ASK_CODE && !instr_awaits(r, coro.code, coro.instr)))
		return 0;
	/* mostly it is in what was read already */
	if (coro.slot < addr || bytes_u64(b, coro.slot - addr, &next))
		p->slot = coro.slot;
	else
		p->next = next & ~(uint64_t)l->locals.tag_mask;
	return 0;
}

/* Looks at the object of a probe, whose bytes were read as object I. */
static int take(struct reader *r, struct probe *p, size_t i)
{
	const struct py_layout *l = &r->target->layout;
	struct bytes b = { r->objects.buf[i], OBJECTS_BYTES };
	const struct kind *k;
	uint64_t type;

	if (r->objects.range[i].err) {
		/* less of it: objects may lie at the end of a mapping */
		b.len = head_len(l);
		if (mem__read(r->target->mem, p->addr, r->objects.buf[i], b.len)) {
			b.len = l->object.var_size + 8;
			if (mem__read(r->target->mem, p->addr, r->objects.buf[i], b.len))
				return 0;
		}
	}
	bytes_u64(&b, l->object.type, &type);
	k = kinds__get(r->kinds, type);
	if (k && k->class == KIND_AWAITABLE)
		bytes_u64(&b, l->object.var_size, &p->next);
	if (!k || k->class != KIND_COROUTINE || b.len < head_len(l))
		return 0;
	if (p->chain->cnt >= CHAIN_MAX_DEPTH) {
		p->chain->note = "incomplete: the chain goes on";
		return 0;
	}
	if (!l->gen.frame_is_pointer)
		return take_coroutine(r, p, &b, p->addr);
	bytes_u64(&b, l->gen.frame, &p->frame);
	/* one that has ended has given its frame back */
	if (!p->frame && p->chain->last == CHAIN_NONE)
		p->chain->state = CORO_DONE;
	return 0;
}

/* The frames that are objects of their own. */
static int read_frames(struct reader *r, size_t cnt)
{
	size_t len = coroutine__span(&r->target->layout), n = 0;
	struct objects *o = &r->objects;
	struct bytes b;
	int err;

	for (size_t i = 0; i < cnt; i++) {
		if (!r->live[i].frame)
			continue;
		o->addr[n] = r->live[i].frame;
		r->picked[n++] = i;
	}
	err = objects__read(r->target, o, n, len);
	for (size_t i = 0; !err && i < n; i++) {
		b = (struct bytes){ o->buf[i], len };
		if (!o->range[i].err)
			err = take_coroutine(r, &r->live[r->picked[i]], &b, o->addr[i]);
	}
	return err;
}

/* What is awaited and was not in what was read. */
static int read_slots(struct reader *r, size_t cnt)
{
	const uint64_t mask = ~(uint64_t)r->target->layout.locals.tag_mask;
	struct objects *o = &r->objects;
	uint64_t next;
	size_t n = 0;
	int err;

	for (size_t i = 0; i < cnt; i++) {
		if (!r->live[i].slot)
			continue;
		o->addr[n] = r->live[i].slot;
		r->picked[n++] = i;
	}
	err = objects__read(r->target, o, n, sizeof(next));
	for (size_t i = 0; !err && i < n; i++) {
		struct bytes b = { o->buf[i], sizeof(next) };

		if (!o->range[i].err && !bytes_u64(&b, 0, &next))
			r->live[r->picked[i]].next = next & mask;
	}
	return err;
}

/* One level of all live chains; returns how many go on, or an error. */
static ssize_t read_level(struct reader *r, size_t cnt)
{
	size_t kept = 0;
	int err;

	for (size_t i = 0; i < cnt; i++)
		r->objects.addr[i] = r->live[i].addr;
	err = objects__read(r->target, &r->objects, cnt, OBJECTS_BYTES);
	for (size_t i = 0; !err && i < cnt; i++)
		err = take(r, &r->live[i], i);
	if (!err && r->target->layout.gen.frame_is_pointer)
		err = read_frames(r, cnt);
	if (!err)
		err = read_slots(r, cnt);
	if (err)
		return err;
	for (size_t i = 0; i < cnt; i++)
		if (r->live[i].next)
			r->live[kept++] = (struct probe){ .chain = r->live[i].chain,
							  .addr = r->live[i].next };
	return (ssize_t)kept;
}

static int read_batch(struct reader *r, struct chain *chain, size_t cnt)
{
	ssize_t n = 0;

	for (size_t i = 0; i < cnt; i++)
		if (chain[i].coro)
			r->live[n++] = (struct probe){ .chain = &chain[i], .addr = chain[i].coro };
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
	if (!t->layout.gen.frame || head_len(&t->layout) > OBJECTS_BYTES)
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
		c->chain[i].state = CORO_UNKNOWN;
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
