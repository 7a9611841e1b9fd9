// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * top.bpf.c - counters for `perpetuo-bpf top`: who has had the GIL and waited for it for how long,
 * and how long the steps of event loops take. What a look means is in top_state.h.
 *
 * Contexts: as gil.bpf.c and loop.bpf.c, which call this: under the run queue's lock and in hard
 * interrupt. Nothing is allocated or sent here.
 */
#include "bpf/top.bpf.h"

#include "bpf/gil.bpf.h"
#include "bpf/gil_abi.h"
#include "bpf/task.bpf.h"
#include "bpf/thread.bpf.h"
#include "bpf/top_abi.h"

struct tops_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the loader decides */
	__type(key, u32);
	__type(value, struct top_table);
};
struct tops_map tops SEC(".maps");

const volatile __u32 top_enabled = 0;

static __always_inline struct top_thread *find(struct top_table *t, u32 tid)
{
	struct top_thread *th = thread_find(THREADS_OF(t), tid);

	return th && !READ_ONCE(th->left) ? th : NULL;
}

static __always_inline struct top_thread *claim(struct top_table *t, struct task_struct *task)
{
	struct top_thread *th = thread_claim(THREADS_OF(t), task->pid, true);

	if (!th) {
		count(COUNT_TOP_FULL);
		return NULL;
	}
	th->nr = thread_nr(task);
	__builtin_memset(&th->gil, 0, sizeof(th->gil));
	th->loop.moved = 0;
	th->loop.worst_ns = 0;
#pragma clang loop unroll(disable)
	for (u64 k = 0; k < TOP_BUCKETS; k++)
		th->loop.bucket[k] = 0;
	WRITE_ONCE(th->left, 0);
	return th;
}

static __always_inline struct top_thread *entry(u32 proc, struct task_struct *task)
{
	struct top_table *t = bpf_map_lookup_elem(&tops, &proc);
	struct top_thread *th;

	if (!t)
		return NULL;
	th = find(t, task->pid);
	return th ? th : claim(t, task);
}

/* Does the current thread have one of the GILs of its process, or was it the last to? Of several
 * the one that it has; else the first. */
static __always_inline u32 whose(struct gil_table *t, struct task_struct *task, u64 *switches)
{
	struct gil_words w;
	u64 id;

#pragma clang loop unroll(disable)
	for (u64 i = 0; i < GIL_MAX; i++) {
		if (i >= READ_ONCE(t->cnt))
			break;
		if (bpf_probe_read_user(&w, sizeof(w), (void *)t->gil[i])) {
			count(COUNT_GIL_FAULT);
			continue;
		}
		if (!i)
			*switches = w.switches;
		if (!w.holder ||
		    bpf_probe_read_user(&id, sizeof(id), (void *)(w.holder + t->thread_id)) ||
		    id != task_pthread(task))
			continue;
		*switches = w.switches;
		return w.locked == 1 ? TOP_LAST | TOP_HOLDS : TOP_LAST;
	}
	return 0;
}

__noinline int top_gil_look(u32 proc, u32 where, u32 leaves)
{
	struct gil_table *gils_of = bpf_map_lookup_elem(&gils, &proc);
	struct task_struct *task = bpf_get_current_task_btf();
	struct top_table *t = bpf_map_lookup_elem(&tops, &proc);
	struct top_look l = {};
	struct top_thread *th;

	if (!gils_of || !t)
		return 0;
	l.flags = whose(gils_of, task, &l.switches);
	if (leaves)
		l.flags |= TOP_LEAVES;
	if (where == GIL_WAITS || where == GIL_MUTEX)
		l.flags |= TOP_QUEUES;
	if (where != GIL_PREEMPTED)
		l.flags |= TOP_SLEEPS;
	th = find(t, task->pid);
	if (!th && !(l.flags & (TOP_LAST | TOP_QUEUES)))
		return 0; /* it may have nothing to do with Python */
	if (!th)
		th = claim(t, task);
	if (!th)
		return 0;
	l.now = bpf_ktime_get_ns();
	l.cpu = task_cpu_ns(task);
	top_observe(&th->gil, &l);
	return 0;
}

__noinline int top_gil_waited(u32 proc, u64 ns)
{
	struct top_thread *th = entry(proc, bpf_get_current_task_btf());

	if (th)
		top_waited(&th->gil, ns);
	return 0;
}

__noinline int top_loop_moved(u32 proc, u64 moved, u64 ended_ns, u64 span_ns)
{
	struct top_thread *th = entry(proc, bpf_get_current_task_btf());

	if (th)
		top_note_moved(&th->loop, moved, ended_ns, span_ns);
	return 0;
}

__noinline int top_exit(u32 proc)
{
	struct top_table *t = bpf_map_lookup_elem(&tops, &proc);
	struct top_thread *th;

	if (!t)
		return 0;
	th = find(t, bpf_get_current_task_btf()->pid);
	if (th)
		WRITE_ONCE(th->left, 1);
	return 0;
}
