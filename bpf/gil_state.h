/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * gil_state.h - the pure state machine of one thread that waits for a GIL: what was seen of it when
 * it left a CPU goes in, episodes of waiting come out.
 *
 * Compiled into the BPF programs and into the unit tests. No I/O, no clock.
 *
 * A thread that wants the GIL sleeps on the futex of gil->cond, for one switch interval (5 ms) at a
 * time (CPython, Python/ceval_gil.c: take_gil). So one long wait is many short ones, and what must
 * be known is whether the thread had the GIL between two of them. `switch_number` says it: it moves
 * by one when the GIL goes to another thread than the last holder's. Who waits is not the holder,
 * so for having had it between two waits it takes two steps: to the thread, and away from it. An
 * episode is continued only while it moved by less. Everything in it is then sure.
 *
 * When the thread got the GIL, it was switched in, and on a CPU ever since: that moment is `now`
 * less the CPU time that it used since it was last seen leaving a CPU.
 *
 * WHO WRITES WHAT. The thread itself (on one CPU at a time) writes all of a gil_wait but `told`;
 * the deadline timer writes `told`, and takes what is past by setting past.since to 0.
 */
#ifndef PERPETUO_GIL_STATE_H
#define PERPETUO_GIL_STATE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Where a thread is that leaves its CPU. */
enum gil_where {
	GIL_ELSEWHERE, /* it waits for something else */
	GIL_WAITS, /* on gil->cond: for the GIL */
	GIL_DROPPED, /* on gil->switch_cond: it has let go of the GIL and wants it back */
	GIL_MUTEX, /* on a mutex of the GIL: before or after either */
	GIL_PREEMPTED, /* it would go on; also: a tick interrupts it */
	GIL_EXITS,
};

/* The head of struct _gil_runtime_state: the same from CPython 3.9 to 3.15. */
struct gil_words {
	__u64 interval; /* us */
	__u64 holder; /* thread state of the holder, or of who held it last */
	__s32 locked; /* -1: not made yet */
	__u32 pad;
	__u64 switches;
};

struct gil_look {
	__u64 now; /* ns */
	__u64 cpu; /* CPU time of the thread, ns */
	__u32 where; /* enum gil_where */
	__u32 known; /* the words could be read */
	__u32 mine; /* the thread holds the GIL, or nobody else has since: it was another's when the
		       thread began to wait */
	__u32 pad;
	struct gil_words words;
};

enum gil_flags {
	GIL_UNSURE = 1, /* it may go on waiting, or had the GIL for a moment */
	GIL_ROUGH = 2, /* the end is known to some milliseconds only */
	GIL_LONG = 4, /* it lasted for the threshold */
};

struct gil_past {
	__u64 since; /* of an episode that is over; 0 = none. Written last. */
	__u64 end;
	__u64 holder;
	__u64 switches; /* how far switch_number moved */
	__u32 flags; /* enum gil_flags */
	__u32 pad;
};

struct gil_wait {
	__u64 since; /* start of the episode that is open, 0 = none */
	__u64 told; /* start of the episode that was raised and whose end is owed */
	__u64 gil; /* address of its gil_words */
	__u64 cpu; /* when it left a CPU last */
	__u64 switches; /* at the last wait */
	__u64 first; /* at the first wait of the episode */
	__u64 holder; /* at the last wait */
	__u64 pause_base; /* stall_pause.total when the episode began */
	struct gil_past past;
};

/* Is the episode over that was open when L was seen? Negative: that is not known. */
static inline int gil_is_over(const struct gil_wait *w, const struct gil_look *l)
{
	switch (l->where) {
	case GIL_MUTEX:
		return l->known && l->mine;
	case GIL_PREEMPTED:
		return l->known ? (int)l->mine : -1;
	case GIL_WAITS:
		return l->known && l->words.switches - w->switches < 2 ? 0 : -1;
	default:
		return 1;
	}
}

/*
 * What was seen of a thread: continues, ends, or begins its episode. True if one ended, which is
 * then in *OVER (not yet in W->past).
 */
static inline int gil_observe(struct gil_wait *w, const struct gil_look *l, struct gil_past *over)
{
	__u64 since = w->since, in = l->now - (l->cpu - w->cpu);
	int ended = since ? gil_is_over(w, l) : 0;

	if (ended) {
		if ((__s64)(in - since) < 0)
			in = since;
		if ((__s64)(l->now - in) < 0)
			in = l->now;
		over->since = since;
		over->end = in;
		over->holder = w->holder;
		over->switches = w->switches - w->first;
		over->flags = ended < 0 ? GIL_UNSURE : 0;
		over->pad = 0;
		*(volatile __u64 *)&w->since = 0;
	}
	w->cpu = l->cpu;
	if ((l->where != GIL_WAITS && l->where != GIL_DROPPED) || !l->known)
		return ended != 0;
	w->switches = l->words.switches;
	w->holder = l->words.holder;
	if (!since || ended) {
		w->first = l->words.switches;
		*(volatile __u64 *)&w->since = l->now;
	}
	return ended != 0;
}

/* Leaves what is over to the timer. False if it has not yet taken the one before: this one is lost.
 */
static inline int gil_leave(struct gil_wait *w, const struct gil_past *over)
{
	if (*(volatile __u64 *)&w->past.since)
		return 0;
	w->past.end = over->end;
	w->past.holder = over->holder;
	w->past.switches = over->switches;
	w->past.flags = over->flags;
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&w->past.since = over->since;
	return 1;
}

/* For how long it waited, of which the target was stopped for PAUSED, by NOW. */
static inline __u64 gil_waited(__u64 since, __u64 now, __u64 paused)
{
	__s64 ns = now - since - paused;

	return ns > 0 ? (__u64)ns : 0;
}

#endif
