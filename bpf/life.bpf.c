// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * life.bpf.c - a process that executes another program or ends is dropped at once: its words stay
 * where they were, but mean nothing any more.
 */
#include "bpf/account.bpf.h"
#include "bpf/core.bpf.h"
#include "bpf/gil.bpf.h"
#include "bpf/loop.bpf.h"
#include "bpf/top.bpf.h"

/* Its segments are free for the loader to use again once it knows. */
static __always_inline void drop_segments(struct proc *p)
{
	u32 cnt = READ_ONCE(p->nsegments);

	WRITE_ONCE(p->nsegments, 0);
	WRITE_ONCE(p->gils, 0);
	WRITE_ONCE(p->loops, 0);
	WRITE_ONCE(p->last_task, 0);
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < PROC_SEGMENTS; i++) {
		struct segment *seg;
		u32 index;

		if (i >= cnt)
			break;
		index = p->segment[i];
		seg = bpf_map_lookup_elem(&segments, &index);
		if (seg)
			WRITE_ONCE(seg->live, 0);
	}
}

__noinline int life_executed(u32 index)
{
	struct proc *p = bpf_map_lookup_elem(&procs, &index);
	struct event_proc *e;

	if (!p || !p->live)
		return 0;
	drop_segments(p);
	count(COUNT_EXECS);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(COUNT_EVENTS_FULL);
		return 0;
	}
	e->type = EVENT_EXEC;
	e->proc = p->handle;
	e->now_ns = bpf_ktime_get_ns();
	e->page = 0;
	e->generation = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/*
 * Another thread than the first may call exec: it then takes the first one's place and pid, and
 * the task storage goes with the task that was there before. Such a process is known by its tgid.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(life_exec, struct task_struct *task, pid_t old_pid)
{
	u32 *index = bpf_task_storage_get(&proc_of, task, 0, 0);

	if (index)
		return life_executed(*index);
	if (old_pid == task->pid)
		return 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < TABLE_MAX_PROCS; i++) {
		u32 key = i;
		struct proc *p;

		if (i >= READ_ONCE(pass.procs))
			break;
		p = bpf_map_lookup_elem(&procs, &key);
		if (p && p->live && p->tgid == (u32)task->tgid)
			return life_executed(key);
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(life_exit, struct task_struct *task)
{
	u32 *index = bpf_task_storage_get(&proc_of, task->group_leader, 0, 0);
	struct proc *p;

	p = index ? bpf_map_lookup_elem(&procs, index) : NULL;
	if (!p || !p->live)
		return 0;
	/* counted down before the tracepoint: not the last thread */
	if (task->signal->live.counter) {
		if (READ_ONCE(p->gils))
			gil_exit(PROC_INDEX(p->handle));
		if (READ_ONCE(p->loops))
			loop_exit(PROC_INDEX(p->handle));
		if (top_enabled)
			top_exit(PROC_INDEX(p->handle));
		account_exit();
		return 0;
	}
	WRITE_ONCE(p->live, 0);
	drop_segments(p);
	count(COUNT_EXITS);
	return 0;
}
