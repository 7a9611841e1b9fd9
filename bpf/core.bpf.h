/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * core.bpf.h - what the programs share: the maps and small helpers.
 *
 * One binary serves 5.15 and newer. What that takes:
 *	- tables are walked by plain loops whose body is a global function: the verifier looks at
 *	  that function once, whatever the number of turns
 *	- an index or length is one u64, checked right before its use behind barrier_u64(), since
 *	  older verifiers lose the bound of a copy
 *	- integers of the kernel are read with their own width (CO-RE), never with a fixed one:
 *	  task->on_cpu is an int on 5.15 and a u8 on 7.2
 */
#ifndef PERPETUO_CORE_BPF_H
#define PERPETUO_CORE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#include "bpf/event_abi.h"
#include "bpf/pywalk_abi.h"
#include "bpf/table_abi.h"

/* Bits of task_struct.__state and .flags; the same from 5.15 on where they exist at all. */
#define TASK_STOPPED_BIT 0x4
#define TASK_TRACED_BIT 0x8
#define TASK_DEAD_BIT 0x80
#define TASK_FROZEN_BIT 0x8000 /* from 6.1 (f5d39b020809 "freezer,sched: Rewrite core freezer") */
#define PF_FROZEN_BIT 0x10000 /* before that */

#define JOBCTL_TRAP_FREEZE_BIT \
	(1UL << 23) /* from 5.2 on (76f969e8948d "cgroup: cgroup v2 freezer") */

/* A program's context is part of its type, used or not. */
#pragma clang diagnostic ignored "-Wunused-parameter"

#define barrier_u64(x) asm volatile("" : "+r"(x))
#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

struct proc_of_map {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32); /* index into procs; hangs on the group leader */
};

struct procs_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TABLE_MAX_PROCS);
	__type(key, u32);
	__type(value, struct proc);
};

struct segments_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 64); /* the loader decides */
	__type(key, u32);
	__type(value, struct segment);
};

struct counts_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct counts);
};

#define EVENTS_LEN (256 << 10)
struct events_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_LEN);
};

extern struct proc_of_map proc_of SEC(".maps");
extern struct procs_map procs SEC(".maps");
extern struct segments_map segments SEC(".maps");
extern struct counts_map counts SEC(".maps");
extern struct events_map events SEC(".maps");

extern struct pass_state pass;

extern const volatile __u64 tick_ns;

extern __u16 proc_at[PROC_PLACES];

/* Depth of the loader's pid namespace, in which it knows threads. */
extern __u32 pid_level;

/* The number of TASK in the loader's pid namespace, 0 = it has none there. */
static __always_inline u32 thread_nr(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u64 level = pid_level;
	struct upid *at;

	if (!pid || level > BPF_CORE_READ(pid, level))
		return 0;
	at = (void *)((u64)pid + bpf_core_field_offset(struct pid, numbers) +
		      level * bpf_core_type_size(struct upid));
	return BPF_CORE_READ(at, nr);
}

static __always_inline void count(enum count what)
{
	u32 zero = 0;
	struct counts *c = bpf_map_lookup_elem(&counts, &zero);

	if (c)
		c->value[what]++;
}

/* The deadline timer's next pass is not to be later than WHEN. */
static __always_inline void judge_again_at(u64 when)
{
	if ((s64)(when - pass.deadline) < 0)
		pass.deadline = when;
}

/*
 * In a pass of the deadline timer: sends RECORD, which begins as a struct event_proc does, and
 * counts it as AS. False: there is no room, and the next pass is within a tick.
 */
static __always_inline bool judge_tell(struct proc *p, struct event_proc *record, u64 len,
				       enum count as)
{
	record->proc = p->handle;
	record->now_ns = pass.now;
	if (bpf_ringbuf_output(&events, record, len, 0)) {
		count(COUNT_EVENTS_FULL);
		judge_again_at(pass.now + tick_ns);
		return false;
	}
	count(as);
	return true;
}

/*
 * The pause of a process is written from several CPUs: who exchanges `since` may end it. While the
 * end is being written `since` is PAUSE_ENDING, still a pause for the judge: with `since` 0 and
 * `total` not yet grown, the time in which the target was stopped would count as a stall.
 */
#define PAUSE_ENDING 1

static __always_inline void pause_begin(struct proc *p, u64 now)
{
	if (!READ_ONCE(p->pause.since) && !__sync_val_compare_and_swap(&p->pause.since, 0, now))
		count(COUNT_PAUSES);
}

static __always_inline void pause_end(struct proc *p, u64 now)
{
	u64 since = READ_ONCE(p->pause.since);
	s64 len = now - since;

	if (since <= PAUSE_ENDING ||
	    __sync_val_compare_and_swap(&p->pause.since, since, PAUSE_ENDING) != since)
		return;
	if (len > 0) {
		p->pause.last_ns = len;
		p->pause.last_end = now;
		__sync_fetch_and_add(&p->pause.total, len);
	}
	__sync_lock_test_and_set(&p->pause.since, 0);
}

#endif
