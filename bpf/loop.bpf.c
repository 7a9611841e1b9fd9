// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * loop.bpf.c - event loops that nobody instrumented: which threads run one, and steps that are too
 * long.
 *
 * A thread that leaves its CPU in epoll_wait(2) or its like may run a loop; so may one that is
 * found computing by a tick. The deadline timer (judge.bpf.c) asks the loader about them. Of those
 * that do, each look reads one word; what it means is in loop_state.h.
 *
 * Contexts: loop_switch() runs under the run queue's lock, loop_tick() in hard interrupt. Nothing
 * is allocated or sent there.
 *
 * x86-64: the system call in which a thread sleeps is known by its registers. Elsewhere no loop is
 * seen.
 */
#include "bpf/loop.bpf.h"

#include "bpf/gil.bpf.h"
#include "bpf/loop_abi.h"
#include "bpf/task.bpf.h"
#include "bpf/thread.bpf.h"
#include "bpf/top.bpf.h"

struct loops_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TABLE_MAX_PROCS);
	__type(key, u32);
	__type(value, struct loop_table);
};
struct loops_map loops SEC(".maps");

const volatile __u64 loop_threshold_ns = 200000000; /* the least of any loop */
extern const volatile __u64 gil_threshold_ns;

/* The descriptor on which TASK waits for events, LOOP_NO_FD = it waits for something else. */
static __always_inline u32 epoll_of(struct task_struct *task)
{
#ifdef __TARGET_ARCH_x86
	u64 arg;

	switch (task_call(task, &arg)) {
	case 232: /* epoll_wait */
	case 281: /* epoll_pwait */
	case 441: /* epoll_pwait2 */
		return arg;
	}
#endif
	return LOOP_NO_FD;
}

/* A free entry; with EVICT else one of a thread that runs no loop, and in *WAIT for how long the
 * loader is not to be asked. */
static __always_inline struct loop_thread *claim(struct loop_table *t, u32 tid, bool evict,
						 u64 *wait)
{
	struct loop_thread *th = thread_claim(THREADS_OF(t), tid, false);

	if (th) {
		__sync_fetch_and_add(&t->open, 1);
		return th;
	}
#pragma clang loop unroll(disable)
	for (u64 i = 0; evict && i < THREAD_PROBES; i++) {
		u32 old;

		th = thread_place(THREADS_OF(t), tid, i);
		old = READ_ONCE(th->tid);
		if (old && READ_ONCE(th->status) == LOOP_NONE &&
		    thread_take((void *)th, old, tid)) {
			t->evictions++;
			*wait = LOOP_ASK_MIN_NS
				<< (t->evictions < LOOP_ASK_DOUBLINGS ? t->evictions
								      : LOOP_ASK_DOUBLINGS);
			return th;
		}
	}
	count(COUNT_LOOP_FULL);
	return NULL;
}

static __always_inline void want(struct loop_thread *th, u64 when)
{
	th->gap_ns = 0;
	WRITE_ONCE(th->ask_ns, when);
	WRITE_ONCE(th->wants, 1);
}

/* A thread that was not known yet is to be asked about. */
static __always_inline void introduce(struct loop_table *t, struct task_struct *task, u32 fd)
{
	u64 wait = fd == LOOP_NO_FD ? loop_threshold_ns / 4 : 0;
	struct loop_thread *th = claim(t, task->pid, fd != LOOP_NO_FD, &wait);

	if (!th)
		return;
	WRITE_ONCE(th->status, LOOP_VOID);
	th->nr = thread_nr(task);
	th->left = 0;
	th->addr = 0;
	th->fd = LOOP_NO_FD;
	th->asked_fd = fd;
	th->asked_ns = 0;
	__builtin_memset(&th->step, 0, sizeof(th->step));
	/* who computes may not have begun with its loop yet */
	want(th, bpf_ktime_get_ns() + wait);
	WRITE_ONCE(th->status, LOOP_NONE);
}

/* What is over and long enough for a record is left to the timer. */
static __always_inline void note_end(struct proc *p, struct loop_step *s, struct loop_past *over)
{
	u64 paused = p->pause.total - s->pause_base;

	if (loop_lasted(over->since, s->held, over->least, paused) >= loop_threshold_ns)
		over->flags |= LOOP_LONG;
	else if (s->told != over->since)
		return;
	if (!loop_leave(s, over))
		count(COUNT_LOOP_LOST);
}

/* OVER: the step that ended, if one did; IN: since when the thread was on its CPU. */
static __always_inline void note_moved(struct proc *p, const struct loop_step *s, u64 moved,
				       u64 now, u64 in, const struct loop_past *over)
{
	u64 paused = p->pause.total - s->pause_base, lasted = 0;

	if (over->since) {
		in = over->end;
		/* 0 would be none */
		lasted = loop_lasted(over->since, 0, over->end, paused) | 1;
	}
	top_loop_moved(PROC_INDEX(p->handle), moved, lasted, now - in);
}

