// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/interp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/python.h"

#define MAX_TRIES 3 /* threads come and go while the list is read */

struct interp {
	uint64_t addr, next, id, threads_head, gil;
	uint64_t holder; /* thread state that holds its GIL; 0 = none */
	uint64_t words; /* of its GIL; 0 = none */
};

struct thread_state {
	uint64_t next, interp, ident, native_id;
	uint64_t frame, chunk, top;
	bool fresh;
};

static int read_interp(const struct py_target *t, uint64_t addr, struct interp *out)
{
	const struct py_layout *l = &t->layout;
	struct mem_range range[4];
	size_t n = 0;

	*out = (struct interp){ .addr = addr };
	range[n++] = (struct mem_range){ addr + l->interp.next, &out->next, 8, 0 };
	range[n++] = (struct mem_range){ addr + l->interp.id, &out->id, 8, 0 };
	range[n++] = (struct mem_range){ addr + l->interp.threads_head, &out->threads_head, 8, 0 };
	if (l->interp.gil != PY_NONE)
		range[n++] = (struct mem_range){ addr + l->interp.gil, &out->gil, 8, 0 };
	else
		out->gil = t->runtime + l->runtime.gil;
	return mem__readv(t->mem, range, n);
}

/* A hint: what cannot be read is none. */
static bool is_collecting(const struct py_target *t, uint64_t interp)
{
	const struct py_layout *l = &t->layout;
	uint32_t collecting = 0;

	return !mem__read(t->mem, interp + l->interp.gc + l->gc.collecting, &collecting,
			  sizeof(collecting)) &&
	       collecting == 1;
}

/* Where the words of a GIL lie; 0 if they do not lie as in all versions. */
static uint64_t words_of(const struct py_layout *l, uint64_t gil)
{
	/* behind it: locked at 16, switch_number, cond */
	if (!gil || gil % 8 || l->gil.last_holder < 8 || l->gil.locked != l->gil.last_holder + 8)
		return 0;
	return gil + l->gil.last_holder - 8;
}

static uint64_t gil_holder(const struct py_target *t, uint64_t gil)
{
	const struct py_layout *l = &t->layout;
	uint32_t locked = 0;
	uint64_t holder = 0;
	struct mem_range range[2] = {
		{ gil + l->gil.last_holder, &holder, 8, 0 },
		{ gil + l->gil.locked, &locked, 4, 0 },
	};

	if (!gil || mem__readv(t->mem, range, 2) || locked != 1)
		return 0;
	return holder;
}

/* Thread states may lie at the end of a mapping: only what is used is read. */
static size_t tstate_span(const struct py_layout *l)
{
	const uint32_t field[] = { l->ts.interp, l->ts.thread_id, l->ts.native_id,
				   l->ts.frame,	 l->ts.chunk,	  l->ts.top };
	uint32_t max = l->ts.next;

	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		if (field[i] != PY_NONE && field[i] > max)
			max = field[i];
	return max + 8;
}

static void parse_tstate(const struct py_layout *l, const uint8_t *data, struct thread_state *out)
{
	struct bytes b = { data, tstate_span(l) };

	*out = (struct thread_state){ 0 };
	bytes_u64(&b, l->ts.next, &out->next);
	bytes_u64(&b, l->ts.interp, &out->interp);
	bytes_u64(&b, l->ts.thread_id, &out->ident);
	bytes_u64(&b, l->ts.frame, &out->frame);
	if (l->ts.native_id != PY_NONE)
		bytes_u64(&b, l->ts.native_id, &out->native_id);
	if (l->ts.chunk == PY_NONE)
		return;
	bytes_u64(&b, l->ts.chunk, &out->chunk);
	bytes_u64(&b, l->ts.top, &out->top);
}

/* ---- what is remembered ---------------------------------------------------------------------- */

/* The thread states of the last walk, read in one call: mostly they are still the same. */
struct guess {
	struct mem_range *range;
	uint8_t *data;
	size_t cnt, next, span;
};

