/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * table_abi.h - the tables that the programs and the loader share, and who may write what.
 *
 * The loader maps `procs` and `segments` into its memory (BPF_F_MMAPABLE) and takes part in the
 * same protocol as the programs. A segment is up to SEGMENT_SLOTS slots of one page that are read
 * in one call; most pages are one segment.
 *
 * READING A SEGMENT. Threads of one process leave several CPUs at once, and an older reading must
 * not take the place of a newer one. So:
 *	1. add 1 to `pending`
 *	2. take `lock` (0 -> 1); who cannot leaves: the holder reads on his behalf
 *	3. read `pending`, then the target, into the buffer that is not current; on success add 1 to
 *	   `seq`, which makes it current; release `lock`
 *	4. if `pending` has moved since 3, again from 2
 * Everybody adds before he tries, and the holder looks after he has released: whichever comes
 * second sees the other, so no reading is lost. Step 4 is bounded; who gives up sets `unread`, and
 * so does a read that failed (a page that is not there just now). A failed read changes nothing
 * else. The deadline timer asks the loader to read a segment that is `unread`.
 *
 * JUDGING. The deadline timer alone writes `slot`; it reads a word and believes it if `seq` is the
 * same afterwards. The loader reuses a segment only when no pass is under way that can have seen it
 * live (struct pass_state).
 */
#ifndef PERPETUO_TABLE_ABI_H
#define PERPETUO_TABLE_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "bpf/slot_abi.h"
#include "bpf/stall_state.h"

#define TABLE_MAX_PROCS 256
#define TABLE_MAX_SEGMENTS 384 /* 11 MiB */
#define PROC_SEGMENTS 32 /* of one process */
#define SEGMENT_SLOTS 512
#define SEGMENT_HEAD 2 /* u64 words read before the first slot: in_use and flags, generation */
#define SEGMENT_WORDS (SEGMENT_HEAD + SEGMENT_SLOTS)

enum segment_unread {
	SEGMENT_READ = 0,
	SEGMENT_UNREAD = 1, /* the last attempt to read it got nothing */
	SEGMENT_ASKED = 2, /* and the loader has been asked to try */
};

struct segment {
	__u32 live; /* written last when it is set up, first when it is dropped */
	__u32 proc; /* index into procs */
	__u32 head; /* the segment that has the page's generation: its first */
	__u32 v0;
	__u64 page; /* address of the page in the target */
	__u64 addr; /* what is read: 16 bytes before the first slot's word; v0: all of the page */
	__u32 len;
	__u32 first; /* index in the page of slot 0 */
	__u32 n; /* slots */
	__u32 has_counters;
	__u64 generation; /* of the facts that the loader has */
	__u64 asked; /* the generation that was told last */
	__u64 decided; /* the pass that set `skip` */
	__u32 skip; /* this pass does not judge the page: its facts are being read */
	__u32 lock;
	__u32 unread; /* enum segment_unread */
	__u32 seq;
	__u64 pending;
	__u64 observed;
	__u64 counters[SEGMENT_SLOTS / 64]; /* slots that are counters, a bit each */
	__u64 raw[2][SEGMENT_WORDS]; /* raw[seq & 1] is current */
	struct stall_counter counter[SEGMENT_SLOTS];
	struct stall_slot slot[SEGMENT_SLOTS];
};

struct proc {
	__u32 live;
	__u32 handle; /* goes into the events: index, and how often it was used */
	__s64 clock_off; /* the target's CLOCK_MONOTONIC minus that of the root time namespace */
	__u64 start_ns; /* when the process began, on its clock */
	struct stall_pause pause; /* on its clock */
	__u64 looked_ns; /* when it was last known to be able to run, on its clock */
	__u64 last_task; /* the thread that left a CPU last: a kernel address, read with care */
	__u32 tgid; /* in the root pid namespace; 0 = not known until a thread is seen */
	__u32 nsegments;
	__u32 gils; /* how many are in its gil_table (gil_abi.h) */
	__u32 loops; /* its event loops are watched (loop_abi.h) */
	__u32 segment[PROC_SEGMENTS];
};

#define PROC_HANDLE(index, use) ((__u32)(index) | (__u32)(use) << 8)
#define PROC_INDEX(handle) ((handle) & (TABLE_MAX_PROCS - 1))

/*
 * In .bss, by tgid modulo PROC_PLACES: what every thread of the machine looks at first when it
 * leaves a CPU. 0: none of the processes there is watched. PROC_ASK: one may be, its task storage
 * knows. Else index into procs + 1 of one, if that has this tgid. The loader writes it, or PROC_ASK
 * everywhere where it is in another pid namespace and does not know what the kernel calls them.
 */
#define PROC_PLACES 4096
#define PROC_ASK 0xffff

/* In .bss: the deadline timer's own state. */
struct pass_state {
	__u64 seq; /* odd while a pass is under way */
	__u64 kick; /* the loader wants a pass now */
	__u64 armed_ns; /* when the next one is due, 0 = not armed */
	__u64 now;
	__u64 gap; /* for so long the machine did not run */
	__u64 deadline;
	__u64 watchful; /* an end or the end of a pause is awaited */
	__u64 watched; /* segments judged */
	/* The loader's: what is live in `procs` and `segments` lies below these indices. */
	__u32 procs;
	__u32 segments;
	/* for --stats */
	__u64 passes;
	__u64 pass_ns;
	__u64 pass_max_ns;
};