static __always_inline void observe_thread(struct proc *p, struct loop_thread *th,
					   struct task_struct *task, u32 idle, u32 leaves)
{
	struct loop_look l = { .idle = idle, .leaves = leaves };
	struct loop_step *s = &th->step;
	struct loop_past over = {};
	u64 before = s->since, moved = 0, in = 0;

	l.now = bpf_ktime_get_ns();
	l.cpu = task_cpu_ns(task);
	if (bpf_probe_read_user(&l.ver, sizeof(l.ver), (void *)th->addr))
		count(COUNT_LOOP_FAULT);
	else
		l.known = 1;
	if (top_enabled && l.known) {
		moved = l.ver - s->ver;
		in = loop_switched_in(s, &l);
	}
	if (loop_observe(s, &l, &over))
		note_end(p, s, &over);
	if (moved)
		note_moved(p, s, moved, l.now, in, &over);
	if (s->since && s->since != before)
		s->pause_base = stall_pause_at(&p->pause, s->since + p->clock_off);
}

/* It waits on FD, which is not, or not known to be, where its loop does. */
static __always_inline void note_wait(struct loop_thread *th, u32 fd)
{
	if (READ_ONCE(th->asked_fd) != fd) {
		th->asked_fd = fd;
		if (th->asked_ns) /* else it is about to be asked for the first time */
			want(th, bpf_ktime_get_ns());
	} else if (!READ_ONCE(th->wants)) {
		WRITE_ONCE(th->wants, 1);
	}
}

