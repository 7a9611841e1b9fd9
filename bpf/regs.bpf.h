/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* regs.bpf.h - where a thread is in its program: the registers that it entered the kernel with */
#ifndef PERPETUO_REGS_BPF_H
#define PERPETUO_REGS_BPF_H

#include "bpf/core.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pt_regs___where {
	unsigned long bp; /* x86 */
	unsigned long ip;
	unsigned long sp; /* arm64, too */
	u64 regs[31]; /* arm64 */
	u64 pc;
};
#pragma clang attribute pop

#define ARM64_FP 29

struct regs {
	u64 ip, sp, fp;
};

/* Of a thread that was interrupted in its program the interrupt saved them in the same place. */
static __always_inline void read_regs(struct task_struct *task, struct regs *out)
{
	struct pt_regs___where *r = (void *)bpf_task_pt_regs(task);

	out->sp = BPF_CORE_READ(r, sp);
	if (bpf_core_field_exists(r->bp)) {
		out->ip = BPF_CORE_READ(r, ip);
		out->fp = BPF_CORE_READ(r, bp);
	} else {
		out->ip = BPF_CORE_READ(r, pc);
		out->fp = BPF_CORE_READ(r, regs[ARM64_FP]);
	}
}

#endif
