// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * kstack.bpf.c - where a thread that is off CPU is in the kernel, and its registers in the program:
 * an iterator over tasks, which the loader restricts to that one where the kernel can (6.1).
 *
 * Context: the loader's own, when it reads. /proc/PID/stack says the same to CAP_SYS_ADMIN only,
 * which the loader has given up.
 */
#include "bpf/core.bpf.h"
#include "bpf/kstack_abi.h"
#include "bpf/task.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct bpf_iter_meta___kstack {
	struct seq_file *seq;
};
struct bpf_iter__task___kstack {
	struct bpf_iter_meta___kstack *meta;
	struct task_struct *task;
};
#pragma clang attribute pop

struct kstack kstack;

SEC("iter/task")
int kstack_show(struct bpf_iter__task___kstack *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	u32 cnt = READ_ONCE(kstack.cnt);
	long len;

	if (!task || thread_nr(task) != READ_ONCE(kstack.tid))
		return 0;
	if (!cnt) {
		BPF_SEQ_PRINTF(seq, "regs %llx %llx %llx\n", task_ip(task), task_sp(task),
			       task_fp(task));
		len = bpf_get_task_stack(task, kstack.ip, sizeof(kstack.ip), 0);
		cnt = len > 0 ? len / sizeof(kstack.ip[0]) : 0;
	}
	for (u32 i = 0; i < KSTACK_FRAMES; i++) {
		if (i >= cnt)
			break;
		BPF_SEQ_PRINTF(seq, "%pB\n", kstack.ip[i]);
	}
	return 0;
}