/* What is counted, for --stats: a name, and what it is about. Counts are per CPU and exact. */
#define COUNTS(X)                                                                      \
	X(TICKS, "ticks", "ticks, all CPUs")                                           \
	X(TICKS_WATCHED, "ticks_watched", "ticks in a watched process")                \
	X(READ_FAULT, "read_fault", "a page of slots was not there")                   \
	X(READ_BUSY, "read_busy", "left to the CPU that was reading")                  \
	X(READ_GIVEN_UP, "read_given_up", "more observers than turns")                 \
	X(NO_PROC, "no_proc", "task storage names no process of the table")            \
	X(NO_SEGMENT, "no_segment", "a process names no segment of the table")         \
	X(BAD_LEN, "bad_len", "a segment longer than its buffer")                      \
	X(VERDICTS, "verdicts", "verdicts told")                                       \
	X(EVENTS_FULL, "events_full", "no room for a record: told later")              \
	X(WORD_MOVING, "word_moving", "a word changed while it was judged")            \
	X(GENERATION_SKIPS, "generation_skips", "facts were stale: judged 2 ms later") \
	X(TIMER_GONE, "timer_gone", "the timer could not be armed")                    \
	X(GAPS, "gaps", "the machine did not run")                                     \
	X(PAUSES, "pauses", "stopped, traced or frozen targets")                       \
	X(EXECS, "execs", "a watched process executed a program")                      \
	X(EXITS, "exits", "a watched process ended")                                   \
	X(CHILDREN, "children", "forks and execs of followed processes told")          \
	X(CHILD_UNMARKED, "child_unmarked", "no memory to follow a child")             \
	X(CHILD_FULL, "child_full", "no room to tell of a child: /proc is searched")   \
	X(WALKS, "walks", "Python stacks taken")                                       \
	X(WALK_REPEATS, "walk_repeats", "the event came again before it was closed")   \
	X(WALK_OTHER, "walk_other", "the thread state was another thread's")           \
	X(WALK_STALE, "walk_stale", "the thread was between two stores")               \
	X(WALK_FAULT, "walk_fault", "a page of the stack was not there")               \
	X(WALK_FULL, "walk_full", "no room for a stack")                               \
	X(GIL_WAITS, "gil_waits", "waits for a GIL, short ones too")                   \
	X(GIL_UNSURE, "gil_unsure", "cut in two: it may have had the GIL between")     \
	X(GIL_FAULT, "gil_fault", "a GIL could not be read")                           \
	X(GIL_FULL, "gil_full", "more threads wait than are watched")                  \
	X(GIL_LOST, "gil_lost", "two long waits of a thread ended in one pass")        \
	X(LOOP_ASKS, "loop_asks", "the loader was asked if a thread runs a loop")      \
	X(LOOP_FAULT, "loop_fault", "a count of steps could not be read")              \
	X(LOOP_FULL, "loop_full", "more threads may run loops than are watched")       \
	X(LOOP_HELD, "loop_held", "a long step waited for the GIL: left to that")      \
	X(LOOP_LOST, "loop_lost", "two long steps of a thread ended in one pass")      \
	X(ACCOUNT_FULL, "account_full", "a thread found no place to be accounted")     \
	X(TOP_FULL, "top_full", "a thread found no place to be counted for top")

#define COUNT_ENUM(id, name, about) COUNT_##id,
enum count { COUNTS(COUNT_ENUM) COUNT_MAX };
#undef COUNT_ENUM

struct counts {
	__u64 value[COUNT_MAX];
};

/* Counters carry no time: what RAW holds becomes words. NOW on the target's clock. The holder of
 * the lock calls it, in the kernel or in the loader. */
static inline __attribute__((always_inline)) void
segment_settle_counters(struct segment *seg, const __u64 *raw, __u64 now)
{
	const __u32 v0 = seg->v0;

#ifdef __clang__
#pragma clang loop unroll(disable)
#endif
	for (__u64 i = 0; i < SEGMENT_SLOTS; i++) {
		__u64 at = SEGMENT_HEAD + i, value;

		if (i >= seg->n)
			break;
		if (v0)
			at = 4 + 4 * i;
		else if (!(seg->counters[i / 64] >> i % 64 & 1))
			continue;
		if (at >= SEGMENT_WORDS)
			break;
		value = raw[at];
		/* most of a v0 page was never used: no word for it */
		if (value != seg->counter[i].seen)
			stall_counter_word(&seg->counter[i], value, now);
	}
}

_Static_assert(SLOT_HOT_LEN(SEGMENT_SLOTS) == SEGMENT_WORDS * 8, "a segment is one dense run");
_Static_assert(sizeof(struct slot_page_v0) <= SEGMENT_WORDS * 8, "v0 page fits");
_Static_assert(SLOT_V0_SLOTS <= SEGMENT_SLOTS, "v0 slots fit");
_Static_assert(__builtin_offsetof(struct segment, raw) % 8 == 0, "words are aligned");

#endif
