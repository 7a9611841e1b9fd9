// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * account.bpf.c - where the time of threads goes: a note at each switch-out of a watched process.
 *
 * Contexts: account_switch() runs under the run queue's lock. It reads no user memory, allocates
 * nothing, and looks at CLOCK_MONOTONIC ten times a second for each thread: to know how far the
 * scheduler's clock is from it.
 */
#include "bpf/account.bpf.h"

#include "bpf/account_abi.h"
#include "bpf/task.bpf.h"
#include "bpf/thread.bpf.h"

#define CLOCK_EVERY_NS 100000000

/* What of these types is read here: the rest of the tree needs neither. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct rq___account {
	u64 clock;
};
struct cfs_rq___account {
	struct rq___account *rq;
	int throttle_count;
};
struct sched_entity___account {
	u64 sum_exec_runtime;
	struct cfs_rq___account *cfs_rq; /* CONFIG_FAIR_GROUP_SCHED */
};
struct sched_info___account {
	unsigned long long run_delay;
	unsigned long long last_arrival;
	unsigned long long last_queued;
};
struct task_struct___account {
	struct sched_entity___account se;
	bool throttled; /* from 6.18 ("sched/fair: Switch to task based throttle model") */
	struct sched_info___account sched_info; /* CONFIG_SCHED_INFO */
	unsigned long maj_flt;
};
#pragma clang attribute pop

struct accounts_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ACCOUNT_MIN_THREADS); /* the loader decides */
	__type(key, u32);
	__type(value, struct account_thread);
};
struct accounts_map accounts SEC(".maps");

struct account_rings_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ACCOUNT_MIN_THREADS);
	__type(key, u32);
	__type(value, struct account_points);
};
struct account_rings_map account_rings SEC(".maps");

const volatile __u32 account_cnt = ACCOUNT_MIN_THREADS;
const volatile __u64 account_gap_ns = 12500000;

struct account_query account_query;

/* How far the clocks were apart when that was looked at last, for any thread. */
static u64 last_clock_off;

/* Whether the kernel tells the scheduler's clock, and when a thread got its CPU. */
static __always_inline bool has_clock(void)
{
	struct task_struct___account *t = NULL;

	return bpf_core_field_exists(t->se.cfs_rq) && bpf_core_field_exists(t->sched_info);
}

/* The clock of the run queue that TASK leaves, which was just brought up to date: two loads. (The
 * variable `runqueues` is not in the kallsyms of every kernel.) */
static __always_inline u64 sched_clock(struct task_struct___account *t)
{
	struct cfs_rq___account *cfs;
	struct rq___account *rq;

	if (!has_clock())
		return bpf_ktime_get_ns();
	cfs = t->se.cfs_rq;
	if (!cfs)
		return 0;
	rq = cfs->rq;
	return rq ? rq->clock : 0;
}

static __always_inline bool is_throttled(struct task_struct___account *t)
{
	struct cfs_rq___account *cfs = NULL;

	if (bpf_core_field_exists(t->throttled))
		return t->throttled;
	if (!bpf_core_field_exists(t->se.cfs_rq) || !bpf_core_field_exists(cfs->throttle_count))
		return false;
	cfs = t->se.cfs_rq;
	return cfs && cfs->throttle_count > 0;
}

static __always_inline u32 place(u32 tid, u32 turn)
{
	return (tid + turn) & (account_cnt - 1);
}

static __always_inline struct account_thread *find(u32 tid, u32 *index)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < THREAD_PROBES; i++) {
		u32 at = place(tid, i);
		struct account_thread *th = bpf_map_lookup_elem(&accounts, &at);

		if (th && READ_ONCE(th->tid) == tid) {
			*index = at;
			return th;
		}
	}
	return NULL;
}

static __always_inline struct account_thread *claim(u32 tid, u32 *index)
{
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < THREAD_PROBES; i++) {
		u32 at = place(tid, i), old;
		struct account_thread *th = bpf_map_lookup_elem(&accounts, &at);

		if (!th)
			continue;
		old = READ_ONCE(th->tid);
		if ((old && old != tid && !READ_ONCE(th->left)) ||
		    !thread_take((void *)th, old, tid))
			continue;
		*index = at;
		return th;
	}
	count(COUNT_ACCOUNT_FULL);
	return NULL;
}

static __always_inline void look_at(struct task_struct *task, struct account_look *l)
{
	struct task_struct___account *t = (void *)task;

	l->now = sched_clock(t);
	l->raw.cpu = task_cpu_ns(task);
	l->faults = t->maj_flt;
	if (bpf_core_field_exists(t->sched_info))
		l->raw.delay = t->sched_info.run_delay;
	if (has_clock())
		l->arrival = t->sched_info.last_arrival;
}