static int guess_load(const struct py_target *t, const struct thread_refs *old, struct guess *g)
{
	int err;

	*g = (struct guess){ .cnt = old->cnt, .span = tstate_span(&t->layout) };
	if (!g->cnt)
		return 0;
	g->range = calloc(g->cnt, sizeof(*g->range));
	g->data = calloc(g->cnt, g->span);
	if (!g->range || !g->data)
		return -ENOMEM;
	for (size_t i = 0; i < g->cnt; i++)
		g->range[i] =
			(struct mem_range){ old->ref[i].tstate, g->data + i * g->span, g->span, 0 };
	err = mem__readv(t->mem, g->range, g->cnt);
	return err == -EFAULT ? 0 : err;
}

static void guess_free(struct guess *g)
{
	free(g->range);
	free(g->data);
}

/* New threads come first in the list; the others keep their order. */
static int read_tstate(const struct py_target *t, struct guess *g, uint64_t addr,
		       struct thread_state *out)
{
	uint8_t buf[PY_TSTATE_BYTES];
	int err;

	for (size_t i = g->next; i < g->cnt; i++) {
		if (g->range[i].addr != addr || g->range[i].err)
			continue;
		g->next = i + 1;
		parse_tstate(&t->layout, g->range[i].buf, out);
		return 0;
	}
	err = mem__read(t->mem, addr, buf, g->span);
	if (!err)
		parse_tstate(&t->layout, buf, out);
	out->fresh = true;
	return err;
}

/* ---- the lists ------------------------------------------------------------------------------- */

