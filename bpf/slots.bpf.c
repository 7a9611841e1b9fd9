// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * slots.bpf.c - reads the slots of a process whenever one of its threads leaves a CPU, and on the
 * tick while it is on one.
 *
 * Contexts: sched_switch runs under the run queue's lock, the ticks in hard interrupt. Here nothing
 * is allocated, no timer is touched and nothing is sent: a reading is stored, and the deadline
 * timer (judge.bpf.c) looks at it.
 */
#include "bpf/account.bpf.h"
#include "bpf/core.bpf.h"
#include "bpf/gil.bpf.h"
#include "bpf/loop.bpf.h"
#include "bpf/walk.bpf.h"

#define OBSERVE_TURNS 4 /* readings on behalf of other CPUs, by one observer */

/* Ticks of the fallback closer together than this are passed over. */
const volatile __u64 tick_gap_ns = 50000000;

struct last_tick_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
};
struct last_tick_map last_tick SEC(".maps");

/*
 * A read that fails clears its buffer: hence two of them, and only success makes one current.
 * A function of its own for the verifier, to which the loop over counters is dear.
 */
__noinline int slots_read_segment(u32 index)
{
	struct segment *seg = bpf_map_lookup_elem(&segments, &index);
	struct proc *p;
	u64 len, next;
	u32 proc;

	if (!seg)
		return 0;
	len = seg->len;
	next = seg->seq + 1;
	barrier_u64(len);
	if (len > sizeof(seg->raw[0])) {
		count(COUNT_BAD_LEN);
		return 0;
	}
	barrier_u64(next);
	next &= 1;
	if (bpf_probe_read_user(seg->raw[next], len, (void *)seg->addr)) {
		count(COUNT_READ_FAULT);
		if (READ_ONCE(seg->unread) == SEGMENT_READ)
			WRITE_ONCE(seg->unread, SEGMENT_UNREAD);
		return 0;
	}
	if (seg->has_counters) {
		proc = seg->proc;
		p = bpf_map_lookup_elem(&procs, &proc);
		if (p)
			segment_settle_counters(seg, seg->raw[next],
						bpf_ktime_get_ns() + p->clock_off);
	}
	seg->observed++;
	WRITE_ONCE(seg->unread, SEGMENT_READ);
	__sync_fetch_and_add(&seg->seq, 1);
	return 0;
}

/* table_abi.h has the protocol. */
__noinline int slots_observe_segment(u32 index)
{
	struct segment *seg = bpf_map_lookup_elem(&segments, &index);
	u64 seen;

	if (!seg) {
		count(COUNT_NO_SEGMENT);
		return 0;
	}
	__sync_fetch_and_add(&seg->pending, 1);
#pragma clang loop unroll(disable)
	for (int turn = 0; turn < OBSERVE_TURNS; turn++) {
		if (__sync_val_compare_and_swap(&seg->lock, 0, 1)) {
			count(COUNT_READ_BUSY);
			return 0;
		}
		seen = READ_ONCE(seg->pending);
		if (READ_ONCE(seg->live))
			slots_read_segment(index);
		__sync_lock_test_and_set(&seg->lock, 0);
		if (READ_ONCE(seg->pending) == seen)
			return 0;
	}
	count(COUNT_READ_GIVEN_UP);
	WRITE_ONCE(seg->unread, SEGMENT_UNREAD);
	return 0;
}

static __always_inline void observe(struct proc *p)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < PROC_SEGMENTS; i++) {
		if (i >= READ_ONCE(p->nsegments))
			break;
		slots_observe_segment(p->segment[i]);
	}
}

static __always_inline bool may_be_watched(struct task_struct *task)
{
	return READ_ONCE(proc_at[task->tgid & (PROC_PLACES - 1)]);
}