/* It is seen for the first time: all that is known is since when it runs. */
static __always_inline struct account_thread *begin(struct task_struct *task, u32 handle,
						    const struct account_look *l, u32 *index)
{
	struct account_thread *th = claim(task->pid, index);
	struct account_points *ring;

	if (!th)
		return NULL;
	ring = bpf_map_lookup_elem(&account_rings, index);
	if (!ring)
		return NULL;
	WRITE_ONCE(th->seq, th->seq | 1); /* until the caller has made it whole */
	__builtin_memset(&ring->point[0], 0, sizeof(ring->point[0]));
	ring->point[0].at = l->arrival ? l->arrival : l->now;
	th->newest = 0;
	th->before = l->now - account_gap_ns; /* the next point is another one */
	th->clock_at = 0;
	th->clock_off = last_clock_off;
	th->nips = 0;
	th->task = (u64)task;
	th->nr = thread_nr(task);
	th->raw = l->raw;
	th->raw.cpu = 0;
	th->left = 0;
	th->handle = handle;
	return th;
}

static __always_inline void sync_clock(struct account_thread *th, u64 now)
{
	if (th->clock_at && now - th->clock_at < CLOCK_EVERY_NS)
		return;
	th->clock_off = last_clock_off = bpf_ktime_get_ns() - now;
	th->clock_at = now;
}

__noinline int account_switch(u32 handle, u32 off)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct account_look l = {};
	struct account_points *ring;
	struct account_thread *th;
	struct account_point *p;
	u64 from, to, arg = 0;
	u32 index = 0;
	s32 call;

	look_at(task, &l);
	call = task_call(task, &arg);
	if (off == ACCOUNT_READY && is_throttled((void *)task))
		off = ACCOUNT_THROTTLED;
	if (off == ACCOUNT_CALL && call < 0)
		off = ACCOUNT_FAULT;
	th = find(task->pid, &index);
	if (!th || th->handle != handle || th->task != (u64)task)
		th = begin(task, handle, &l, &index);
	if (!th || READ_ONCE(th->left)) /* in its last moments it may be switched out, too */
		return 0;
	ring = bpf_map_lookup_elem(&account_rings, &index);
	if (!ring)
		return 0;
	sync_clock(th, l.now);
	from = to = th->newest;
	if (l.now - th->before >= account_gap_ns)
		to++;
	barrier_u64(from);
	from &= ACCOUNT_POINTS - 1;
	WRITE_ONCE(th->seq, th->seq | 1);
	th->newest = to;
	barrier_u64(to);
	to &= ACCOUNT_POINTS - 1;
	p = &ring->point[to];
	if (from != to) {
		*p = ring->point[from];
		th->before = p->at;
	}
	account_advance(p, &th->raw, &l, 1);
	p->off = off;
	p->call = call;
	p->arg = arg;
	th->raw = l.raw;
	WRITE_ONCE(th->seq, (th->seq | 1) + 1);
	return 0;
}

/* The run queue's clock may be behind here by a tick of the scheduler. */
__noinline int account_tick(u32 handle)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct account_look l = {};
	struct account_thread *th;
	u32 index = 0;
	u64 i;

	th = find(task->pid, &index);
	if (!th || th->handle != handle || th->task != (u64)task) {
		look_at(task, &l);
		th = begin(task, handle, &l, &index);
		if (!th)
			return 0;
		th->raw = l.raw;
		if (!th->clock_off)
			th->clock_off = bpf_ktime_get_ns() - l.now;
		WRITE_ONCE(th->seq, (th->seq | 1) + 1);
	}
	i = th->nips++;
	barrier_u64(i);
	i &= ACCOUNT_IPS - 1;
	th->ip[i].at = bpf_ktime_get_ns();
	th->ip[i].ip = task_ip(task);
	return 0;
}

__noinline int account_exit(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct account_thread *th;
	u32 index;

	th = find(task->pid, &index);
	if (th)
		WRITE_ONCE(th->left, 1);
	return 0;
}

/* Run by the loader. The task is only an address: it may be gone, or another one. */
SEC("syscall")
int account_ask(void *ctx)
{
	struct account_query *q = &account_query;
	u32 index = q->index;
	struct account_thread *th = bpf_map_lookup_elem(&accounts, &index);
	struct task_struct___account *t;
	struct task_struct *task;

	q->found = 0;
	if (!th || !th->tid || th->left)
		return 0;
	task = (void *)th->task;
	t = (void *)th->task;
	if (BPF_CORE_READ(task, pid) != (pid_t)th->tid)
		return 0;
	q->look.now = bpf_ktime_get_ns() - th->clock_off;
	q->on_cpu = BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu);
	q->look.faults = BPF_CORE_READ(t, maj_flt);
	q->look.arrival = 0;
	q->look.queued = 0;
	q->look.raw.delay = 0;
	/* behind by up to a tick of the scheduler while it runs */
	q->look.raw.cpu = BPF_CORE_READ(t, se.sum_exec_runtime);
	q->found = 1;
	if (bpf_core_field_exists(t->sched_info))
		q->look.raw.delay = BPF_CORE_READ(t, sched_info.run_delay);
	if (!has_clock())
		return 0;
	if (q->on_cpu) {
		q->look.arrival = BPF_CORE_READ(t, sched_info.last_arrival);
		q->look.raw.cpu = 0;
	} else {
		q->look.queued = BPF_CORE_READ(t, sched_info.last_queued);
	}
	return 0;
}
