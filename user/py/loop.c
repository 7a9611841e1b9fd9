// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/loop.h"

#include <stdlib.h>
#include <string.h>

#include "py/asyncio.h"
#include "py/kind.h"
#include "py/object.h"
#include "py/variable.h"

#define MRO_FROM_DICT 80 /* tp_mro is the tenth word after tp_dict, in all versions */
#define TRIO_RUN "trio/_core/_run.py"
#define MAX_UPTIME_S 1e10 /* of the machine, by the target's own clock */
#define MAX_MRO 16 /* classes that are looked at for one of uvloop's */

struct loops {
	const struct py_target *target;
	struct kinds *kinds;
	struct asyncio *asyncio;
};

struct loops *loops__new(const struct py_target *t)
{
	struct loops *loops = calloc(1, sizeof(*loops));

	if (!loops)
		return NULL;
	loops->target = t;
	loops->kinds = kinds__new(t);
	if (loops->kinds)
		loops->asyncio = asyncio__new(t, loops->kinds);
	if (loops->asyncio)
		return loops;
	loops__free(loops);
	return NULL;
}

void loops__free(struct loops *loops)
{
	if (!loops)
		return;
	asyncio__free(loops->asyncio);
	kinds__free(loops->kinds);
	free(loops);
}

struct marker {
	const char *name; /* of a function; NULL = none */
	const char *file; /* how the file of it ends */
};

/* A thread with such a frame runs a loop: the outermost names it. */
static const struct {
	enum py_loop_kind kind;
	struct marker frame;
} runs[] = {
	{ PY_LOOP_ASYNCIO, { "_run_once", ".py" } },
	{ PY_LOOP_TRIO, { "run", TRIO_RUN } },
	{ PY_LOOP_TRIO, { "unrolled_run", TRIO_RUN } },
	{ PY_LOOP_GEVENT, { "run", "gevent/hub.py" } },
};

/* What is called by these is a step, unless the loop waits. */
static const struct marker steps[] = {
	[PY_LOOP_ASYNCIO] = { "_run_once", ".py" },
	[PY_LOOP_TRIO] = { "unrolled_run", TRIO_RUN },
};

/* The innermost frames of a loop that waits, or is about to. */
static const struct {
	enum py_loop_kind kind;
	struct marker inner, outer;
} waits[] = {
	{ PY_LOOP_ASYNCIO, { "select", "selectors.py" }, { "_run_once", ".py" } },
	{ PY_LOOP_TRIO, { "get_events", "trio/_core/_io_epoll.py" }, { "run", TRIO_RUN } },
	{ PY_LOOP_GEVENT, { "run", "gevent/hub.py" }, { NULL, NULL } },
};

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

/* The names of functions are qualified from 3.11 on. */
static bool is_frame(const struct py_frame *f, const struct marker *m)
{
	const char *dot = strrchr(f->name, '.');

	return !strcmp(dot ? dot + 1 : f->name, m->name) && ends_with(f->file, m->file);
}

static enum py_loop_kind kind_by_stack(const struct py_thread *th)
{
	for (size_t i = th->nframes; i-- > 0;)
		for (size_t k = 0; k < sizeof(runs) / sizeof(runs[0]); k++)
			if (is_frame(&th->frame[i], &runs[k].frame))
				return runs[k].kind;
	return PY_LOOP_NONE;
}

static bool inside_by_stack(const struct py_thread *th, enum py_loop_kind kind)
{
	if (kind >= sizeof(steps) / sizeof(steps[0]) || !steps[kind].name)
		return false;
	for (size_t i = 1; i < th->nframes; i++)
		if (is_frame(&th->frame[i], &steps[kind]))
			return true;
	return false;
}

static bool waits_by_stack(const struct py_thread *th, enum py_loop_kind kind)
{
	for (size_t k = 0; k < sizeof(waits) / sizeof(waits[0]); k++) {
		if (waits[k].kind != kind || !th->nframes ||
		    !is_frame(&th->frame[0], &waits[k].inner))
			continue;
		if (!waits[k].outer.name)
			return true;
		return th->nframes > 1 && is_frame(&th->frame[1], &waits[k].outer);
	}
	return false;
}

