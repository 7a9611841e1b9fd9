/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * gil_abi.h - the table of GILs and of the threads that wait for them, one for each process, and
 * the record of a wait.
 *
 * The loader writes where the GILs are (`cnt` last), the rest is the programs'. A thread alone
 * makes its entry (thread_abi.h) free again, unless it has ended: then the deadline timer does.
 */
#ifndef PERPETUO_GIL_ABI_H
#define PERPETUO_GIL_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "bpf/gil_state.h"
#include "bpf/thread_abi.h"

/* GILs of one process: one, and one for each subinterpreter that has its own */
#define GIL_MAX 32
#define GIL_WORLDS (GIL_MAX + 1) /* stop-the-world states: of interpreters, and of the runtime */
#define GIL_THREADS 64 /* of one process that wait at once: a power of 2 */

#define GIL_LOCKED_AT 16 /* gil_words.locked: written by who takes or releases it */

/* From gil_words on, x86-64 (glibc's pthread_cond_t and pthread_mutex_t): cond, mutex, switch_cond,
 * switch_mutex. */
#define GIL_COND 32
#define GIL_MUTEX_AT 80
#define GIL_SWITCH_COND 120
#define GIL_SWITCH_MUTEX 168
#define GIL_END 208

struct gil_thread {
	__u32 tid, nr, left; /* thread_key; the timer frees the entry of one that has left */
	__u32 stw; /* its wait is for the world to stop, wait.gil a stw_words */
	struct gil_wait wait;
};
THREAD_ASSERT_KEY(gil_thread);

/* struct _stoptheworld_state of free-threaded CPython 3.13 and 3.14. */
struct stw_words {
	__u8 mutex;
	__u8 requested;
	__u8 stopped;
	__u8 global;
	__u32 pad;
	__s64 countdown; /* threads that have not stopped yet */
	__u64 requester; /* thread state */
};

struct gil_table {
	__u32 cnt; /* GILs */
	__u32 open; /* entries of `thread` in use */
	__u64 thread_id; /* offset in a thread state of what is pthread_self() */
	__u64 gil[GIL_MAX]; /* addresses of gil_words in the target */
	__u64 worlds; /* how many of: */
	__u64 world[GIL_WORLDS]; /* addresses of stw_words in the target */
	/* Interpreters are numbered as they are made: the number of the next one, where it stands
	 * (0: all share one GIL), what it was when the loader looked for GILs, and what the
	 * programs saw last when it was another (0: it was not), and told. */
	__u64 births_at, births, born, born_told;
	struct gil_thread thread[GIL_THREADS];
};

/*
 * EVENT_GIL_WAIT: raised. EVENT_GIL_END: over; also of one that was never raised (GIL_LONG).
 * EVENT_GIL_HALF: open for half the threshold, and wants a guard. EVENT_GIL_TOUCHED: its guard has
 * seen what it was for.
 */
struct event_gil {
	__u32 type;
	__u32 proc; /* handle of the process */
	__u64 now_ns; /* when it was judged */
	__u64 gil; /* address of its gil_words */
	__u64 start_ns;
	__u64 end_ns; /* END */
	__u64 holder; /* thread state: at the last wait */
	__u64 held_ns; /* since when it has had the GIL, as far as was seen */
	__u64 switches; /* WAIT: switch_number at the last wait */
	__u64 moved; /* how far it moved in the episode */
	__u32 tid; /* in the loader's pid namespace, 0 = not in it */
	__u32 waiting; /* WAIT: threads that wait for this GIL, this one among them */
	__u32 flags; /* enum gil_flags */
	__u32 kind; /* enum gil_kind */
	__u32 drops; /* times that the holder let go and took it again, as far as was seen */
	__u32 index; /* HALF: of the thread in gil_table */
};

#define GIL_ASSERT_AT(type, field, off) \
	_Static_assert(__builtin_offsetof(struct type, field) == (off), #type "." #field)
GIL_ASSERT_AT(gil_words, holder, 8);
GIL_ASSERT_AT(gil_words, locked, 16);
GIL_ASSERT_AT(gil_words, switches, 24);
_Static_assert(sizeof(struct gil_words) == GIL_COND, "gil_words");
GIL_ASSERT_AT(event_gil, now_ns, 8);
GIL_ASSERT_AT(event_gil, gil, 16);
GIL_ASSERT_AT(event_gil, start_ns, 24);
GIL_ASSERT_AT(event_gil, end_ns, 32);
GIL_ASSERT_AT(event_gil, holder, 40);
GIL_ASSERT_AT(event_gil, held_ns, 48);
GIL_ASSERT_AT(event_gil, switches, 56);
GIL_ASSERT_AT(event_gil, moved, 64);
GIL_ASSERT_AT(event_gil, tid, 72);
GIL_ASSERT_AT(event_gil, waiting, 76);
GIL_ASSERT_AT(event_gil, flags, 80);
GIL_ASSERT_AT(event_gil, kind, 84);
GIL_ASSERT_AT(event_gil, drops, 88);
GIL_ASSERT_AT(event_gil, index, 92);
_Static_assert(sizeof(struct event_gil) == 96, "event_gil");
GIL_ASSERT_AT(stw_words, countdown, 8);
GIL_ASSERT_AT(stw_words, requester, 16);
_Static_assert(sizeof(struct stw_words) == 24, "stw_words");
_Static_assert(sizeof(struct gil_table) % 8 == 0, "an array of them can be mapped");

#endif
