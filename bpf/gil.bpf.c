// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * gil.bpf.c - who waits for the GIL of a CPython, and since when. Nothing in the target takes part.
 *
 * A thread that leaves its CPU in futex(2) on an address in gil->cond waits for that GIL; what it
 * means when it is seen the next time is in gil_state.h. The deadline timer (judge.bpf.c) raises
 * episodes that are open for the threshold and tells of those that are over.
 *
 * Contexts: gil_switch() runs under the run queue's lock, gil_tick() in hard interrupt. Nothing is
 * allocated or sent there. Nearly all switches end early: not in a GIL's futex and nothing open is
 * neither a look at the clock nor a read of the target.
 *
 * x86-64 and glibc: whether the current thread holds the GIL is known by pthread_self(), which the
 * holder's thread state has and which is the thread's FS base. Elsewhere no wait is seen.
 */
#include "bpf/gil.bpf.h"

#include "bpf/gil_abi.h"
#include "bpf/task.bpf.h"
#include "bpf/thread.bpf.h"
#include "bpf/top.bpf.h"

#define FUTEX_NR 202
#define WORLD_WAIT_US 1000 /* CPython: stop_the_world() */

struct gils_map gils SEC(".maps");

const volatile __u64 gil_threshold_ns = 200000000;

/* The loader can open watchpoints: until the kernel refuses one. */
__u32 gil_guards; /* __: its type stands in the skeleton */

/* What of these types is read here: the rest of the tree needs neither. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_io_accounting___gil {
	u64 syscr;
	u64 syscw;
};
struct task_struct___gil {
	struct task_io_accounting___gil ioac;
};
#pragma clang attribute pop

/* read(2), write(2) and their like, since it began (CONFIG_TASK_XACCT). */
static __always_inline u64 io_calls(struct task_struct *task)
{
	struct task_io_accounting___gil *io = &((struct task_struct___gil *)task)->ioac;

	return bpf_core_field_exists(io->syscr) ? io->syscr + io->syscw : 0;
}

/* The futex on which TASK waits, 0 = it is in another system call, or in none. */
static __always_inline u64 futex_of(struct task_struct *task)
{
#ifdef __TARGET_ARCH_x86
	u64 arg;

	return task_call(task, &arg) == FUTEX_NR ? arg : 0;
#else
	return 0;
#endif
}

/* What a thread is doing that waits on UADDR, and for which GIL. */
static __always_inline enum gil_where where_is(struct gil_table *t, u64 uaddr, u64 *gil)
{
	if (!uaddr)
		return GIL_ELSEWHERE;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < GIL_MAX; i++) {
		u64 at;

		if (i >= READ_ONCE(t->cnt))
			break;
		*gil = t->gil[i];
		at = uaddr - *gil;
		if (at < GIL_COND || at >= GIL_END)
			continue;
		return at < GIL_MUTEX_AT       ? GIL_WAITS
		       : at < GIL_SWITCH_COND  ? GIL_MUTEX
		       : at < GIL_SWITCH_MUTEX ? GIL_DROPPED
					       : GIL_MUTEX;
	}
	return GIL_ELSEWHERE;
}

/* Has the current thread asked the world of the state at AT to stop, and it has not yet? */
static __always_inline bool waits_for_world(struct gil_table *t, u64 at, struct task_struct *task)
{
	struct stw_words w;
	u64 id;

	if (bpf_probe_read_user(&w, sizeof(w), (void *)at)) {
		count(COUNT_GIL_FAULT);
		return false;
	}
	if (!w.requested || w.stopped || !w.requester)
		return false;
	if (bpf_probe_read_user(&id, sizeof(id), (void *)(w.requester + t->thread_id)))
		return false;
	return id == task_pthread(task);
}

static __always_inline u64 world_of(struct gil_table *t, struct task_struct *task)
{
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < GIL_WORLDS; i++) {
		if (i >= READ_ONCE(t->worlds))
			break;
		if (waits_for_world(t, t->world[i], task))
			return t->world[i];
	}
	return 0;
}

/* Notices that an interpreter was made, which may have a GIL of its own. */
static __always_inline void look_for_births(struct gil_table *t)
{
	u64 n;

	if (READ_ONCE(t->births_at) && !bpf_probe_read_user(&n, sizeof(n), (void *)t->births_at) &&
	    n != t->births)
		WRITE_ONCE(t->born, n);
}

static __always_inline struct gil_thread *claim(struct gil_table *t, u32 tid)
{
	struct gil_thread *th = thread_claim(THREADS_OF(t), tid, false);

	if (th)
		__sync_fetch_and_add(&t->open, 1);
	else
		count(COUNT_GIL_FULL);
	return th;
}

