/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * account_state.h - the pure part of where the time of a thread went: from one switch-out to the
 * next.
 *
 * Compiled into the BPF programs, the loader and the unit tests. No I/O, no clock.
 *
 * Between two switch-outs a thread is off its CPU once, waits in the run queue perhaps, and is on
 * one up to the second. What it left its CPU for is known at the first; the kernel's own counters
 * tell at the second how long it waited to be run and since when it ran. So nothing need be hooked
 * but the switch-out (KERNEL.md 4).
 *
 * All times are of the scheduler's clock (rq->clock), which costs a load where CLOCK_MONOTONIC
 * costs as much as all the rest.
 */
#ifndef PERPETUO_ACCOUNT_STATE_H
#define PERPETUO_ACCOUNT_STATE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* What a thread left its CPU for. */
enum account_off {
	ACCOUNT_READY, /* it would go on: the CPU was taken away */
	ACCOUNT_THROTTLED, /* likewise, because its cgroup had used up its quota */
	ACCOUNT_CALL, /* it waits in a system call */
	ACCOUNT_GIL, /* in one for the GIL */
	ACCOUNT_FAULT, /* it waits, and is in none: for a page */
	ACCOUNT_STOPPED, /* SIGSTOP, ptrace, freezer */
};

/* Of a point: ns since the first. What is in none of them it was blocked in system calls. */
enum account_sum {
	ACCOUNT_ON_CPU,
	ACCOUNT_RUN_QUEUE,
	ACCOUNT_SUM_THROTTLED,
	ACCOUNT_SUM_GIL,
	ACCOUNT_SUM_FAULT,
	ACCOUNT_SUM_STOPPED,
	ACCOUNT_SUMS,
};

/* The thread as it left a CPU. */
struct account_point {
	__u64 at;
	__u64 sum[ACCOUNT_SUMS]; /* enum account_sum */
	__u32 off; /* enum account_off */
	__s32 call; /* number of the system call, negative = in none */
	__u64 arg; /* its first argument */
	__u32 faults; /* major faults, modulo 2^32 */
	__u32 switches; /* since the first point, modulo 2^32 */
};

/* Counters of the kernel, from which the next point is made. */
struct account_raw {
	__u64 cpu; /* CPU time: se.sum_exec_runtime */
	__u64 delay; /* time in run queues: sched_info.run_delay */
};

/* A thread at some moment after a point: at its next switch-out, or when the loader looks. */
struct account_look {
	__u64 now;
	__u64 arrival; /* since when it is on its CPU; 0 = it is not on one, or not known */
	__u64 queued; /* not on a CPU: since when it waits for one, 0 = it does not */
	struct account_raw raw; /* cpu 0: not up to date */
	__u32 faults;
	__u32 pad;
};

static inline __u64 account_since(__u64 then, __u64 now)
{
	return (__s64)(now - then) > 0 ? now - then : 0;
}

/* For how long it waited in run queues of the OFF ns that it was off its CPU. */
static inline __u64 account_queued(const struct account_raw *raw, const struct account_look *l,
				   __u64 off)
{
	__u64 ns = l->queued ? account_since(l->queued, l->now)
			     : account_since(raw->delay, l->raw.delay);

	return ns < off ? ns : off;
}

/*
 * Adds to the sums of P (which were right when RAW was read) what came until L. ON_CPU: it ran up
 * to L. While it had a CPU the host and interrupts may have had it, too: that is waiting.
 */
static inline void account_advance(struct account_point *p, const struct account_raw *raw,
				   const struct account_look *l, int on_cpu)
{
	__u64 all = account_since(p->at, l->now), cpu = account_since(raw->cpu, l->raw.cpu);
	__u64 had = 0, on, off, queued;

	if (on_cpu)
		had = l->arrival ? account_since(l->arrival, l->now) : cpu;
	if (had > all)
		had = all;
	on = l->raw.cpu && cpu < had ? cpu : had;
	off = all - had;
	queued = account_queued(raw, l, off);
	p->sum[ACCOUNT_ON_CPU] += on;
	p->sum[ACCOUNT_RUN_QUEUE] += had - on;
	if (p->off == ACCOUNT_READY) {
		p->sum[ACCOUNT_RUN_QUEUE] += off;
	} else if (p->off == ACCOUNT_THROTTLED) {
		p->sum[ACCOUNT_SUM_THROTTLED] += off;
	} else {
		p->sum[ACCOUNT_RUN_QUEUE] += queued;
		if (p->off == ACCOUNT_GIL)
			p->sum[ACCOUNT_SUM_GIL] += off - queued;
		else if (p->off == ACCOUNT_FAULT)
			p->sum[ACCOUNT_SUM_FAULT] += off - queued;
		else if (p->off == ACCOUNT_STOPPED)
			p->sum[ACCOUNT_SUM_STOPPED] += off - queued;
	}
	p->at += all;
	p->faults = l->faults;
	p->switches++;
}

#endif
