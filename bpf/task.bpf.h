/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * task.bpf.h - what several programs read of a thread: plain loads. The rest of the tree needs none
 * of these types, so vmlinux/ does not have them.
 */
#ifndef PERPETUO_TASK_BPF_H
#define PERPETUO_TASK_BPF_H

#include "bpf/core.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sched_entity___task {
	u64 sum_exec_runtime;
};
struct thread_struct___task {
	unsigned long fsbase; /* x86 */
};
struct task_struct___task {
	struct sched_entity___task se;
	struct thread_struct___task thread;
};
struct pt_regs___task {
	unsigned long di; /* x86 */
	unsigned long orig_ax;
	unsigned long bp;
	unsigned long ip;
	unsigned long sp; /* arm64, too */
	u64 regs[31]; /* arm64 */
	u64 orig_x0;
	s32 syscallno;
	u64 pc;
};
#pragma clang attribute pop

#define ARM64_FP 29

/* CPU time; the scheduler brings it up to date when it ticks or switches. */
static __always_inline u64 task_cpu_ns(struct task_struct *task)
{
	return ((struct task_struct___task *)task)->se.sum_exec_runtime;
}

/* pthread_self(); 0 = not known (x86-64 and glibc only). */
static __always_inline u64 task_pthread(struct task_struct *task)
{
#ifdef __TARGET_ARCH_x86
	return ((struct task_struct___task *)task)->thread.fsbase;
#else
	return 0;
#endif
}

/* The system call in which TASK is, negative = none, and its first argument. */
static __always_inline s32 task_call(struct task_struct *task, u64 *arg)
{
	struct pt_regs___task *regs = (void *)bpf_task_pt_regs(task);

#ifdef __TARGET_ARCH_x86
	*arg = regs->di;
	return (s32)regs->orig_ax;
#else
	*arg = regs->orig_x0;
	return regs->syscallno;
#endif
}

/* Registers of TASK in its own code: an interrupt has saved them in the same place as a system
 * call.
 */
static __always_inline u64 task_ip(struct task_struct *task)
{
	struct pt_regs___task *regs = (void *)bpf_task_pt_regs(task);

#ifdef __TARGET_ARCH_x86
	return regs->ip;
#else
	return regs->pc;
#endif
}

static __always_inline u64 task_sp(struct task_struct *task)
{
	return ((struct pt_regs___task *)bpf_task_pt_regs(task))->sp;
}

static __always_inline u64 task_fp(struct task_struct *task)
{
	struct pt_regs___task *regs = (void *)bpf_task_pt_regs(task);

#ifdef __TARGET_ARCH_x86
	return regs->bp;
#else
	return regs->regs[ARM64_FP];
#endif
}

#endif