static __always_inline void release(struct gil_table *t, struct gil_thread *th)
{
	__sync_fetch_and_sub(&t->open, 1);
	thread_release((void *)th);
}

/* Reads the GIL's words into L, and who holds it where that matters. A page that is not there is
 * unknown, never unlocked. */
static __always_inline void read_gil(struct gil_table *t, u64 gil, struct task_struct *task,
				     struct gil_look *l)
{
	u64 id = 0;

	if (bpf_probe_read_user(&l->words, sizeof(l->words), (void *)gil)) {
		count(COUNT_GIL_FAULT);
		return;
	}
	l->known = 1;
	if ((l->where != GIL_PREEMPTED && l->where != GIL_MUTEX) || !l->words.holder)
		return;
	if (bpf_probe_read_user(&id, sizeof(id), (void *)(l->words.holder + t->thread_id))) {
		count(COUNT_GIL_FAULT);
		l->known = 0;
		return;
	}
	l->mine = id == task_pthread(task);
}

/* What is over and long enough for a record is left to the timer. */
static __always_inline void note_end(struct proc *p, struct gil_thread *th, struct gil_past *over,
				     u32 flags)
{
	struct gil_wait *w = &th->wait;
	u64 paused = p->pause.total - w->pause_base;

	if (over->flags & GIL_UNSURE)
		count(COUNT_GIL_UNSURE);
	if (top_enabled && !th->stw)
		top_gil_waited(PROC_INDEX(p->handle), gil_waited(over->since, over->end, paused));
	if (gil_waited(over->since, over->end, paused) < gil_threshold_ns)
		return;
	over->flags |= flags | GIL_LONG;
	if (!gil_leave(w, over))
		count(COUNT_GIL_LOST);
}

/* The current thread, seen leaving its CPU or by a tick. */
static __always_inline void observe_thread(struct proc *p, struct gil_table *t,
					   struct gil_thread *th, struct task_struct *task, u64 gil,
					   u32 where, u32 flags)
{
	struct gil_look l = { .where = where, .guards = READ_ONCE(gil_guards) };
	struct gil_wait *w = &th->wait;
	struct gil_past over = {};
	u64 before;

	l.now = bpf_ktime_get_ns();
	l.cpu = task_cpu_ns(task);
	/* it waits for another GIL now: so it has left the one before */
	if (w->since && gil && gil != w->gil) {
		l.where = GIL_ELSEWHERE;
		if (gil_observe(w, &l, &over))
			note_end(p, th, &over, flags);
		l.where = where;
	}
	if (gil && !w->since) {
		w->gil = gil;
		th->stw = where == GIL_STOPS;
	}
	if (where == GIL_WAITS)
		l.sp = task_sp(task);
	l.io = io_calls(task);
	if (th->stw) {
		l.known = 1;
		l.words.interval = WORLD_WAIT_US;
		l.mine = where != GIL_STOPS && !waits_for_world(t, w->gil, task);
	} else if (where != GIL_ELSEWHERE && where != GIL_EXITS && where != GIL_TOUCHES)
		read_gil(t, w->gil, task, &l);
	before = w->since;
	if (gil_observe(w, &l, &over))
		note_end(p, th, &over, flags);
	if (w->since && w->since != before) {
		w->pause_base = stall_pause_at(&p->pause, w->since + p->clock_off);
		count(COUNT_GIL_WAITS);
	}
}

