// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/tasks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "py/asyncio.h"
#include "py/asyncio_relate.h"
#include "py/chain.h"
#include "py/frames.h"
#include "py/kind.h"
#include "py/object.h"
#include "py/taskset.h"
#include "py/tasktree.h"
#include "py/trio.h"

#define MAX_NAME 128 /* characters of a task's name */
#define MAX_RUNNING 256 /* tasks that may be on the stacks of threads */
#define QUALNAMES 256 /* that are remembered: a power of two */

/* PY_TASKS_BRIEF: what was found by the deadline is shown for so long beyond it, being little. */
#define SHOW_NS (10 * NSEC_PER_MSEC)

struct qualname {
	uint64_t code;
	const char *text; /* in the arena */
};

struct tasks {
	const struct py_target *target;
	struct kinds *kinds;
	struct asyncio *asyncio;

	/* of the walk that is under way */
	struct code_cache *codes;
	struct arena *arena;
	struct py_snapshot *snap;
	struct taskset set;
	struct chains chains; /* chain[i] of task[i] */
	struct tasktree_node *node;
	size_t nrunning;
	struct qualname qualname[QUALNAMES];
	struct stack stack; /* a chain, in the form in which code objects are looked up */
	const struct code *code[PY_MAX_FRAMES];
	uint64_t show_until_ns; /* CLOCK_MONOTONIC */
	char left_out[80];
};

struct tasks *tasks__new(const struct py_target *t)
{
	struct tasks *ts = calloc(1, sizeof(*ts));

	if (!ts)
		return NULL;
	ts->target = t;
	ts->kinds = kinds__new(t);
	if (ts->kinds)
		ts->asyncio = asyncio__new(t, ts->kinds);
	if (ts->asyncio)
		return ts;
	tasks__free(ts);
	return NULL;
}

static void clear(struct tasks *ts)
{
	chains__free(&ts->chains);
	free(ts->chains.chain);
	ts->chains = (struct chains){ 0 };
	taskset__free(&ts->set);
	free(ts->node);
	ts->node = NULL;
}

void tasks__free(struct tasks *ts)
{
	if (!ts)
		return;
	clear(ts);
	asyncio__free(ts->asyncio);
	kinds__free(ts->kinds);
	free(ts);
}