static int add(struct thread_refs *list, const struct thread_ref *ref)
{
	size_t cap = list->cap ? list->cap * 2 : 16;
	struct thread_ref *more;

	if (list->cnt == list->cap) {
		more = realloc(list->ref, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		list->ref = more;
		list->cap = cap;
	}
	list->ref[list->cnt++] = *ref;
	return 0;
}

/* A list that never ends, found by an address that comes again (R. P. Brent). */
struct ring {
	uint64_t mark;
	size_t steps, limit;
};

static bool closes_ring(struct ring *ring, uint64_t addr)
{
	if (addr == ring->mark)
		return true;
	if (ring->steps++ == ring->limit) {
		ring->mark = addr;
		ring->limit = 2 * ring->limit + 1;
		ring->steps = 0;
	}
	return false;
}

/* -EAGAIN: a thread state does not belong to its interpreter: the list changed under us. */
static int list_threads(const struct py_target *t, const struct interp *in, struct guess *g,
			struct thread_refs *list)
{
	struct thread_state ts;
	struct thread_ref ref;
	struct ring ring = { 0 };
	int err;

	for (uint64_t addr = in->threads_head; addr; addr = ts.next) {
		if (closes_ring(&ring, addr)) {
			list->note = "incomplete: the list of threads runs in a circle";
			return 0;
		}
		if (list->cnt >= PY_MAX_THREADS) {
			list->note = "incomplete: more than 4096 threads";
			return 0;
		}
		if (py_target__late(t)) {
			list->note = "incomplete: no time left";
			return 0;
		}
		err = read_tstate(t, g, addr, &ts);
		if (err)
			return err == -EFAULT ? -EAGAIN : err;
		if (ts.interp != in->addr)
			return -EAGAIN;
		ref = (struct thread_ref){
			.tstate = addr,
			.interp = in->addr,
			.interp_id = in->id,
			.ident = ts.ident,
			.ns_tid = ts.native_id <= INT32_MAX ? (pid_t)ts.native_id : 0,
			.gil = in->words,
			.frame = ts.frame,
			.chunk = ts.chunk,
			.top = ts.top,
			.fresh = ts.fresh,
			.holds_gil = addr == in->holder,
			.collects = addr == in->holder && is_collecting(t, in->addr),
		};
		err = add(list, &ref);
		if (err)
			return err;
	}
	return 0;
}

static int list_all(const struct py_target *t, struct guess *g, struct thread_refs *list)
{
	const struct py_layout *l = &t->layout;
	struct ring ring = { 0 };
	struct interp in;
	uint64_t addr;
	int err;

	err = mem__read_u64(t->mem, t->runtime + l->runtime.interpreters_head, &addr);
	if (err)
		return err;
	if (!addr)
		return -ENOENT;
	for (size_t i = 0; addr; i++, addr = in.next) {
		if (closes_ring(&ring, addr)) {
			list->note = "incomplete: the list of interpreters runs in a circle";
			return 0;
		}
		if (i >= PY_MAX_INTERPRETERS) {
			list->note = "incomplete: more than 64 interpreters";
			return 0;
		}
		err = read_interp(t, addr, &in);
		if (err)
			return err == -EFAULT ? -EAGAIN : err;
		in.holder = gil_holder(t, in.gil);
		/* free-threaded builds have one that is off; an extension may switch it on */
		if (in.holder || l->code.copies == PY_NONE)
			in.words = words_of(l, in.gil);
		err = list_threads(t, &in, g, list);
		if (err)
			return err;
	}
	return 0;
}

/* Thread states without a native id: the C library's struct of the thread has it. */
static int read_pthread_tids(const struct py_target *t, struct thread_refs *list)
{
	struct mem_range *range = calloc(list->cnt + 1, sizeof(*range));
	uint32_t *tid = calloc(list->cnt + 1, sizeof(*tid));
	int err = -ENOMEM;

	if (!range || !tid)
		goto out;
	for (size_t i = 0; i < list->cnt; i++)
		range[i] = (struct mem_range){ list->ref[i].ident + t->layout.ts.pthread_tid,
					       &tid[i], 4, 0 };
	err = mem__readv(t->mem, range, list->cnt);
	if (err == -EFAULT)
		err = 0;
	for (size_t i = 0; !err && i < list->cnt; i++)
		if (!range[i].err && tid[i] <= INT32_MAX)
			list->ref[i].ns_tid = (pid_t)tid[i];
out:
	free(tid);
	free(range);
	return err;
}

int thread_refs__load(const struct py_target *t, struct thread_refs *list)
{
	struct thread_refs fresh = { .note = "" };
	struct guess g;
	int err;

	err = guess_load(t, list, &g);
	for (int i = 0; !err && i < MAX_TRIES; i++) {
		fresh.cnt = 0;
		fresh.note = "";
		/* the first time each leads to the next; they lie close together */
		mem__use_pages(t->mem, !g.cnt);
		err = list_all(t, &g, &fresh);
		mem__use_pages(t->mem, false);
		if (err != -EAGAIN)
			break;
		/* what was remembered is old by now */
		g.cnt = 0;
		err = i == MAX_TRIES - 1 ? -EFAULT : 0;
	}
	/* a list that changes all the time: what was seen of it is better than nothing */
	if (err == -EFAULT && fresh.cnt) {
		fresh.note = "incomplete: the list of threads changed while it was read";
		err = 0;
	}
	if (!err && t->layout.ts.native_id == PY_NONE)
		err = read_pthread_tids(t, &fresh);
	guess_free(&g);
	if (err) {
		thread_refs__free(&fresh);
		return err;
	}
	thread_refs__free(list);
	*list = fresh;
	return 0;
}

/* ---- the GILs -------------------------------------------------------------------------------- */

#define GIL_SPAN 208 /* x86-64; nothing else is smaller */
#define GIL_COND 32 /* the condition variable behind the words */

bool gil__is_futex(uint64_t words, uint64_t addr)
{
	return words && addr >= words + GIL_COND && addr - words < GIL_SPAN;
}

/* 1 if GIL is one that can be waited for, 0 if not, negative errno. */
static int gil_words(const struct py_target *t, uint64_t gil, uint64_t *words)
{
	uint8_t all[GIL_SPAN];
	struct bytes b = { all, sizeof(all) };
	uint32_t locked;
	int err;

	*words = words_of(&t->layout, gil);
	if (!*words)
		return 0;
	err = mem__read(t->mem, *words, all, sizeof(all));
	if (err)
		return err == -EFAULT ? 0 : err;
	/* -1: not made yet */
	return !bytes_u32(&b, 16, &locked) && locked <= 1;
}

static void add_gil(struct py_gils *out, uint64_t words)
{
	for (size_t i = 0; i < out->cnt; i++)
		if (out->words[i] == words)
			return;
	if (out->cnt == PY_MAX_GILS)
		out->cut = true;
	else
		out->words[out->cnt++] = words;
}

static void add_world(const struct py_target *t, struct py_gils *out, uint64_t base, uint32_t off)
{
	if (off && t->layout.ts.state && out->nworlds < PY_MAX_WORLDS)
		out->world[out->nworlds++] = base + off;
}

/* _PyRuntime.interpreters: head, main, next_id. */
static int read_births(const struct py_target *t, struct py_gils *out)
{
	if (t->layout.interp.gil == PY_NONE)
		return 0;
	out->births_at = t->runtime + t->layout.runtime.interpreters_head + 16;
	return mem__read_u64(t->mem, out->births_at, &out->births);
}

int interp__gils(const struct py_target *t, struct py_gils *out)
{
	struct interp in;
	uint64_t addr, words = 0;
	int ret;

	*out = (struct py_gils){ .thread_id = t->layout.ts.thread_id };
	add_world(t, out, t->runtime, t->layout.runtime.world);
	/* before the list: what is born meanwhile is then noticed */
	ret = read_births(t, out);
	if (!ret)
		ret = mem__read_u64(t->mem, t->runtime + t->layout.runtime.interpreters_head,
				    &addr);
	for (size_t i = 0; !ret && addr && i < PY_MAX_INTERPRETERS; i++, addr = in.next) {
		ret = read_interp(t, addr, &in);
		if (!ret)
			ret = gil_words(t, in.gil, &words);
		if (ret < 0)
			break;
		if (ret)
			add_gil(out, words);
		out->unfinished |= !ret;
		add_world(t, out, in.addr, t->layout.interp.world);
		ret = 0;
	}
	return ret == -EFAULT ? -EIO : ret;
}

/* ---- the world ------------------------------------------------------------------------------- */

#define WORLD_SPAN 24

enum attached { THREAD_DETACHED, THREAD_ATTACHED, THREAD_SUSPENDED }; /* tstate.state */

/* Who of LIST runs on, who has stopped, in the world at AT. */
static int count_threads(const struct py_target *t, uint64_t at, const struct thread_refs *list,
			 struct py_world *out)
{
	const struct py_layout *l = &t->layout;
	struct mem_range *range = calloc(list->cnt + 1, sizeof(*range));
	uint32_t *state = calloc(list->cnt + 1, sizeof(*state));
	int err = -ENOMEM;

	if (!range || !state)
		goto out;
	for (size_t i = 0; i < list->cnt; i++)
		range[i] = (struct mem_range){ list->ref[i].tstate + l->ts.state, &state[i], 4, 0 };
	err = mem__readv(t->mem, range, list->cnt);
	err = err == -EFAULT ? 0 : err;
	for (size_t i = 0; !err && i < list->cnt; i++) {
		const struct thread_ref *ref = &list->ref[i];

		if (range[i].err || ref->tstate == out->requester ||
		    (at != t->runtime + l->runtime.world && at != ref->interp + l->interp.world))
			continue;
		out->nstopped += state[i] == THREAD_SUSPENDED;
		if (state[i] != THREAD_ATTACHED)
			continue;
		out->running = out->nrunning++ ? out->running : ref->tstate;
	}
out:
	free(state);
	free(range);
	return err;
}

int interp__world(const struct py_target *t, uint64_t at, struct py_world *out)
{
	struct thread_refs list = { .note = "" };
	uint8_t words[WORLD_SPAN];
	struct bytes b = { words, sizeof(words) };
	int err;

	*out = (struct py_world){ 0 };
	if (!t->layout.ts.state)
		return -EOPNOTSUPP;
	err = mem__read(t->mem, at, words, sizeof(words));
	if (err)
		return err;
	/* mutex, requested, world_stopped, is_global, ..., requester */
	bytes_u64(&b, 16, &out->requester);
	out->stopping = words[1] == 1 && !words[2] && out->requester;
	if (!out->stopping)
		return 0;
	err = thread_refs__load(t, &list);
	if (!err)
		err = count_threads(t, at, &list, out);
	thread_refs__free(&list);
	return err;
}

void thread_refs__free(struct thread_refs *list)
{
	free(list->ref);
	*list = (struct thread_refs){ .note = "" };
}
