/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * event_abi.h - the records that leave the kernel through the ring buffer, and the table that the
 * loader fills for the programs.
 *
 * Every record begins with its type. Padding is explicit and zero; a reader checks the length.
 * Times are CLOCK_MONOTONIC of the root time namespace; words stay on the target's clock.
 */
#ifndef PERPETUO_EVENT_ABI_H
#define PERPETUO_EVENT_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum event_type {
	EVENT_STALL = 1, /* struct event_slot: raised */
	EVENT_END = 2, /* struct event_slot: a raised section is over */
	EVENT_OVER = 3, /* struct event_slot: never raised, over, perhaps long enough */
	EVENT_GENERATION =
		4, /* struct event_proc: trackers were made or closed; once per generation */
	EVENT_EXEC = 5, /* struct event_proc: everything known of the process is void */
	EVENT_PYWALK = 6, /* struct pywalk_record */
	EVENT_UNREAD =
		7, /* struct event_proc: a page could not be read; generation: which segment */
	EVENT_GIL_WAIT = 8, /* struct event_gil (gil_abi.h): a thread waits for the GIL */
	EVENT_GIL_END = 9, /* struct event_gil: such a wait is over */
	EVENT_LOOP_ASK = 10, /* struct event_loop (loop_abi.h): does this thread run a loop? */
	EVENT_LOOP_STALL = 11, /* struct event_loop: a step is long */
	EVENT_LOOP_END = 12, /* struct event_loop: such a step is over */
	EVENT_CHILD = 13, /* struct event_child: one more process to watch */
	EVENT_GIL_HALF = 16, /* struct event_gil: such a wait may become too long */
	EVENT_GIL_TOUCHED = 17, /* struct event_gil: its thread has got the GIL */
	EVENT_GIL_BORN = 18, /* struct event_gil: there are interpreters that are not known yet */
};

enum event_slot_flags {
	EVENT_ON_CPU = 1, /* a thread of the process was on CPU: the word may have moved since */
	EVENT_PAUSED = 2, /* the target was stopped at some time during the section */
};

struct event_slot {
	__u32 type;
	__u32 proc; /* handle of the process (table_abi.h) */
	__u64 now_ns; /* when it was judged */
	__u64 page; /* address of the slot page in the target */
	__u32 slot; /* index in the page */
	__u32 flags; /* enum event_slot_flags */
	__u64 word; /* the section: its active word (for counters: when it was first seen, odd) */
	__u64 word_now; /* the word as last seen */
	__u64 value; /* what stood in the slot then: word_now, or the count of a counter */
};

struct event_proc {
	__u32 type;
	__u32 proc;
	__u64 now_ns;
	__u64 page; /* EVENT_GENERATION: which page, else 0 */
	__u64 generation;
};

/* Ids in the loader's pid namespace. */
struct event_child {
	__u32 type;
	__u32 pid;
	__u64 now_ns;
	__u32 parent;
	__u32 pad;
};

#define EVENT_ASSERT_AT(type, field, off) \
	_Static_assert(__builtin_offsetof(struct type, field) == (off), #type "." #field)
EVENT_ASSERT_AT(event_slot, now_ns, 8);
EVENT_ASSERT_AT(event_slot, page, 16);
EVENT_ASSERT_AT(event_slot, slot, 24);
EVENT_ASSERT_AT(event_slot, word, 32);
EVENT_ASSERT_AT(event_slot, word_now, 40);
EVENT_ASSERT_AT(event_slot, value, 48);
_Static_assert(sizeof(struct event_slot) == 56, "event_slot");
EVENT_ASSERT_AT(event_proc, now_ns, 8);
EVENT_ASSERT_AT(event_proc, page, 16);
_Static_assert(sizeof(struct event_proc) == 32, "event_proc");
EVENT_ASSERT_AT(event_child, pid, 4);
EVENT_ASSERT_AT(event_child, now_ns, 8);
EVENT_ASSERT_AT(event_child, parent, 16);
_Static_assert(sizeof(struct event_child) == 24, "event_child");

#endif