/* Files of the libraries whose functions stand for what is waited for. */
static bool in_library(const char *file)
{
	static const char *const dirs[] = { "/asyncio/", "/trio/", "/anyio/", "/uvloop/" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (strstr(file, dirs[i]))
			return true;
	return false;
}

bool tasks__is_loop_frame(const struct py_frame *frame)
{
	return in_library(frame->file);
}

bool tasks__may_wait(const struct tasks *ts, const struct py_snapshot *snap)
{
	if (snap->ntasks || asyncio__is_imported(ts->asyncio))
		return true;
	for (size_t i = 0; i < snap->nthreads; i++)
		for (size_t k = 0; k < snap->thread[i].nframes; k++)
			if (tasks__is_loop_frame(&snap->thread[i].frame[k]))
				return true;
	return false;
}

/* ---- finding --------------------------------------------------------------------------------- */

static int list(struct tasks *ts, enum py_tasks which, const struct thread_refs *refs)
{
	const struct py_target *t = ts->target;
	int err;

	if (which == PY_TASKS_CURRENT) {
		err = asyncio__list_running(ts->asyncio, refs, &ts->set);
		return err ? err : trio__list_running(t, ts->kinds, ts->snap, &ts->set);
	}
	err = asyncio__list(ts->asyncio, refs, &ts->set);
	return err ? err : trio__list(t, ts->kinds, ts->snap, refs, &ts->set);
}

/* Tasks that are done may live on, as long as somebody keeps them. */
static int read_chains(struct tasks *ts)
{
	struct taskset *set = &ts->set;
	size_t kept = 0;
	int err;

	ts->chains.cnt = set->cnt;
	ts->chains.chain = calloc(set->cnt + 1, sizeof(*ts->chains.chain));
	if (!ts->chains.chain)
		return -ENOMEM;
	for (size_t i = 0; i < set->cnt; i++)
		ts->chains.chain[i].coro = set->task[i].coro;
	err = chains__read(ts->target, ts->kinds, &ts->chains);
	if (err)
		return err;
	for (size_t i = 0; i < set->cnt; i++) {
		if (ts->chains.chain[i].state == CORO_DONE)
			continue;
		set->task[kept] = set->task[i];
		ts->chains.chain[kept++] = ts->chains.chain[i];
	}
	set->cnt = ts->chains.cnt = kept;
	return 0;
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Where on a thread's stack the frame at ADDR is; PY_NO_INDEX: not there. */
static size_t find_frame(const struct py_thread *th, uint64_t addr)
{
	for (size_t i = 0; i < th->nframes; i++)
		if (th->frame[i].addr == addr)
			return i;
	return PY_NO_INDEX;
}

/* The coroutine of a running task is on the stack of the thread that runs its loop. */
static void place_running(struct tasks *ts, size_t i)
{
	const struct chain *chain = &ts->chains.chain[i];
	struct coro_task *task = &ts->set.task[i];
	uint64_t frame = ts->chains.link[chain->last].frame;

	if (ts->nrunning++ >= MAX_RUNNING)
		return;
	for (size_t k = 0; k < ts->snap->nthreads; k++) {
		task->depth = find_frame(&ts->snap->thread[k], frame);
		if (task->depth == PY_NO_INDEX)
			continue;
		task->thread = k;
		return;
	}
}

/* Each task gets the thread that runs its loop. */
static int place(struct tasks *ts, const struct thread_refs *refs)
{
	uint64_t *loop = calloc(refs->cnt + 1, sizeof(*loop));
	struct coro_task *task = ts->set.task;
	size_t k, known = TASKSET_NONE;
	int err = -ENOMEM;

	if (loop)
		err = asyncio__running_loops(ts->asyncio, refs, loop);
	ts->nrunning = 0;
	for (size_t i = 0; !err && i < ts->set.cnt; i++) {
		if (ts->chains.chain[i].state == CORO_RUNNING)
			place_running(ts, i);
		if (task[i].library != TASK_ASYNCIO || task[i].thread != TASKSET_NONE)
			continue;
		/* mostly the thread of the task before */
		for (k = known < refs->cnt && loop[known] == task[i].loop ? known : 0;
		     k < refs->cnt && loop[k] != task[i].loop; k++)
			;
		known = k;
		task[i].thread = k < refs->cnt ? k : TASKSET_NONE;
	}
	free(loop);
	return err;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

/* What is shown of a task but its name, as a number. */
static uint64_t look_of(const struct tasks *ts, size_t i)
{
	const struct coro_task *task = &ts->set.task[i];
	const struct chain *chain = &ts->chains.chain[i];
	uint64_t hash = mix(mix(1, task->loop), chain->state * 16 + task->library * 8 +
							task->idle * 4 + (task->waiter != 0) * 2 +
							(task->waits_for != TASKSET_NONE));

	/* each of these has a stack of its own */
	if (chain->state == CORO_RUNNING)
		return 0;
	hash = mix(hash, task->gathers);
	for (uint32_t k = chain->last; k != CHAIN_NONE; k = ts->chains.link[k].outer)
		hash = mix(mix(hash, ts->chains.link[k].code), ts->chains.link[k].instr);
	return hash | 1;
}

static int build(struct tasks *ts, enum py_tasks which, struct tasktree *tree)
{
	bool brief = which == PY_TASKS_BRIEF;
	bool merge = ts->set.cnt > (brief ? PY_BRIEF_MERGE : PY_MERGE_TASKS);

	ts->node = calloc(ts->set.cnt + 1, sizeof(*ts->node));
	if (!ts->node)
		return -ENOMEM;
	for (size_t i = 0; i < ts->set.cnt; i++)
		ts->node[i] = (struct tasktree_node){
			.parent = ts->set.task[i].parent,
			.look = merge ? look_of(ts, i) : 0,
		};
	return tasktree__build(ts->node, ts->set.cnt, brief ? PY_BRIEF_TASKS : PY_MAX_TASKS, tree);
}

/* ---- what is shown --------------------------------------------------------------------------- */

static const char *name_of(struct tasks *ts, size_t i)
{
	struct coro_task *task = &ts->set.task[i];
	const struct kind *k = kinds__of(ts->kinds, task->name);
	struct strbuf text = STRBUF_INIT;
	const char *name = "";
	uint64_t number;

	if (task->shown_name)
		return task->shown_name;
	if (k && k->class == KIND_INT && !object__u64(ts->target, task->name, &number))
		strbuf_addf(&text, "Task-%llu", (unsigned long long)number);
	else if (k && k->class == KIND_STR)
		object__str(ts->target, task->name, MAX_NAME, &text);
	if (text.len && strbuf_str(&text))
		name = arena__str(ts->arena, strbuf_str(&text));
	strbuf_free(&text);
	task->shown_name = *name ? name : "?";
	return task->shown_name;
}

/* Where code objects have no qualified name, coroutines have. */
static const char *qualname_of(struct tasks *ts, const struct chain_link *link, const char *plain)
{
	struct qualname *q = &ts->qualname[link->code / 16 % QUALNAMES];
	struct strbuf text = STRBUF_INIT;
	uint64_t addr;

	if (!ts->target->layout.gen.qualname)
		return plain;
	if (q->code == link->code)
		return q->text;
	*q = (struct qualname){ link->code, plain };
	if (!mem__read_u64(ts->target->mem, link->coro + ts->target->layout.gen.qualname, &addr) &&
	    !object__str(ts->target, addr, PY_MAX_STRING, &text) && strbuf_str(&text))
		q->text = arena__str(ts->arena, strbuf_str(&text));
	strbuf_free(&text);
	return q->text;
}

/* The frames of the chain, innermost first, into OUT. */
static int show_chain(struct tasks *ts, const struct chain *chain, struct py_task *out)
{
	struct stack *s = &ts->stack;
	uint32_t k;
	int err;

	s->cnt = 0;
	for (k = chain->last; k != CHAIN_NONE; k = ts->chains.link[k].outer) {
		const struct chain_link *link = &ts->chains.link[k];

		s->frame[s->cnt++] = (struct stack_frame){ link->frame, link->code, link->instr };
	}
	err = frames__show(ts->codes, s, ts->code, ts->arena, &out->frame, &out->note);
	if (err || !out->frame)
		return err;
	out->nframes = s->cnt;
	k = chain->last;
	for (size_t i = 0; i < s->cnt; i++, k = ts->chains.link[k].outer)
		if (ts->code[i])
			out->frame[i].name =
				qualname_of(ts, &ts->chains.link[k], out->frame[i].name);
	return 0;
}

static enum py_task_state state_of(const struct coro_task *task, enum coroutine_state chain)
{
	if (chain == CORO_CREATED)
		return PY_TASK_CREATED;
	if (chain == CORO_RUNNING)
		return PY_TASK_RUNNING;
	return task->waiter || task->idle ? PY_TASK_WAITING : PY_TASK_READY;
}

/*
 * The function of the library that the program's own code awaits: of the innermost frames that are
 * the library's the outermost one that has a public name.
 */
static const char *library_call(const struct py_task *task)
{
	static const char *const known[][2] = {
		{ "TaskGroup.__aexit__", "the tasks of its TaskGroup" },
		{ "NurseryManager.__aexit__", "the tasks of its nursery" },
		{ "timeout", "timeout" },
	};
	const char *found = "", *last;

	for (size_t i = 0; i < task->nframes && in_library(task->frame[i].file); i++) {
		const char *name = task->frame[i].name;

		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			if (!strcmp(known[k][0], name))
				return known[k][1];
		last = strrchr(name, '.');
		last = last ? last + 1 : name;
		if (*last != '_' || !*found)
			found = name;
	}
	return found;
}

static void say_what_for(struct tasks *ts, const struct coro_task *task, struct py_task *out)
{
	struct strbuf text = STRBUF_INIT;

	out->waits_for = "";
	if (out->state != PY_TASK_WAITING)
		return;
	if (task->waits_for != TASKSET_NONE) {
		strbuf_addf(&text, "task %s", name_of(ts, task->waits_for));
	} else if (task->gathers) {
		strbuf_addf(&text, "gather of %zu", task->gathers);
	} else {
		strbuf_adds(&text, library_call(out));
		if (!text.len)
			strbuf_adds(&text, task->waiter ? "a future" : "");
	}
	if (strbuf_str(&text))
		out->waits_for = arena__str(ts->arena, strbuf_str(&text));
	strbuf_free(&text);
}

static int show(struct tasks *ts, const struct tasktree_group *group, struct py_task *out)
{
	const struct coro_task *task = &ts->set.task[group->node];
	const struct chain *chain = &ts->chains.chain[group->node];
	const struct py_thread *th;
	int err = 0;

	*out = (struct py_task){
		.library = task->library == TASK_TRIO ? "trio" : "asyncio",
		.count = group->cnt,
		.state = state_of(task, chain->state),
		.thread = task->thread,
		.note = chain->note,
	};
	if (ts->node[group->node].circle)
		out->note = "deadlock: it waits for itself in a circle of tasks";
	if (chain->state == CORO_RUNNING && task->thread != TASKSET_NONE) {
		th = &ts->snap->thread[task->thread];
		out->frame = th->frame;
		out->nframes = task->depth < th->nframes ? task->depth + 1 : 0;
		out->current = task->current;
	} else {
		err = show_chain(ts, chain, out);
	}
	if (chain->state == CORO_UNKNOWN && !*out->note)
		out->note = "its coroutine is of an unknown kind";
	if (err)
		return err;
	out->name = name_of(ts, group->node);
	say_what_for(ts, task, out);
	return 0;
}

/* Of the running tasks of a thread the innermost is the current one. */
static int find_current(struct tasks *ts)
{
	struct coro_task *task = ts->set.task;
	size_t *best, th;

	best = calloc(ts->snap->nthreads + 1, sizeof(*best)); /* index of a task, + 1 */
	if (!best)
		return -ENOMEM;
	for (size_t i = 0; i < ts->set.cnt; i++) {
		th = task[i].thread;
		if (ts->chains.chain[i].state != CORO_RUNNING || th == TASKSET_NONE)
			continue;
		if (!best[th] || task[i].depth < task[best[th] - 1].depth)
			best[th] = i + 1;
	}
	for (th = 0; th < ts->snap->nthreads; th++)
		if (best[th])
			task[best[th] - 1].current = true;
	free(best);
	return 0;
}

/* Context of the order in which siblings are read. */
struct siblings {
	struct tasks *tasks;
	const struct tasktree *tree;
};

/* The current task first, then what there is many of, then by name. */
static bool is_before(void *ctx, size_t a, size_t b)
{
	const struct siblings *s = ctx;
	const struct tasktree_group *x = &s->tree->group[a], *y = &s->tree->group[b];
	const struct coro_task *p = &s->tasks->set.task[x->node], *q = &s->tasks->set.task[y->node];

	if (p->current != q->current)
		return p->current;
	if (x->cnt != y->cnt)
		return x->cnt > y->cnt;
	return strverscmp(p->shown_name, q->shown_name) < 0;
}

static int show_tree(struct tasks *ts, const struct tasktree *tree)
{
	struct siblings siblings = { ts, tree };
	struct py_snapshot *snap = ts->snap;
	size_t *order = calloc(2 * tree->cnt + 1, sizeof(*order));
	size_t *at = order ? order + tree->cnt : NULL;
	int err = order ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < tree->cnt; i++)
		name_of(ts, tree->group[i].node);
	if (!err)
		err = tasktree__order(tree, is_before, &siblings, order);
	snap->task = arena__alloc(ts->arena, tree->cnt * sizeof(*snap->task));
	for (size_t i = 0; !err && snap->task && i < tree->cnt; i++) {
		const struct tasktree_group *g = &tree->group[order[i]];

		if (clock_monotonic_ns() >= ts->show_until_ns) {
			snap->tasks_note = "incomplete: no time left to show all tasks";
			break;
		}
		err = show(ts, g, &snap->task[i]);
		at[order[i]] = i;
		snap->task[i].parent = g->parent == TASKTREE_NONE ? PY_NO_INDEX : at[g->parent];
		snap->ntasks += !err;
	}
	free(order);
	return err;
}

static void keep_running(struct tasks *ts)
{
	size_t kept = 0;

	for (size_t i = 0; i < ts->set.cnt; i++) {
		if (ts->chains.chain[i].state != CORO_RUNNING)
			continue;
		ts->set.task[kept] = ts->set.task[i];
		ts->chains.chain[kept++] = ts->chains.chain[i];
	}
	ts->set.cnt = ts->chains.cnt = kept;
}

/* Parents, and what is waited for. */
static int relate(struct tasks *ts)
{
	int err = asyncio__relate(ts->target, ts->kinds, &ts->set);

	return err ? err : trio__relate(ts->target, ts->kinds, &ts->set);
}

static int load(struct tasks *ts, enum py_tasks which, const struct thread_refs *refs)
{
	struct tasktree tree = { 0 };
	int err = list(ts, which, refs);

	if (!err && ts->set.cnt) {
		taskset__index(&ts->set);
		err = read_chains(ts);
	}
	if (err || !ts->set.cnt)
		return err;
	ts->snap->tasks_found = ts->set.cnt;
	if (which == PY_TASKS_CURRENT)
		keep_running(ts);
	err = place(ts, refs);
	if (!err)
		err = find_current(ts);
	if (!err && which != PY_TASKS_CURRENT)
		err = relate(ts);
	if (!err)
		err = build(ts, which, &tree);
	ts->snap->tasks_note = ts->set.note;
	if (!err && tree.left_out) {
		snprintf(ts->left_out, sizeof(ts->left_out),
			 "incomplete: %zu more tasks, each different", tree.left_out);
		ts->snap->tasks_note = arena__str(ts->arena, ts->left_out);
	}
	if (!err)
		err = show_tree(ts, &tree);
	tasktree__free(&tree);
	return err;
}

int tasks__load(struct tasks *ts, enum py_tasks which, struct code_cache *codes,
		const struct thread_refs *refs, struct arena *arena, struct py_snapshot *snap)
{
	int err;

	snap->task = NULL;
	snap->ntasks = snap->tasks_found = 0;
	snap->tasks_note = "";
	ts->set.note = "";
	ts->codes = codes;
	ts->arena = arena;
	ts->snap = snap;
	ts->show_until_ns = ts->target->deadline_ns + (which == PY_TASKS_BRIEF ? SHOW_NS : 0);
	memset(ts->qualname, 0, sizeof(ts->qualname));
	kinds__begin(ts->kinds);
	err = load(ts, which, refs);
	clear(ts);
	if (err == -EOPNOTSUPP)
		snap->tasks_note = "the tasks of this build of Python cannot be read";
	return err == -EOPNOTSUPP ? 0 : err;
}