__noinline int loop_switch(u32 proc, u32 voluntary)
{
	struct loop_table *t = bpf_map_lookup_elem(&loops, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct task_struct *task = bpf_get_current_task_btf();
	struct loop_thread *th;
	u32 fd = LOOP_NO_FD, own;

	if (!t || !p)
		return 0;
	if (voluntary)
		fd = epoll_of(task);
	if (fd == LOOP_NO_FD && !READ_ONCE(t->open))
		return 0;
	th = thread_find(THREADS_OF(t), task->pid);
	if (!th) {
		if (fd != LOOP_NO_FD)
			introduce(t, task, fd);
		return 0;
	}
	if (READ_ONCE(th->left))
		return 0;
	own = READ_ONCE(th->fd);
	if (fd != LOOP_NO_FD && fd != own)
		note_wait(th, fd);
	if (READ_ONCE(th->status) == LOOP_RUNS)
		observe_thread(p, th, task, fd != LOOP_NO_FD && (own == LOOP_NO_FD || fd == own),
			       1);
	return 0;
}

__noinline int loop_tick(u32 proc)
{
	struct loop_table *t = bpf_map_lookup_elem(&loops, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct task_struct *task = bpf_get_current_task_btf();
	struct loop_thread *th;

	if (!t || !p)
		return 0;
	th = thread_find(THREADS_OF(t), task->pid);
	if (!th)
		introduce(t, task, LOOP_NO_FD);
	else if (READ_ONCE(th->left))
		return 0;
	else if (READ_ONCE(th->status) == LOOP_RUNS)
		observe_thread(p, th, task, 0, 0);
	else if (READ_ONCE(th->status) == LOOP_NONE && !READ_ONCE(th->wants))
		WRITE_ONCE(th->wants, 1);
	return 0;
}

__noinline int loop_exit(u32 proc)
{
	struct loop_table *t = bpf_map_lookup_elem(&loops, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct task_struct *task = bpf_get_current_task_btf();
	struct loop_thread *th;

	if (!t || !p || !READ_ONCE(t->open))
		return 0;
	th = thread_find(THREADS_OF(t), task->pid);
	if (!th)
		return 0;
	if (READ_ONCE(th->status) == LOOP_RUNS)
		observe_thread(p, th, task, 1, 1);
	WRITE_ONCE(th->left, 1);
	return 0;
}

/* ---- in the timer ---------------------------------------------------------------------------- */

static __always_inline bool tell(struct proc *p, struct event_loop *e)
{
	return judge_tell(p, (void *)e, sizeof(*e),
			  e->type == EVENT_LOOP_ASK ? COUNT_LOOP_ASKS : COUNT_VERDICTS);
}

static __always_inline void ask(struct proc *p, struct loop_thread *th)
{
	struct event_loop e = { .type = EVENT_LOOP_ASK, .addr = th->addr, .tid = th->nr };
	u64 at = READ_ONCE(th->ask_ns), gap = th->gap_ns * 2;

	if ((s64)(th->asked_ns + LOOP_ASK_MIN_NS - at) > 0)
		at = th->asked_ns + LOOP_ASK_MIN_NS;
	if ((s64)(pass.now - at) < 0) {
		judge_again_at(at);
		return;
	}
	if (!tell(p, &e))
		return;
	if (gap < LOOP_ASK_MIN_NS)
		gap = LOOP_ASK_MIN_NS;
	if (gap > LOOP_ASK_MAX_NS)
		gap = LOOP_ASK_MAX_NS;
	th->gap_ns = gap;
	th->asked_ns = pass.now;
	th->ask_ns = pass.now + gap;
	WRITE_ONCE(th->wants, 0);
}

/* What is past, then the end of what was raised and is no more. False: no room, try again later. */
static __always_inline bool tell_ends(struct proc *p, struct loop_thread *th)
{
	struct event_loop e = { .type = EVENT_LOOP_END, .addr = th->addr, .tid = th->nr };
	struct loop_step *s = &th->step;
	u64 told = s->told, since = READ_ONCE(s->since), past = READ_ONCE(s->past.since);

	if (past) {
		e.start_ns = past;
		e.end_ns = s->past.end;
		e.ver = s->past.ver;
		e.flags = s->past.flags;
		if (!tell(p, &e))
			return false;
		if (told == past)
			WRITE_ONCE(s->told, 0);
		WRITE_ONCE(s->past.since, 0);
		return true;
	}
	if (!told || told == since)
		return true;
	/* raised a moment after it was over */
	e.start_ns = told;
	e.end_ns = pass.now;
	e.flags = LOOP_ROUGH;
	if (!tell(p, &e))
		return false;
	WRITE_ONCE(s->told, 0);
	return true;
}

/*
 * A step that waits for the GIL is part of that stall, which is told when the wait has lasted for
 * the threshold. Until then, and until it is over, the step is not raised; what is left of it after
 * a wait that was told counts by itself. True if the step is not to be raised now.
 */
static __always_inline bool waits_for_gil(u32 proc, struct loop_thread *th)
{
	u64 since = gil_waits_since(proc, th->tid), begun = READ_ONCE(th->step.since);

	if (!since)
		return false;
	if (pass.now - since >= gil_threshold_ns)
		th->step.held = pass.now;
	else if (gil_threshold_ns <= loop_threshold_ns && since - begun < gil_threshold_ns / 2)
		judge_again_at(since + gil_threshold_ns);
	else
		return false;
	count(COUNT_LOOP_HELD);
	return true;
}

__noinline int loop_judge_thread(u32 proc, u32 index)
{
	struct loop_table *t = bpf_map_lookup_elem(&loops, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);
	struct event_loop e = { .type = EVENT_LOOP_STALL };
	u64 i = index, since, lasted, paused;
	struct loop_thread *th;
	struct loop_step *s;

	barrier_u64(i);
	if (!t || !p || i >= LOOP_THREADS)
		return 0;
	th = &t->thread[i];
	s = &th->step;
	if (!READ_ONCE(th->tid) || READ_ONCE(th->status) == LOOP_VOID || !tell_ends(p, th))
		return 0;
	if (READ_ONCE(th->left)) {
		if (!READ_ONCE(s->past.since)) {
			WRITE_ONCE(th->status, LOOP_VOID);
			__sync_fetch_and_sub(&t->open, 1);
			thread_release((void *)th);
		}
		return 0;
	}
	if (READ_ONCE(th->wants))
		ask(p, th);
	since = READ_ONCE(s->since);
	if (READ_ONCE(th->status) != LOOP_RUNS || !since)
		return 0;
	if (s->told == since) {
		pass.watchful = 1;
		return 0;
	}
	if (READ_ONCE(p->pause.since))
		return 0;
	paused = p->pause.total - s->pause_base;
	lasted = loop_lasted(since, s->held, pass.now, paused);
	if (lasted < loop_threshold_ns) {
		judge_again_at(pass.now + loop_threshold_ns - lasted);
		return 0;
	}
	if (waits_for_gil(proc, th)) {
		pass.watchful = 1;
		return 0;
	}
	e.addr = th->addr;
	e.start_ns = since;
	e.ver = s->ver;
	e.tid = th->nr;
	e.flags = s->flags;
	if (tell(p, &e))
		WRITE_ONCE(s->told, since);
	pass.watchful = 1;
	return 0;
}

__noinline int loop_judge(u32 proc)
{
	struct loop_table *t = bpf_map_lookup_elem(&loops, &proc);
	struct proc *p = bpf_map_lookup_elem(&procs, &proc);

	if (!t || !p || !READ_ONCE(p->live) || !READ_ONCE(p->loops))
		return 0;
	pass.watched++;
	if (!READ_ONCE(t->open))
		return 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < LOOP_THREADS; i++)
		loop_judge_thread(proc, i);
	return 0;
}
