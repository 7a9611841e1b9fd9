/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * kstack_abi.h - the one request for where a thread is in the kernel. The loader fills it while it
 * runs the iterator of kstack.bpf.c, whose output is text:
 *
 *	regs 7f3a12b4c5d0 7ffe01c3a2b8 5581d3a00010		ip, sp, frame pointer
 *	pipe_read+0x37e/0x550					innermost first
 *	vfs_read+0x20b/0x310
 *
 * The kernel names its own functions, so that nobody needs to see addresses of it.
 */
#ifndef PERPETUO_KSTACK_ABI_H
#define PERPETUO_KSTACK_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define KSTACK_FRAMES 24

struct kstack {
	__u32 tid; /* in the loader's pid namespace */
	__u32 cnt; /* of addresses that the tick has taken; 0: the thread is off CPU, look now */
	__u64 ip[KSTACK_FRAMES];
};

_Static_assert(sizeof(struct kstack) == 8 + 8 * KSTACK_FRAMES, "kstack");

#endif
