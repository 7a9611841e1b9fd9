// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/heap.h"

#include <errno.h>
#include <stdlib.h>

#include "py/frame.h"

#define MAX_TRIES 8
#define LATE_EVERY 256 /* hops between two looks at the clock */

#define MAX_CHAINS 256 /* threads whose chains are remembered: a power of two */
#define MAX_PROBES 16
#define BUF_BYTES (PY_MAX_FRAMES * PYWALK_FRAME_BYTES)

struct chain {
	uint64_t tstate;
	uint64_t *addr; /* owned, innermost first */
	size_t cnt;
};

struct heap_reader {
	const struct py_target *target;
	struct chain chain[MAX_CHAINS];
	uint8_t first[BUF_BYTES], second[BUF_BYTES];
	struct mem_range range[2 * PY_MAX_FRAMES + 2];
};

struct heap_reader *heap_reader__new(const struct py_target *t)
{
	struct heap_reader *r = calloc(1, sizeof(*r));

	if (r)
		r->target = t;
	return r;
}

void heap_reader__free(struct heap_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < MAX_CHAINS; i++)
		free(r->chain[i].addr);
	free(r);
}

/* Where its chain is, or may be put; another thread's makes room where there are too many. */
static struct chain *chain_of(struct heap_reader *r, uint64_t tstate)
{
	size_t home = (tstate >> 4) * 0x9e3779b97f4a7c15ull >> 32, i;
	struct chain *c, *room = NULL;

	for (i = 0; i < MAX_PROBES; i++) {
		c = &r->chain[(home + i) % MAX_CHAINS];
		if (c->tstate == tstate)
			return c;
		if (!room && !c->tstate)
			room = c;
	}
	return room ? room : &r->chain[home % MAX_CHAINS];
}

void heap__expect(struct heap_reader *r, uint64_t tstate, const struct stack *s)
{
	struct chain *c = chain_of(r, tstate);

	free(c->addr);
	*c = (struct chain){ .tstate = tstate };
	if (s->cut || s->note[0] || !s->cnt)
		return;
	c->addr = calloc(s->cnt, sizeof(*c->addr));
	if (!c->addr)
		return;
	c->cnt = s->cnt;
	for (size_t i = 0; i < s->cnt; i++)
		c->addr[i] = s->frame[i].addr;
}

static bool recall(struct heap_reader *r, uint64_t tstate, struct stack *s)
{
	const struct chain *c = chain_of(r, tstate);

	if (c->tstate != tstate || !c->cnt)
		return false;
	for (size_t i = 0; i < c->cnt; i++)
		s->frame[i] = (struct stack_frame){ .addr = c->addr[i] };
	s->cnt = c->cnt;
	s->bottom = s->base = c->addr[c->cnt - 1];
	return true;
}

/* Follows the chain frame by frame. What is over PY_MAX_FRAMES is only counted. */
static void follow(const struct py_target *t, uint64_t addr, struct stack *s)
{
	const struct py_layout *l = &t->layout;
	uint8_t data[PYWALK_FRAME_BYTES];
	struct frame f;

	for (size_t hop = 0; addr; hop++, addr = f.previous) {
		if (hop >= STACK_MAX_HOPS) {
			s->note = "incomplete: the stack has no end within 65536 frames";
			return;
		}
		if (hop % LATE_EVERY == LATE_EVERY - 1 && py_target__late(t)) {
			s->note = "incomplete: no time left";
			return;
		}
		if (mem__read(t->mem, addr, data, l->frame.span)) {
			s->note = "incomplete: a frame could not be read";
			return;
		}
		frame__parse(l, data, &f);
		stack__add(l, s, addr, &f);
	}
	s->base = s->bottom;
}

/* Both copies of frame I are what S has, and lead to the next one. */
static bool agree(const struct py_layout *l, const struct stack *s, size_t i, const uint8_t *first,
		  const uint8_t *second)
{
	bool last = i == s->cnt - 1;
	struct frame a, b;

	frame__parse(l, first + i * l->frame.span, &a);
	frame__parse(l, second + i * l->frame.span, &b);
	if (a.previous != b.previous || a.code != b.code || a.instr != b.instr)
		return false;
	if (last && s->note[0])
		return true;
	/* what follows was left out */
	if (s->cut && i == PY_MAX_FRAMES - STACK_OUTER - 1)
		return true;
	return a.previous == (last ? 0 : s->frame[i + 1].addr);
}

/*
 * Reads the frames at the addresses that S has. 0 and the chain as both copies have it, or -EAGAIN:
 * it is another one, or moved. Of a thread at rest one copy is enough, in any order.
 */
static int read_again(struct heap_reader *r, uint64_t tstate, bool at_rest, struct stack *s)
{
	const struct py_layout *l = &r->target->layout;
	size_t n = 0, span = l->frame.span, cnt = s->cnt, cut = s->cut;
	uint64_t newest = cnt ? s->frame[0].addr : 0, bottom = s->bottom, head[2];
	struct mem_range *range = r->range;
	struct frame f;
	int err;

	range[n++] = (struct mem_range){ tstate + l->ts.frame, &head[0], 8, 0 };
	for (size_t i = 0; i < cnt; i++)
		range[n++] = (struct mem_range){ s->frame[i].addr, r->first + i * span, span, 0 };
	for (size_t i = 0; !at_rest && i < cnt; i++)
		range[n++] = (struct mem_range){ s->frame[i].addr, r->second + i * span, span, 0 };
	range[n++] = (struct mem_range){ tstate + l->ts.frame, &head[1], 8, 0 };
	err = at_rest ? mem__readv_any(r->target->mem, range, n)
		      : mem__readv(r->target->mem, range, n);
	if (err)
		return err == -EFAULT ? -EAGAIN : err;
	if (head[0] != newest || head[1] != newest)
		return -EAGAIN;
	for (size_t i = 0; i < cnt; i++)
		if (!agree(l, s, i, r->first, at_rest ? r->first : r->second))
			return -EAGAIN;
	s->cnt = 0;
	for (size_t i = 0; i < cnt; i++) {
		frame__parse(l, r->first + i * span, &f);
		stack__add(l, s, s->frame[i].addr, &f);
	}
	s->cut = cut;
	s->bottom = bottom;
	return 0;
}

int heap__read(struct heap_reader *r, uint64_t tstate, bool at_rest, struct stack *out)
{
	const struct py_target *t = r->target;
	uint64_t newest;
	int err = -EAGAIN;

	stack__clear(out);
	if (recall(r, tstate, out))
		err = read_again(r, tstate, at_rest, out);
	for (int i = 0; i < MAX_TRIES && err == -EAGAIN; i++) {
		stack__clear(out);
		if (i && py_target__late(t))
			break;
		err = mem__read_u64(t->mem, tstate + t->layout.ts.frame, &newest);
		if (err)
			return err;
		follow(t, newest, out);
		stack__settle(out);
		err = read_again(r, tstate, at_rest, out);
	}
	if (err)
		stack__clear(out);
	else
		heap__expect(r, tstate, out);
	return err;
}
