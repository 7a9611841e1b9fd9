/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * thread.bpf.h - the entry of a thread in a table (thread_abi.h), for the programs.
 *
 * A table lies in an array map, so a place costs some instructions. Task storage takes 15-20 ns to
 * look up, a hash 30-55 (of a switch that costs 60 with an empty program); and neither could be
 * added to under the run queue's lock or in a hard interrupt.
 */
#ifndef PERPETUO_THREAD_BPF_H
#define PERPETUO_THREAD_BPF_H

#include "bpf/core.bpf.h"

#include "bpf/thread_abi.h"

/* The first three arguments of what follows, for a table that is an array. */
#define THREADS_OF(table)                            \
	(table)->thread, sizeof((table)->thread[0]), \
		sizeof((table)->thread) / sizeof((table)->thread[0])

/* In the order in which they are looked at: the TURNth place of TID. */
static __always_inline void *thread_place(void *first, u64 size, u64 cnt, u32 tid, u64 turn)
{
	u64 at = tid + turn;

	barrier_u64(at);
	return first + (at & (cnt - 1)) * size;
}

/* The entry of TID, also when it has left; NULL: it has none. */
static __always_inline void *thread_find(void *first, u64 size, u64 cnt, u32 tid)
{
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < THREAD_PROBES; i++) {
		struct thread_key *k = thread_place(first, size, cnt, tid, i);

		if (READ_ONCE(k->tid) == tid)
			return k;
	}
	return NULL;
}

/* Makes the entry TID's, which is OLD's (0: nobody's). False: somebody else was faster. */
static __always_inline bool thread_take(struct thread_key *k, u32 old, u32 tid)
{
	return __sync_val_compare_and_swap(&k->tid, old, tid) == old;
}

/* Takes a free entry for TID; where LEFT, one of a thread that has ended is as good. What it holds
 * is as it was. NULL: there is none. */
static __always_inline void *thread_claim(void *first, u64 size, u64 cnt, u32 tid, bool left)
{
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < THREAD_PROBES; i++) {
		struct thread_key *k = thread_place(first, size, cnt, tid, i);
		u32 old = READ_ONCE(k->tid);

		if ((!old || (left && READ_ONCE(k->left))) && thread_take(k, old, tid))
			return k;
	}
	return NULL;
}

/* Only its owner calls it, or the deadline timer for one that has ended. */
static __always_inline void thread_release(struct thread_key *k)
{
	WRITE_ONCE(k->left, 0);
	WRITE_ONCE(k->tid, 0);
}

#endif