/* The process of a task that may be watched, NULL = it is not. */
static __always_inline struct proc *watched(struct task_struct *task)
{
	u32 tgid = task->tgid, *index;
	u32 first = READ_ONCE(proc_at[tgid & (PROC_PLACES - 1)]) - 1;
	struct proc *p = bpf_map_lookup_elem(&procs, &first);

	if (p && READ_ONCE(p->tgid) == tgid && READ_ONCE(p->live))
		return p;
	index = bpf_task_storage_get(&proc_of, task->group_leader, 0, 0);
	if (!index)
		return NULL;
	p = bpf_map_lookup_elem(&procs, index);
	if (!p) {
		count(COUNT_NO_PROC);
		return NULL;
	}
	if (!p->tgid)
		p->tgid = tgid;
	return READ_ONCE(p->live) ? p : NULL;
}

/* Stopped, traced or frozen: it does not leave the CPU to wait for something of its own. */
static __always_inline bool is_held(struct task_struct *task, u32 state)
{
	if (state & (TASK_STOPPED_BIT | TASK_TRACED_BIT | TASK_FROZEN_BIT))
		return true;
	if (task->flags & PF_FROZEN_BIT)
		return true;
	/* cgroup v2: an ordinary sleep in the state word. Who waits in vfork(2) counts as frozen,
	 * too, but nobody has asked him to freeze. */
	return BPF_CORE_READ_BITFIELD(task, frozen) && task->jobctl & JOBCTL_TRAP_FREEZE_BIT;
}

/* The current task leaves its CPU. A function of its own, so that those that are not watched do not
 * pay for its registers and its stack. */
__noinline int slots_leave(u32 preempt)
{
	struct task_struct *prev = bpf_get_current_task_btf();
	struct proc *p = watched(prev);
	u32 state, off;

	if (!p)
		return 0;
	state = prev->__state;
	if (state & TASK_DEAD_BIT) { /* it has no memory any more, and soon no task_struct */
		WRITE_ONCE(p->last_task, 0);
		return 0;
	}
	WRITE_ONCE(p->last_task, (u64)prev);
	off = preempt || !state ? ACCOUNT_READY : ACCOUNT_CALL;
	if (is_held(prev, state)) {
		off = ACCOUNT_STOPPED;
		pause_begin(p, bpf_ktime_get_ns() + p->clock_off);
	} else if (READ_ONCE(p->pause.since)) {
		pause_end(p, bpf_ktime_get_ns() + p->clock_off);
	}
	observe(p);
	if (READ_ONCE(p->gils) && gil_switch(PROC_INDEX(p->handle), !preempt && state))
		off = ACCOUNT_GIL;
	if (READ_ONCE(p->loops))
		loop_switch(PROC_INDEX(p->handle), !preempt && state);
	account_switch(p->handle, off);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(slots_switch, bool preempt, struct task_struct *prev)
{
	if (may_be_watched(prev))
		slots_leave(preempt);
	return 0;
}

static __always_inline void tick(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct proc *p = may_be_watched(task) ? watched(task) : NULL;

	count(COUNT_TICKS);
	if (!p)
		return;
	count(COUNT_TICKS_WATCHED);
	if (READ_ONCE(p->pause.since))
		pause_end(p, bpf_ktime_get_ns() + p->clock_off);
	observe(p);
	if (READ_ONCE(p->gils))
		gil_tick(PROC_INDEX(p->handle));
	if (READ_ONCE(p->loops))
		loop_tick(PROC_INDEX(p->handle));
	account_tick(p->handle);
}

/* Where the loader may not open an event on a single thread, its stack is taken here, too. */
SEC("perf_event")
int slots_tick(void *ctx)
{
	if (READ_ONCE(walk_wanted))
		walk_if_wanted();
	tick();
	return 0;
}

/*
 * Where perf_event_open is refused: every hrtimer that expires on this CPU, the scheduler's tick
 * among them. Blind on nohz_full CPUs and with highres=off.
 */
SEC("tp_btf/hrtimer_expire_entry")
int slots_tick_hrtimer(void *ctx)
{
	u64 now, *last;
	u32 zero = 0;

	if (READ_ONCE(walk_wanted))
		walk_if_wanted();
	now = bpf_ktime_get_ns();
	last = bpf_map_lookup_elem(&last_tick, &zero);
	if (!last || now - *last < tick_gap_ns)
		return 0;
	*last = now;
	tick();
	return 0;
}
