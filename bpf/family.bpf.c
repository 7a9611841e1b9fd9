// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * family.bpf.c - the children of watched processes, and theirs.
 *
 * A process that is followed has a mark in its task storage, which a child gets from its parent
 * before it runs. So a child is known whatever becomes of its parent, and before the loader has
 * looked at either; the mark goes with the process, and whoever gets its pid later has none. The
 * loader marks only those with whom it begins.
 *
 * Told is a child that has its own memory, when it is forked, and one that is not watched when it
 * executes a program. One that borrows its parent's memory (vfork) is nobody until then.
 *
 * Context: fork and exec run in the process itself, where memory may be allocated. Neither program
 * is loaded when nobody is to be followed.
 */
#include "bpf/core.bpf.h"

struct family_map {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32); /* pid of the parent, 0 = the loader was told to watch it */
};
struct family_map family SEC(".maps");

/* A storm of forks leaves half of the ring to the stalls. */
static __always_inline void tell_child(struct task_struct *child, u32 parent)
{
	struct event_child *e = NULL;

	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < EVENTS_LEN / 2)
		e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(COUNT_CHILD_FULL);
		return;
	}
	e->type = EVENT_CHILD;
	e->pid = thread_nr(child);
	e->now_ns = bpf_ktime_get_ns();
	e->parent = parent;
	e->pad = 0;
	bpf_ringbuf_submit(e, 0);
	count(COUNT_CHILDREN);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(family_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 *mark;

	if (!bpf_task_storage_get(&family, parent->group_leader, 0, 0))
		return 0;
	if (child->pid != child->tgid) /* a thread */
		return 0;
	mark = bpf_task_storage_get(&family, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!mark) {
		count(COUNT_CHILD_UNMARKED);
		return 0;
	}
	*mark = thread_nr(BPF_CORE_READ(parent, group_leader));
	if (BPF_CORE_READ(child, mm) != BPF_CORE_READ(parent, mm))
		tell_child(child, *mark);
	return 0;
}

/* What is watched is told of by life.bpf.c. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(family_exec, struct task_struct *task)
{
	u32 *mark = bpf_task_storage_get(&family, task, 0, 0);

	if (mark && *mark && !bpf_task_storage_get(&proc_of, task, 0, 0))
		tell_child(task, *mark);
	return 0;
}
