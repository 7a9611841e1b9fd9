/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * loop_state.h - the pure state machine of one thread that runs an event loop: what was seen of it
 * when it left a CPU or was ticked goes in, steps of the loop come out.
 *
 * Compiled into the BPF programs and into the unit tests. No I/O, no clock.
 *
 * `context_ver` of a CPython thread state counts how often the thread entered and left a context
 * (Python/context.c: context_switched). Event loops run each step in a context of its own: asyncio,
 * uvloop and Trio move it by one when a step begins and by one when it ends; greenlets by one at
 * each switch. So it is a counter of steps that nobody had to install. A step is open from when its
 * value is first seen until another one is, or the loop is seen idle: blocked in epoll on its own
 * descriptor.
 *
 * What comes first after idleness began when the thread was switched in, if the count has moved by
 * one at most: that is `now` less the CPU time that it used since it left its CPU to wait. Any
 * other step may have begun a moment before it was first seen: never after, so that none is made
 * longer than it was.
 *
 * Whether the thread is in a step at all is not decided here: the count rests outside of steps, too
 * (after the loop has ended, say). Who is told of a step that is long looks at the thread.
 *
 * WHO WRITES WHAT. The thread itself (on one CPU at a time) writes all of a loop_step but `told`
 * and `held`; the deadline timer writes these two, and takes what is past by setting past.since to
 * 0. The loader fills it in before the thread is watched.
 */
#ifndef PERPETUO_LOOP_STATE_H
#define PERPETUO_LOOP_STATE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define LOOP_NO_CPU (~0ULL) /* as CPU time: not known */

struct loop_look {
	__u64 now; /* ns */
	__u64 cpu; /* CPU time of the thread, ns */
	__u64 ver; /* context_ver */
	__u32 known; /* ver could be read */
	__u32 idle; /* it waits where its loop waits */
	__u32 leaves; /* it leaves its CPU; else a tick interrupts it */
	__u32 pad;
};

enum loop_flags {
	LOOP_EXACT = 1, /* the start is when the thread was woken for it */
	LOOP_ROUGH = 2, /* the end is known to a tick only */
	LOOP_LONG = 4, /* it lasted for the threshold */
	LOOP_ON_CPU = 8, /* the thread was not seen leaving its CPU: it may have moved on */
};

struct loop_past {
	__u64 since; /* of a step that is over; 0 = none. Written last. */
	__u64 end;
	__u64 least; /* it was not over before */
	__u64 ver;
	__u32 flags; /* enum loop_flags */
	__u32 pad;
};

struct loop_step {
	__u64 since; /* start of the step that is open, 0 = the loop is idle */
	__u64 told; /* start of the step that was raised and whose end is owed */
	__u64 held; /* up to then it is part of another stall */
	__u64 ver; /* as it was seen last */
	__u64 seen; /* when it was seen last */
	__u64 cpu; /* CPU time when it left a CPU last, or LOOP_NO_CPU */
	__u64 pause_base; /* stall_pause.total when the step began */
	__u32 flags; /* enum loop_flags, of the step that is open */
	__u32 off; /* it left its CPU when it was seen last */
	struct loop_past past;
};

/* Since when the thread that is seen now has been on its CPU, if it has not been seen since. */
static inline __u64 loop_switched_in(const struct loop_step *s, const struct loop_look *l)
{
	__u64 in = l->now - (l->cpu - s->cpu);

	if (s->cpu == LOOP_NO_CPU || (__s64)(l->now - in) < 0)
		return l->now;
	return (__s64)(in - s->seen) < 0 ? s->seen : in;
}

/* When the step that is open was over that is not any more; the count has MOVED since. */
static inline void loop_note_end(const struct loop_step *s, const struct loop_look *l, __u64 moved,
				 struct loop_past *over)
{
	over->since = s->since;
	over->ver = s->ver;
	over->flags = s->flags & LOOP_EXACT;
	over->pad = 0;
	over->least = s->seen;
	over->end = l->now;
	if (l->idle && moved <= 1) {
		/* it has done nothing else since */
		over->least = l->now;
		return;
	}
	if (!s->off)
		over->end = s->seen + (l->now - s->seen) / 2;
	else
		over->end = loop_switched_in(s, l);
	/* a tick does not see all of the CPU time: what was computed from it is late */
	if (s->off && l->leaves)
		over->least = over->end;
	else
		over->flags |= LOOP_ROUGH;
}

/*
 * What was seen of a thread: continues, ends, or begins a step. True if one ended, which is then in
 * *OVER (not yet in S->past).
 */
static inline int loop_observe(struct loop_step *s, const struct loop_look *l,
			       struct loop_past *over)
{
	__u64 since = s->since, moved = l->known ? l->ver - s->ver : 0;
	int ended = since && (l->idle || moved);

	if (ended)
		loop_note_end(s, l, moved, over);
	if (l->idle) {
		*(volatile __u64 *)&s->since = 0;
	} else if (!since) {
		s->flags = moved <= 1 ? LOOP_EXACT : 0;
		*(volatile __u64 *)&s->since = moved <= 1 ? loop_switched_in(s, l) : l->now;
	} else if (moved) {
		s->flags = 0;
		*(volatile __u64 *)&s->since = l->now;
	}
	if (l->known)
		s->ver = l->ver;
	s->seen = l->now;
	s->off = l->leaves;
	if (l->leaves)
		s->cpu = l->cpu;
	return ended;
}

/* Leaves what is over to the timer. False if it has not yet taken the one before: this one is lost.
 */
static inline int loop_leave(struct loop_step *s, const struct loop_past *over)
{
	if (*(volatile __u64 *)&s->past.since)
		return 0;
	s->past.end = over->end;
	s->past.least = over->least;
	s->past.ver = over->ver;
	s->past.flags = over->flags;
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&s->past.since = over->since;
	return 1;
}

/* How long it has lasted by NOW: less the time PAUSED in which the target was stopped, and what was
 * before HELD. */
static inline __u64 loop_lasted(__u64 since, __u64 held, __u64 now, __u64 paused)
{
	__s64 ns;

	if ((__s64)(held - since) > 0)
		since = held;
	ns = now - since - paused;
	return ns > 0 ? (__u64)ns : 0;
}

#endif
