/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * loop_abi.h - the table of threads that run an event loop, or may, one for each process, and the
 * record of a step.
 *
 * The programs find threads that wait in epoll, or compute, and ask the loader once what they are;
 * again when they wait on another descriptor, and else after a time that doubles with each asking.
 * The loader looks at their stacks, and answers by `addr`, `fd` and `status`.
 *
 * An entry (thread_abi.h) is taken by the thread or (when it attaches) by the loader, filled in,
 * and then given a status: with LOOP_VOID nobody but who took it touches it. When the thread has
 * ended the deadline timer frees the entry. A thread that runs no loop may lose its entry to
 * another; the more that happens, the longer must who has got one so keep it before the loader is
 * asked.
 */
#ifndef PERPETUO_LOOP_ABI_H
#define PERPETUO_LOOP_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "bpf/loop_state.h"
#include "bpf/thread_abi.h"

#define LOOP_THREADS 64 /* of one process: a power of 2 */
#define LOOP_NO_FD (~0U)
#define LOOP_ASK_MIN_NS 50000000ULL /* between two askings */
#define LOOP_ASK_MAX_NS 600000000000ULL
#define LOOP_ASK_DOUBLINGS 8 /* of LOOP_ASK_MIN_NS, while threads take each other's entries */

enum loop_status {
	LOOP_VOID, /* being set up */
	LOOP_NONE, /* runs no loop, as far as is known */
	LOOP_RUNS, /* runs a loop: its steps are watched */
};

struct loop_thread {
	__u32 tid, nr, left; /* thread_key; the timer frees the entry of one that has left */
	__u32 status; /* enum loop_status */
	__u64 addr; /* of context_ver in the target */
	__u32 fd; /* on which the loop waits, LOOP_NO_FD = not known yet: on any */
	__u32 asked_fd; /* on which it waited when the loader was asked */
	__u32 wants; /* the loader is to be asked */
	__u32 pad;
	__u64 asked_ns; /* when the loader was asked last */
	__u64 ask_ns; /* not before */
	__u64 gap_ns; /* between the last asking and that */
	struct loop_step step;
};
THREAD_ASSERT_KEY(loop_thread);

struct loop_table {
	__u32 open; /* entries of `thread` in use */
	__u32 evictions; /* entries that were taken from a thread that runs no loop */
	struct loop_thread thread[LOOP_THREADS];
};

/* EVENT_LOOP_ASK: what is this thread? EVENT_LOOP_STALL: raised. EVENT_LOOP_END: over; also of a
 * step that was never raised (LOOP_LONG). */
struct event_loop {
	__u32 type;
	__u32 proc; /* handle of the process */
	__u64 now_ns; /* when it was judged */
	__u64 addr; /* of context_ver */
	__u64 start_ns;
	__u64 end_ns; /* EVENT_LOOP_END */
	__u64 ver; /* the step */
	__u32 tid; /* in the loader's pid namespace, 0 = not in it */
	__u32 flags; /* enum loop_flags */
};

#define LOOP_ASSERT_AT(type, field, off) \
	_Static_assert(__builtin_offsetof(struct type, field) == (off), #type "." #field)
LOOP_ASSERT_AT(event_loop, now_ns, 8);
LOOP_ASSERT_AT(event_loop, addr, 16);
LOOP_ASSERT_AT(event_loop, start_ns, 24);
LOOP_ASSERT_AT(event_loop, end_ns, 32);
LOOP_ASSERT_AT(event_loop, ver, 40);
LOOP_ASSERT_AT(event_loop, tid, 48);
LOOP_ASSERT_AT(event_loop, flags, 52);
_Static_assert(sizeof(struct event_loop) == 56, "event_loop");
_Static_assert(sizeof(struct loop_table) % 8 == 0, "an array of them can be mapped");

#endif
