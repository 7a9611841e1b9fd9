// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "proc/syscall.h"
#include "proc/task.h"
#include "py/code.h"
#include "py/greenlets.h"
#include "py/interp.h"
#include "py/locals.h"
#include "py/moment.h"
#include "py/names.h"
#include "py/scout.h"
#include "py/stack.h"
#include "py/tasks.h"
#include "py/tids.h"

/* Who waits for the GIL wakes every 5 ms: soon it stands still for a look. */
#define MAX_ATTEMPTS 6
#define MAX_CAPTURES 3
#define MAX_TASK_ATTEMPTS 3
#define MAX_NATIVES 64 /* C stacks that are kept */
#define COPIES 256 /* a power of two */
#define UNPROVEN "no whole stack has shown yet that this Python is read right"

/* Names of a code object that were copied into the snapshot: recursion shares them. */
struct copy {
	const char *file, *name;
};

struct walker {
	const struct py_target *target;
	struct stack_reader *reader;
	struct code_cache *codes;
	struct thread_names *names;
	struct scout *scout;
	struct tasks *tasks;
	struct locals *locals; /* made when they are asked for, */
	struct greenlets *greenlets; /* and so are these */
	struct thread_refs refs;
	struct pywalk_layout layout;
	uint64_t main_interp;
	bool proven; /* a whole stack was seen */

	/* of the thread that is being walked */
	struct stack stack;
	const struct code *code[PY_MAX_FRAMES];
	struct line_place place[PY_MAX_FRAMES];
	struct pywalk_record record;

	/* of the walk that is under way */
	struct tids tids;
	struct copy copy[COPIES];
	py_capture_fn capture;
	void *capture_ctx;
	bool want_locals;
	size_t nnatives;
};

struct walker *walker__new(const struct py_target *t)
{
	struct walker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->target = t;
	w->reader = stack_reader__new(t);
	w->codes = code_cache__new(t);
	w->names = thread_names__new(t);
	w->scout = scout__new(t);
	w->tasks = tasks__new(t);
	py_layout__export(&t->layout, &w->layout);
	if (w->reader && w->codes && w->names && w->scout && w->tasks)
		return w;
	walker__free(w);
	return NULL;
}

void walker__free(struct walker *w)
{
	if (!w)
		return;
	tids__free(&w->tids);
	locals__free(w->locals);
	greenlets__free(w->greenlets);
	thread_refs__free(&w->refs);
	thread_names__free(w->names);
	scout__free(w->scout);
	tasks__free(w->tasks);
	code_cache__free(w->codes);
	stack_reader__free(w->reader);
	free(w);
}

/* ---- one stack ------------------------------------------------------------------------------- */

/*
 * Code objects and lines of the stack that was read. -EAGAIN: a pointer is no code object or an
 * instruction is not in it, so the stack was torn (or its memory is damaged).
 */
static int find_code(struct walker *w)
{
	bool torn = false;
	int err = code_cache__load(w->codes, &w->stack, w->code);

	if (err)
		return err;
	for (size_t i = 0; i < w->stack.cnt; i++) {
		if (!w->code[i] ||
		    code__place(w->codes, w->code[i], w->stack.frame[i].instr, &w->place[i]))
			torn = true;
	}
	return torn ? -EAGAIN : 0;
}

/* A whole chain that ends where the thread began. */
static bool whole(const struct stack *s)
{
	return !s->note[0] && (!s->bottom || stack__at_bottom(s));
}

/* The same; what comes out may prove the layout. */
static int resolve(struct walker *w)
{
	int err = find_code(w);

	w->proven |= !err && w->stack.bottom && whole(&w->stack);
	return err;
}

static int read_stack(struct walker *w, uint64_t tstate, bool at_rest)
{
	int err = stack__read(w->reader, tstate, at_rest, &w->stack);

	return err ? err : resolve(w);
}

