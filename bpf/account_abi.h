/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * account_abi.h - where the time of the threads of watched processes went: a table of threads that
 * the programs write at each switch-out and the loader maps.
 *
 * A thread has its head (struct account_thread) and a ring of the points at which it left a CPU
 * (struct account_points). The newest is written over as long as it is within a gap of the one
 * before, so two of them span more than a gap, and one that spans more is a single switch-out. An
 * entry belongs to the thread whose id is in it. Of one that has ended it stays readable until
 * another thread needs the place.
 *
 * The loader reads while a program may write: `seq` is odd meanwhile, and moves.
 */
#ifndef PERPETUO_ACCOUNT_ABI_H
#define PERPETUO_ACCOUNT_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "bpf/account_state.h"
#include "bpf/thread_abi.h"

#define ACCOUNT_POINTS 64 /* a power of 2 */
#define ACCOUNT_IPS 4 /* likewise */
#define ACCOUNT_GAPS 16 /* in a threshold: the ring reaches back for nearly two */
#define ACCOUNT_MIN_THREADS 512 /* the table of one process; powers of 2 */
#define ACCOUNT_MAX_THREADS 2048 /* of many: 10 MiB */

/* Where in its own code a tick met a thread. */
struct account_ip {
	__u64 at; /* CLOCK_MONOTONIC of the root time namespace */
	__u64 ip;
};

struct account_thread {
	__u32 tid, nr, left; /* thread_key; the entry of one that has left may be taken */
	__u32 handle; /* of its process */
	__u32 seq;
	__u32 newest; /* index in the ring, and how often it was gone round */
	__u64 task; /* a kernel address, read with care */
	__u64 before; /* when the point before the newest was */
	__u64 clock_off; /* CLOCK_MONOTONIC of the root time namespace minus the scheduler's */
	__u64 clock_at; /* when that was looked at, on the scheduler's */
	struct account_raw raw; /* at the newest point */
	__u32 nips;
	__u32 pad;
	struct account_ip ip[ACCOUNT_IPS]; /* the last ones: ip[nips % ...] is next */
};

struct account_points {
	struct account_point point[ACCOUNT_POINTS];
};

/* What the loader asks of account_look, and its answer: a thread as it is now. */
struct account_query {
	__u32 index; /* of the entry */
	__u32 found;
	struct account_look look;
	__u32 on_cpu;
	__u32 pad;
};

_Static_assert(sizeof(struct account_point) == 80, "account_point");
_Static_assert(sizeof(struct account_thread) == 144, "account_thread");
_Static_assert(sizeof(struct account_thread) % 8 == 0, "an array of them can be mapped");

#endif
