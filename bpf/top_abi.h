/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * top_abi.h - the table of counters for `perpetuo-bpf top`, one for each process. The loader reads.
 * An entry belongs to the thread whose id is in it; that of a thread that has ended is there until
 * the loader has read it, or another one needs it.
 */
#ifndef PERPETUO_TOP_ABI_H
#define PERPETUO_TOP_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "bpf/top_state.h"

#define TOP_THREADS 128 /* of one process that are counted: a power of 2 */
#define TOP_PROBES 8 /* places where the entry of a thread may be */

struct top_thread {
	__u32 tid; /* in the root pid namespace, 0 = the entry is free */
	__u32 nr; /* the same thread in the loader's pid namespace, 0 = not in it */
	__u32 left; /* it has ended */
	__u32 pad;
	struct top_gil gil;
	struct top_loop loop;
};

struct top_table {
	struct top_thread thread[TOP_THREADS];
};

_Static_assert(sizeof(struct top_table) % 8 == 0, "an array of them can be mapped");

#endif