/* 0 and an exact stack; -EAGAIN: ask again; -EOPNOTSUPP: there is no such means. */
static int capture_stack(struct walker *w, const struct thread_ref *ref, pid_t tid)
{
	struct pywalk_record *rec = &w->record;
	struct pywalk_layout layout = w->layout;
	int err;

	if (ref->stale_id)
		layout.ts_native_id = PYWALK_NONE;
	rec->native.ip = 0;
	err = w->capture(w->capture_ctx, tid, ref->tstate, &layout, rec);
	if (err)
		return err;
	if (rec->tstate != ref->tstate)
		return -EAGAIN;
	err = stack__from_record(w->reader, rec, &w->stack);
	if (err)
		return err;
	if (rec->flags & PYWALK_FAULT) {
		/* a remote read brings the pages back for the next tick */
		stack__read(w->reader, ref->tstate, false, &w->stack);
		return -EAGAIN;
	}
	err = resolve(w);
	return err ? err : whole(&w->stack) || rec->flags & PYWALK_LIMIT ? 0 : -EAGAIN;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static const struct copy *copy_names(struct walker *w, struct arena *arena, const struct code *c)
{
	struct copy *copy = &w->copy[c->addr / 16 % COPIES];

	if (!copy->file || strcmp(copy->file, c->file))
		copy->file = arena__str(arena, c->file);
	if (!copy->name || strcmp(copy->name, c->name))
		copy->name = arena__str(arena, c->name);
	return copy;
}

static void show_stack(struct walker *w, struct arena *arena, struct py_thread *out)
{
	const struct stack *s = &w->stack;
	const struct copy *copy;

	out->cut = s->cut;
	out->outer = s->cut ? STACK_OUTER : 0;
	out->frame = arena__alloc(arena, s->cnt * sizeof(*out->frame));
	if (!out->frame)
		return;
	out->nframes = s->cnt;
	for (size_t i = 0; i < s->cnt; i++) {
		struct py_frame *f = &out->frame[i];

		*f = (struct py_frame){ .file = "?",
					.name = "?",
					.place = { .column = -1, .end_column = -1 },
					.addr = s->frame[i].addr };
		if (!w->code[i])
			continue;
		copy = copy_names(w, arena, w->code[i]);
		f->file = copy->file;
		f->name = copy->name;
		f->place = w->place[i];
		f->line = w->place[i].line > 0 ? w->place[i].line : 0;
	}
}

/* The thread stood still: this is its stack, as far as its memory makes sense. */
static void show_blocked(struct walker *w, const struct thread_ref *ref, int err,
			 struct arena *arena, struct py_thread *out)
{
	show_stack(w, arena, out);
	if (err == -EAGAIN)
		out->note = "incomplete: a frame has no code object";
	else if (w->stack.note[0])
		out->note = w->stack.note;
	else if (!whole(&w->stack))
		out->note = "incomplete: the stack does not end where the thread began";
	else if (w->target->layout.ts.native_id_of_creator && ref->interp != w->main_interp)
		out->note = "the thread id of a subinterpreter may be another thread's";
	else
		out->exact = true;
	for (size_t i = 0; w->want_locals && out->exact && i < out->nframes; i++)
		locals__show(w->locals, i, arena, &out->frame[i]);
}

/* ERR: what reading the stack that is at hand gave. */
static void show_unstable(struct walker *w, int err, struct arena *arena, struct py_thread *out)
{
	out->note = out->state == PY_RUNNING ? "running, stack not stable"
					     : "it moved at each look, stack not stable";
	if (!err && whole(&w->stack))
		show_stack(w, arena, out);
}

/* As much of it as there is. Of thousands of threads that run a few are kept. */
static void keep_native(struct walker *w, struct arena *arena, struct py_thread *out)
{
	const struct pywalk_native *n = &w->record.native;
	size_t len = offsetof(struct pywalk_native, stack) + n->stack_len;
	struct pywalk_native *copy;

	if (!n->ip || (w->nnatives >= MAX_NATIVES && !out->holds_gil))
		return;
	copy = arena__alloc(arena, len);
	if (!copy)
		return;
	memcpy(copy, n, len);
	out->native = copy;
	w->nnatives++;
}

static void show_captured(struct walker *w, struct arena *arena, struct py_thread *out)
{
	show_stack(w, arena, out);
	out->state = PY_RUNNING;
	out->note = w->stack.note;
	out->exact = !w->stack.note[0];
	keep_native(w, arena, out);
}

/* Where the thread is; the rest of *OUT is kept. */
static void show_moment(struct py_thread *out, const struct moment *at)
{
	out->state = at->state;
	out->uninterruptible = at->uninterruptible;
	out->knows_call = at->knows_call;
	out->call = at->call;
	out->waits_gil = at->knows_call && syscall_about(at->call.nr) == SYSCALL_FUTEX &&
			 gil__is_futex(out->gil, at->call.arg[0]);
}

/* One attempt. 0: *OUT is done; -EAGAIN: the thread moved. Other errors end the walk. */
static int attempt(struct walker *w, const struct thread_ref *ref, int *captures,
		   struct arena *arena, struct py_thread *out)
{
	struct moment before, after;
	int err;

	moment__look(w->target->pid, out->tid, &before);
	show_moment(out, &before);
	if (before.state == PY_GONE) {
		out->note = "there is no such thread any more";
		return 0;
	}
	if (!before.off && w->capture && out->tid && *captures < MAX_CAPTURES) {
		++*captures;
		err = capture_stack(w, ref, out->tid);
		if (!err)
			show_captured(w, arena, out);
		if (err == -EOPNOTSUPP)
			w->capture = NULL;
		return err ? -EAGAIN : 0;
	}
	err = read_stack(w, ref->tstate, before.off);
	if (err && err != -EAGAIN && err != -EFAULT)
		return err;
	if (!err && before.off && w->want_locals) {
		err = locals__read(w->locals, &w->stack);
		if (err)
			return err;
	}
	moment__look(w->target->pid, out->tid, &after);
	if (moment__stood_still(&before, &after) && err != -EFAULT) {
		out->switches = after.switches;
		show_blocked(w, ref, err, arena, out);
		return 0;
	}
	if (after.off || before.off || err)
		return -EAGAIN;
	show_unstable(w, 0, arena, out);
	return 0;
}

static int walk_thread(struct walker *w, const struct thread_ref *ref, struct arena *arena,
		       struct py_thread *out)
{
	int captures = 0, err = -EAGAIN;

	for (int i = 0; i < MAX_ATTEMPTS && err == -EAGAIN; i++) {
		if (py_target__late(w->target)) {
			out->note = "incomplete: no time left";
			return 0;
		}
		err = attempt(w, ref, &captures, arena, out);
	}
	if (err != -EAGAIN)
		return err;
	err = read_stack(w, ref->tstate, false);
	if (err && err != -EAGAIN && err != -EFAULT)
		return err;
	show_unstable(w, err, arena, out);
	return 0;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* Loops in C (uvloop's) have no frames, but tasks. */
static bool runs_a_loop(const struct py_snapshot *snap, size_t thread)
{
	const struct py_thread *th = &snap->thread[thread];

	for (size_t i = 0; i < snap->ntasks; i++)
		if (snap->task[i].thread == thread)
			return true;
	for (size_t i = 0; i < th->nframes; i++)
		if (tasks__is_loop_frame(&th->frame[i]))
			return true;
	return false;
}

/*
 * Only the thread of a loop changes its tasks, so those of one that stood still are exact. Returns
 * how many threads of loops moved though they had been off CPU: another try may find them at rest.
 */
static size_t judge_tasks(struct walker *w, struct py_snapshot *snap)
{
	size_t moved = 0;

	for (size_t i = 0; i < snap->nthreads; i++) {
		struct py_thread *th = &snap->thread[i];
		bool still;

		if (!runs_a_loop(snap, i))
			continue;
		still = moment__still_stands(w->target->pid, th);
		moved += !still && th->state != PY_RUNNING;
		for (size_t k = 0; k < snap->ntasks; k++) {
			if (snap->task[k].thread != i)
				continue;
			snap->task[k].exact = still;
			if (!still && !*snap->tasks_note)
				snap->tasks_note =
					"a moving picture: a loop ran while its tasks were read";
		}
	}
	return moved;
}

/* Each thread gets the name of the task that it runs. */
static void name_current(struct py_snapshot *snap)
{
	for (size_t i = 0; i < snap->ntasks; i++)
		if (snap->task[i].current && snap->task[i].thread < snap->nthreads)
			snap->thread[snap->task[i].thread].task = snap->task[i].name;
}

static int load_tasks(struct walker *w, enum py_tasks which, struct arena *arena,
		      struct py_snapshot *snap)
{
	int err;

	for (int i = 1;; i++) {
		err = tasks__load(w->tasks, which, w->codes, &w->refs, arena, snap);
		if (err || !judge_tasks(w, snap) || !w->proven || i == MAX_TASK_ATTEMPTS ||
		    py_target__late(w->target))
			return err;
		/* the stack and the tasks shall be of one moment */
		for (size_t k = 0; k < snap->nthreads; k++) {
			struct py_thread *th = &snap->thread[k];

			if (!runs_a_loop(snap, k) || th->state == PY_RUNNING ||
			    moment__still_stands(w->target->pid, th))
				continue;
			th->exact = false;
			th->note = "";
			err = walk_thread(w, &w->refs.ref[k], arena, th);
			if (err)
				return err;
		}
	}
}

void walker__add_tasks(struct walker *w, struct arena *arena, struct py_snapshot *snap)
{
	struct py_snapshot running = *snap;
	int err;

	if (!tasks__may_wait(w->tasks, snap))
		return;
	err = tasks__load(w->tasks, PY_TASKS_BRIEF, w->codes, &w->refs, arena, snap);
	if (err)
		snap->tasks_note = "incomplete: the tasks that wait could not be read";
	if (!err && snap->ntasks) {
		judge_tasks(w, snap);
		return;
	}
	if (*snap->tasks_note)
		running.tasks_note = snap->tasks_note;
	if (snap->tasks_found > running.tasks_found)
		running.tasks_found = snap->tasks_found;
	*snap = running;
}

/* ---- greenlets ------------------------------------------------------------------------------- */

/* Only their own thread switches to them. */
static int load_greenlets(struct walker *w, struct arena *arena, struct py_snapshot *snap)
{
	int err;

	if (!w->greenlets)
		w->greenlets = greenlets__new(w->target);
	if (!w->greenlets)
		return -ENOMEM;
	err = greenlets__load(w->greenlets, w->codes, &w->refs, arena, snap);
	for (size_t i = 0; !err && i < snap->nthreads; i++) {
		bool still = moment__still_stands(w->target->pid, &snap->thread[i]);

		for (size_t k = 0; k < snap->ngreenlets; k++)
			if (snap->greenlet[k].thread == i)
				snap->greenlet[k].exact = still && !*snap->greenlet[k].note;
	}
	return err;
}

/* ---- all threads ----------------------------------------------------------------------------- */

static const char *comm_of(const struct walker *w, struct arena *arena, pid_t tid)
{
	struct strbuf text = STRBUF_INIT;
	struct task_stat stat;
	const char *name = "";

	if (tid > 0 && !task_stat__load(w->target->pid, tid, &stat)) {
		text_sanitize(&text, stat.comm, strlen(stat.comm));
		if (strbuf_str(&text))
			name = arena__str(arena, strbuf_str(&text));
		strbuf_free(&text);
	}
	return name;
}

static int begin(struct walker *w, const struct py_walk_opts *opts)
{
	const struct py_target *t = w->target;
	int err;

	memset(w->copy, 0, sizeof(w->copy));
	w->nnatives = 0;
	w->capture = opts ? opts->capture : NULL;
	w->capture_ctx = opts ? opts->capture_ctx : NULL;
	w->want_locals = opts && opts->locals;
	if (w->want_locals) {
		if (!w->locals)
			w->locals = locals__new(t);
		if (!w->locals)
			return -ENOMEM;
		locals__begin(w->locals, opts->locals);
	}
	tids__load(&w->tids, t);
	err = mem__read_u64(t->mem, t->runtime + t->layout.runtime.interpreters_main,
			    &w->main_interp);
	if (!err)
		err = thread_refs__load(t, &w->refs);
	if (!err)
		scout__run(w->scout, &w->refs, w->reader);
	return err;
}

/* A stack is called exact only when one was seen that shows that the layout is right. */
static void doubt(struct py_snapshot *snap)
{
	for (size_t i = 0; i < snap->nthreads; i++) {
		struct py_thread *th = &snap->thread[i];

		if (th->exact)
			th->note = UNPROVEN;
		th->exact = false;
	}
}

static int walk_threads(struct walker *w, struct arena *arena, struct py_snapshot *out)
{
	int err = scout__load_codes(w->scout, w->codes);

	if (!err)
		err = thread_names__load(w->names, &w->refs);
	if (err)
		return err;
	out->note = w->refs.note;
	out->thread = arena__alloc(arena, w->refs.cnt * sizeof(*out->thread));
	if (!out->thread)
		return -ENOMEM;
	for (size_t i = 0; i < w->refs.cnt; i++) {
		struct thread_ref *ref = &w->refs.ref[i];
		struct py_thread *th = &out->thread[i];
		const char *name = thread_names__get(w->names, ref);

		*th = (struct py_thread){
			.ident = ref->ident,
			.tstate = ref->tstate,
			.ns_tid = ref->ns_tid,
			.tid = tids__of(&w->tids, w->target, ref),
			.interp_id = ref->interp_id,
			.gil = ref->gil,
			.holds_gil = ref->holds_gil,
			.collects = ref->collects,
			.note = "",
			.task = "",
		};
		th->name = name ? arena__str(arena, name) : comm_of(w, arena, th->tid);
		err = walk_thread(w, ref, arena, th);
		if (err)
			return err;
		out->nthreads++;
	}
	if (!w->proven)
		doubt(out);
	return 0;
}

int walker__run(struct walker *w, const struct py_walk_opts *opts, struct arena *arena,
		struct py_snapshot *out)
{
	int err = begin(w, opts);

	if (!err)
		err = walk_threads(w, arena, out);
	if (err)
		return err;
	out->tasks_note = "";
	if (opts && opts->tasks != PY_TASKS_NONE)
		err = load_tasks(w, opts->tasks == PY_TASKS_BRIEF ? PY_TASKS_CURRENT : opts->tasks,
				 arena, out);
	name_current(out);
	out->greenlets_note = "";
	if (!err && opts && opts->greenlets)
		err = load_greenlets(w, arena, out);
	if (err)
		return err;
	if (w->want_locals && !out->note[0])
		out->note = locals__note(w->locals);
	if (arena->failed)
		out->note = "incomplete: the stacks did not fit into 64 MiB";
	return 0;
}

/* One thread: a chain that stood still and yet is none shows that the layout is wrong. */
static int test_thread(struct walker *w, struct thread_ref *ref, struct walk_test *out)
{
	pid_t tid = tids__of(&w->tids, w->target, ref);
	struct moment before, after;
	int err;

	out->threads++;
	moment__look(w->target->pid, tid, &before);
	err = read_stack(w, ref->tstate, before.off);
	if (err && err != -EAGAIN && err != -EFAULT)
		return err;
	moment__look(w->target->pid, tid, &after);
	out->with_frames += err || w->stack.bottom;
	out->wrong += (err || !whole(&w->stack)) && moment__stood_still(&before, &after);
	return 0;
}

int walker__test(struct walker *w, struct walk_test *out)
{
	int err = begin(w, NULL);

	*out = (struct walk_test){ 0 };
	for (size_t i = 0; !err && !w->proven && i < w->refs.cnt && !py_target__late(w->target);
	     i++)
		err = test_thread(w, &w->refs.ref[i], out);
	out->proven = w->proven;
	return err;
}
