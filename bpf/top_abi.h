/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * top_abi.h - the table of counters for `perpetuo-bpf top`, one for each process. The loader reads.
 * The entry of a thread that has ended (thread_abi.h) is there until the loader has read it, or
 * another one needs it.
 */
#ifndef PERPETUO_TOP_ABI_H
#define PERPETUO_TOP_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "bpf/thread_abi.h"
#include "bpf/top_state.h"

#define TOP_THREADS 128 /* of one process that are counted: a power of 2 */

struct top_thread {
	__u32 tid, nr, left; /* thread_key */
	__u32 pad;
	struct top_gil gil;
	struct top_loop loop;
};
THREAD_ASSERT_KEY(top_thread);

struct top_table {
	struct top_thread thread[TOP_THREADS];
};

_Static_assert(sizeof(struct top_table) % 8 == 0, "an array of them can be mapped");

#endif
