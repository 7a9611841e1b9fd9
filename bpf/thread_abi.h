/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * thread_abi.h - tables of threads, and how an entry is found, taken and given back.
 *
 * A table is an array of 2^n entries, each of which begins with a struct thread_key. The entry of a
 * thread is in the place that its id names, or in one of those that follow: THREAD_PROBES in all.
 * It belongs to the thread whose id is in it, and is taken by setting that from 0. Who has ended
 * says so in `left`; when such an entry is free again is said beside each table.
 */
#ifndef PERPETUO_THREAD_ABI_H
#define PERPETUO_THREAD_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define THREAD_PROBES 8

struct thread_key {
	__u32 tid; /* in the root pid namespace, 0 = the entry is free */
	__u32 nr; /* the same thread in the loader's pid namespace, 0 = not in it */
	__u32 left; /* it has ended */
};

/* The entries of a table have the fields of the key by name. */
#define THREAD_ASSERT_KEY(type)                                            \
	_Static_assert(__builtin_offsetof(struct type, tid) == 0 &&        \
			       __builtin_offsetof(struct type, nr) == 4 && \
			       __builtin_offsetof(struct type, left) == 8, \
		       #type " begins with a thread_key")

#endif