__noinline int gil_switch(u32 proc, u32 voluntary)
{
	struct gil_table *t = bpf_map_lookup_elem(&gils, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct task_struct *task = bpf_get_current_task_btf();
	enum gil_where where = GIL_PREEMPTED;
	struct gil_thread *th;
	bool waits;
	u64 gil = 0, futex;
	u32 tid;

	if (!t || !p)
		return 0;
	if (voluntary) {
		futex = futex_of(task);
		where = where_is(t, futex, &gil);
		if (futex && where == GIL_ELSEWHERE) {
			look_for_births(t);
			gil = world_of(t, task);
			where = gil ? GIL_STOPS : GIL_ELSEWHERE;
		}
	}
	if (top_enabled)
		top_gil_look(proc, where, 1);
	waits = where == GIL_WAITS || where == GIL_DROPPED || where == GIL_STOPS;
	if (!waits && !READ_ONCE(t->open))
		return waits;
	tid = task->pid;
	th = thread_find(THREADS_OF(t), tid);
	if (th && READ_ONCE(th->left))
		return waits;
	if (!th) {
		if (!waits)
			return 0;
		th = claim(t, tid);
		if (!th)
			return waits;
		th->nr = thread_nr(task);
	}
	if (waits || th->wait.since)
		observe_thread(p, t, th, task, waits ? gil : 0, where, 0);
	if (!th->wait.since && !READ_ONCE(th->wait.past.since) && !READ_ONCE(th->wait.told))
		release(t, th);
	return waits;
}

/* Who got the GIL and then computes, alone, may not leave its CPU for long. */
__noinline int gil_tick(u32 proc)
{
	struct gil_table *t = bpf_map_lookup_elem(&gils, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct task_struct *task = bpf_get_current_task_btf();
	struct gil_thread *th;

	if (!t || !p)
		return 0;
	look_for_births(t);
	if (top_enabled)
		top_gil_look(proc, GIL_PREEMPTED, 0);
	if (!READ_ONCE(t->open))
		return 0;
	th = thread_find(THREADS_OF(t), task->pid);
	/* the scheduler brings the CPU time up to date when it ticks or switches */
	if (th && th->wait.since)
		observe_thread(p, t, th, task, 0, GIL_PREEMPTED, GIL_ROUGH);
	return 0;
}

__noinline int gil_exit(u32 proc)
{
	struct gil_table *t = bpf_map_lookup_elem(&gils, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct task_struct *task = bpf_get_current_task_btf();
	struct gil_thread *th;

	if (!t || !p || !READ_ONCE(t->open))
		return 0;
	th = thread_find(THREADS_OF(t), task->pid);
	if (!th)
		return 0;
	if (th->wait.since)
		observe_thread(p, t, th, task, 0, GIL_EXITS, GIL_ROUGH);
	WRITE_ONCE(th->left, 1);
	return 0;
}

/*
 * Attached to a watchpoint on the word of a GIL that who takes or releases it writes, for one
 * thread that has waited for long. It fires in user space, once.
 */
SEC("perf_event")
int gil_touched(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 *index = bpf_task_storage_get(&proc_of, task->group_leader, 0, 0);
	struct event_gil *e;
	struct gil_table *t;
	struct gil_thread *th;
	struct proc *p;

	p = index ? bpf_map_lookup_elem(&procs, index) : NULL;
	t = index ? bpf_map_lookup_elem(&gils, index) : NULL;
	if (!p || !t || !READ_ONCE(p->live))
		return 1;
	th = thread_find(THREADS_OF(t), task->pid);
	if (th && gil_is_guarded(&th->wait))
		observe_thread(p, t, th, task, 0, GIL_TOUCHES, 0);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(COUNT_EVENTS_FULL);
		return 1;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->type = EVENT_GIL_TOUCHED;
	e->proc = p->handle;
	e->now_ns = bpf_ktime_get_ns();
	e->tid = thread_nr(task);
	bpf_ringbuf_submit(e, 0);
	return 1; /* the event counts it, and so does not fire again */
}

/* ---- in the timer ---------------------------------------------------------------------------- */

__noinline u64 gil_waits_since(u32 proc, u32 tid)
{
	struct gil_table *t = bpf_map_lookup_elem(&gils, &proc);
	struct gil_thread *th;

	if (!t || !READ_ONCE(t->open))
		return 0;
	th = thread_find(THREADS_OF(t), tid);
	return th ? READ_ONCE(th->wait.since) : 0;
}

/* Does the thread in place INDEX wait for this GIL? 1 or 0. */
__noinline int gil_waits_for(u32 proc, u32 index, u64 gil)
{
	struct gil_table *t = bpf_map_lookup_elem(&gils, &proc);
	struct gil_wait *w;
	u64 i = index;

	barrier_u64(i);
	if (!t || i >= GIL_THREADS)
		return 0;
	w = &t->thread[i].wait;
	return READ_ONCE(w->since) && w->gil == gil;
}

/* With the test in its place 5.15 tells the turns apart by what was counted so far, and gives up.
 */
__noinline int gil_waiting(u32 proc, u64 gil)
{
	int n = 0;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < GIL_THREADS; i++)
		n += gil_waits_for(proc, i, gil);
	return n;
}

static __always_inline bool tell(struct proc *p, struct event_gil *e)
{
	return judge_tell(p, (void *)e, sizeof(*e), COUNT_VERDICTS);
}

/* What is past, then the end of what was raised and is no more. False: no room, try again later. */
static __always_inline bool tell_ends(struct proc *p, struct gil_thread *th)
{
	struct gil_wait *w = &th->wait;
	struct event_gil e = { .type = EVENT_GIL_END, .gil = w->gil, .tid = th->nr };
	u64 told = w->told, since = READ_ONCE(w->since), past = READ_ONCE(w->past.since);

	if (past) {
		e.start_ns = past;
		e.end_ns = w->past.end;
		e.holder = w->past.holder;
		e.held_ns = w->past.held;
		e.moved = w->past.switches;
		e.flags = w->past.flags | (th->stw ? GIL_STW : 0);
		e.kind = w->past.kind;
		e.drops = w->past.drops;
		if (!tell(p, &e))
			return false;
		if (told == past)
			WRITE_ONCE(w->told, 0);
		WRITE_ONCE(w->past.since, 0);
		return true;
	}
	if (!told || told == since)
		return true;
	/* raised a moment after it was over: too short to have been left for us */
	e.start_ns = told;
	e.end_ns = pass.now;
	e.flags = GIL_UNSURE | GIL_ROUGH | (th->stw ? GIL_STW : 0);
	if (!tell(p, &e))
		return false;
	WRITE_ONCE(w->told, 0);
	return true;
}

/* Has the loader open a watchpoint for a wait that may become too long. */
static __always_inline void ask_for_guard(struct proc *p, struct gil_thread *th, u64 since,
					  u64 paused, u32 index)
{
	struct event_gil e = {
		.type = EVENT_GIL_HALF,
		.gil = th->wait.gil,
		.start_ns = since,
		.tid = th->nr,
		.index = index,
	};
	u64 half = since + gil_threshold_ns / 2 + paused;

	if (th->stw || !READ_ONCE(gil_guards) || th->wait.asked == since)
		return;
	if ((s64)(pass.now - half) < 0)
		judge_again_at(half);
	else if (tell(p, &e))
		th->wait.asked = since;
}

/* When the wait that is open is to be raised: with doubts only if its guard saw nothing for long
 * enough. 0 = not as things are. */
static __always_inline u64 due_at(struct gil_wait *w, u64 since, u64 paused)
{
	u64 due = since + gil_threshold_ns + paused, quiet;

	if (!READ_ONCE(w->doubts))
		return due;
	if (READ_ONCE(w->guarded) != since)
		return 0;
	quiet = READ_ONCE(w->guarded_at) + gil_threshold_ns / 4;
	return (s64)(quiet - due) > 0 ? quiet : due;
}

__noinline int gil_judge_thread(u32 proc, u32 index)
{
	struct gil_table *t = bpf_map_lookup_elem(&gils, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct event_gil e = { .type = EVENT_GIL_WAIT };
	u64 i = index, since, due, paused;
	struct gil_thread *th;
	struct gil_wait *w;

	barrier_u64(i);
	if (!t || !p || i >= GIL_THREADS)
		return 0;
	th = &t->thread[i];
	w = &th->wait;
	if (!READ_ONCE(th->tid) || !tell_ends(p, th))
		return 0;
	since = READ_ONCE(w->since);
	if (!since) {
		if (READ_ONCE(th->left) && !READ_ONCE(w->past.since))
			release(t, th);
		return 0;
	}
	if (w->told == since) {
		pass.watchful = 1;
		return 0;
	}
	paused = p->pause.total - w->pause_base;
	if (READ_ONCE(p->pause.since))
		return 0;
	ask_for_guard(p, th, since, paused, index);
	due = due_at(w, since, paused);
	if (!due) {
		pass.watchful = 1;
		return 0;
	}
	if ((s64)(pass.now - due) < 0) {
		judge_again_at(due);
		return 0;
	}
	e.gil = w->gil;
	e.start_ns = since;
	e.holder = w->holder;
	e.held_ns = w->held;
	e.switches = w->switches;
	e.moved = w->switches - w->first;
	e.kind = gil_kind(w, pass.now);
	e.drops = w->drops;
	e.tid = th->nr;
	e.flags = th->stw ? GIL_STW : 0;
	e.waiting = gil_waiting(proc, w->gil);
	if (tell(p, &e))
		WRITE_ONCE(w->told, since);
	pass.watchful = 1;
	return 0;
}

static __always_inline void tell_births(struct proc *p, struct gil_table *t)
{
	struct event_gil e = { .type = EVENT_GIL_BORN };
	u64 born = READ_ONCE(t->born);

	if (born && born != t->born_told && tell(p, &e))
		t->born_told = born;
}

__noinline int gil_judge(u32 proc)
{
	struct gil_table *t = bpf_map_lookup_elem(&gils, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);

	if (!t || !p || !READ_ONCE(p->live) || !READ_ONCE(p->gils))
		return 0;
	pass.watched++;
	tell_births(p, t);
	if (!READ_ONCE(t->open))
		return 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < GIL_THREADS; i++)
		gil_judge_thread(proc, i);
	return 0;
}