/* The loop that asyncio's functions find in that thread; 0 = none. */
static uint64_t running_loop(struct loops *loops, uint64_t tstate)
{
	struct thread_ref ref = { .tstate = tstate };
	struct thread_refs refs = { .ref = &ref, .cnt = 1 };
	const struct kind *k;
	uint64_t loop = 0;

	if (asyncio__running_loops(loops->asyncio, &refs, &loop))
		return 0;
	k = kinds__of(loops->kinds, loop);
	return k && k->class != KIND_NONE ? loop : 0;
}

/* uvloop.Loop is a class of Python on top of one of C. */
static bool is_uvloop(const struct loops *loops, uint64_t loop)
{
	const struct py_target *t = loops->target;
	const struct py_layout *l = &t->layout;
	uint64_t type, mro, cnt, class[MAX_MRO];
	const struct kind *k;

	if (mem__read_u64(t->mem, loop + l->object.type, &type) ||
	    mem__read_u64(t->mem, type + l->type.dict + MRO_FROM_DICT, &mro) ||
	    mem__read_u64(t->mem, mro + l->object.var_size, &cnt))
		return false;
	cnt = cnt < MAX_MRO ? cnt : MAX_MRO;
	if (mem__read(t->mem, mro + l->tuple.items, class, cnt * sizeof(class[0])))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		k = kinds__get(loops->kinds, class[i]);
		if (k && !strncmp(k->name, "uvloop", strlen("uvloop")))
			return true;
	}
	return false;
}

/*
 * asyncio has looked at the clock (`end_time`) when its wait was over, before the first step that
 * came of it. Later ones have none of their own: `i` counts them.
 */
static uint64_t step_begun(const struct loops *loops, const struct py_thread *th)
{
	const struct py_target *t = loops->target;
	uint64_t count, index, time;
	double seconds;
	size_t i;

	for (i = 0; i < th->nframes && !is_frame(&th->frame[i], &steps[PY_LOOP_ASYNCIO]); i++)
		;
	if (i == th->nframes || variable__read(t, loops->kinds, th->frame[i].addr, "i", &count) ||
	    object__u64(t, count, &index) || index ||
	    variable__read(t, loops->kinds, th->frame[i].addr, "end_time", &time) ||
	    mem__read(t->mem, time + t->layout.number.value, &seconds, sizeof(seconds)) ||
	    !(seconds > 0 && seconds < MAX_UPTIME_S))
		return 0;
	return (uint64_t)(seconds * 1e9);
}

int loops__look(struct loops *loops, const struct py_thread *th, struct py_loop *out)
{
	const struct py_target *t = loops->target;
	uint64_t word[2];
	int err;

	*out = (struct py_loop){ .tstate = th->tstate,
				 .ver_addr = th->tstate + t->layout.ts.context + 8 };
	err = mem__read(t->mem, th->tstate + t->layout.ts.context, word, sizeof(word));
	if (err)
		return err;
	out->context = word[0];
	out->ver = word[1];
	kinds__begin(loops->kinds);
	out->running = running_loop(loops, th->tstate);
	out->kind = kind_by_stack(th);
	if (out->kind == PY_LOOP_ASYNCIO && !out->running)
		out->kind = PY_LOOP_NONE;
	else if (out->running && is_uvloop(loops, out->running))
		out->kind = PY_LOOP_UVLOOP;
	else if (out->running && out->kind == PY_LOOP_NONE)
		out->kind = PY_LOOP_ASYNCIO;
	out->waits = waits_by_stack(th, out->kind);
	out->inside = !out->waits && inside_by_stack(th, out->kind);
	if (out->inside && out->kind == PY_LOOP_ASYNCIO && th->exact && th->state == PY_BLOCKED)
		out->begun_ns = step_begun(loops, th);
	return 0;
}
