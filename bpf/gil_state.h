/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * gil_state.h - the pure state machine of one thread that waits for a GIL: what was seen of it when
 * it left a CPU goes in, episodes of waiting come out.
 *
 * Compiled into the BPF programs and into the unit tests. No I/O, no clock.
 *
 * A thread that wants the GIL sleeps on the futex of gil->cond, for one switch interval (5 ms) at a
 * time (CPython, Python/ceval_gil.c: take_gil). So one long wait is many short ones, and what must
 * be known is whether the thread had the GIL between two of them. `switch_number` moves by one when
 * the GIL goes to another thread than the last holder's. Who waits is not the holder, so for having
 * had it between two waits it takes two steps: to the thread, and away from it. While the number
 * moved by less, it is certain that the thread had nothing.
 *
 * A move by two or more is ambiguous: where many threads compute it is the others' doing, but a
 * thread may also have had the GIL for a moment, without leaving its CPU. It is taken to have had
 * the GIL
 *	- if it entered take_gil() anew: its stack pointer is another one (certain)
 *	- if it read or wrote something between, as the kernel counts (certain)
 *	- if it used much more CPU time than its turns that were certainly lost (probable)
 * Otherwise the episode goes on with a doubt. From half the threshold on a watchpoint guards the
 * episode (gil.bpf.c): the first time that the thread takes or releases the GIL is seen then. So an
 * episode with doubts is not raised before it was guarded for a while, and where there is no
 * guard, a doubt ends it.
 *
 * THE WORLD. In a free-threaded build a thread that wants all others to stop (a garbage collection)
 * looks for whether they have once in a millisecond, in between it sleeps (Python/pystate.c:
 * stop_the_world). That is an episode, too, which goes on while it sleeps its time and does nothing
 * but look. Who is the last to stop wakes it before its time.
 *
 * When the thread got the GIL, it was switched in, and on a CPU ever since: that moment is `now`
 * less the CPU time that it used since it was last seen leaving a CPU.
 *
 * WHO WRITES WHAT. The thread itself (on one CPU at a time) writes all of a gil_wait but `told` and
 * `asked`, which are the deadline timer's, and `guarded`, `guarded_at`, which are the loader's. The
 * timer takes what is past by setting past.since to 0.
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
	GIL_STOPS, /* it has asked all other threads to stop, and waits until they have */
	GIL_MUTEX, /* on a mutex of the GIL: before or after either */
	GIL_PREEMPTED, /* it would go on; also: a tick interrupts it */
	GIL_TOUCHES, /* it takes or releases the GIL just now: the watchpoint */
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
		       thread began to wait. GIL_STOPS: it does not wait for others to stop. */
	__u32 guards; /* doubts can be cleared up: there are watchpoints */
	__u64 sp; /* stack pointer of the thread in user space, 0 = not known */
	__u64 io; /* how often it has read or written, as the kernel counts */
	struct gil_words words;
};

enum gil_flags {
	GIL_UNSURE = 1, /* it may go on waiting, or had the GIL for a moment */
	GIL_ROUGH = 2, /* the end is known to some milliseconds only */
	GIL_LONG = 4, /* it lasted for the threshold */
	GIL_DOUBTFUL = 8, /* it may have had the GIL in the middle: nobody guarded it */
	GIL_LEFT = 16, /* it ended with its thread */
	GIL_STW = 32, /* it waited for all others to stop */
};

/* Why the thread waits so long. */
enum gil_kind {
	GIL_HELD, /* one thread has the GIL and does not let go */
	GIL_RETAKEN, /* one thread lets go of it and takes it again before another one can */
	GIL_QUEUE, /* it goes from thread to thread, and many want it */
};

struct gil_past {
	__u64 since; /* of an episode that is over; 0 = none. Written last. */
	__u64 end;
	__u64 holder;
	__u64 switches; /* how far switch_number moved */
	__u64 held; /* as gil_wait.held */
	__u32 drops; /* as gil_wait.drops */
	__u32 kind; /* enum gil_kind */
	__u32 flags; /* enum gil_flags */
	__u32 pad;
};

struct gil_wait {
	__u64 since; /* start of the episode that is open, 0 = none */
	__u64 told; /* start of the episode that was raised and whose end is owed */
	__u64 asked; /* start of the episode for which a guard was asked */
	__u64 guarded; /* start of the episode that a watchpoint guards ... */
	__u64 guarded_at; /* ... since then */
	__u64 gil; /* address of its gil_words */
	__u64 cpu; /* when it was seen last */
	__u64 cpu_first; /* CPU time when the episode began */
	__u64 used; /* CPU time since its last wait, up to `cpu` */
	__u64 losing; /* CPU time of a turn that was lost, a mean; 0 = none was */
	__u64 at; /* its last wait: when it began, */
	__u64 sp; /* its stack pointer then, 0 = not known, */
	__u64 io; /* and gil_look.io */
	__u64 switches; /* at the last wait */
	__u64 first; /* at the first wait of the episode */
	__u64 holder; /* at the last wait */
	__u64 held; /* since then, as far as was seen, that holder has had it */
	__u64 pause_base; /* stall_pause.total when the episode began */
	__u32 drops; /* times that this holder let go of it and took it again, as far as was seen */
	__u32 doubts; /* ambiguous waits in the episode that nobody guarded */
	struct gil_past past;
};

#define GIL_LOSING_NS 50000 /* losing a turn costs so much, as long as none was measured */
#define GIL_LOSING_MAX_NS 200000 /* more is not the turn's: the machine took the CPU away */
#define GIL_USED_IT 3 /* so many times the cost of losing: it had the GIL */
#define GIL_WAKES_NS 200000 /* earlier than the timeout by this: it was woken */
#define GIL_FEW_SWITCHES 2 /* the GIL came to the holder, and what happened just before */

static inline int gil_is_guarded(const struct gil_wait *w)
{
	return w->since && w->guarded == w->since;
}

/* Did it have the GIL since its last wait, now that it waits again? Negative: probably. */
static inline int gil_had_it(const struct gil_wait *w, const struct gil_look *l)
{
	__s64 moved = l->words.switches - w->switches;
	__u64 losing = w->losing ? w->losing : GIL_LOSING_NS;

	if (moved < 0)
		return -1;
	if (moved < 2 || gil_is_guarded(w))
		return 0;
	if ((w->sp && l->sp && l->sp != w->sp) || l->io != w->io)
		return 1;
	return !l->guards || w->used > GIL_USED_IT * losing ? -1 : 0;
}

/* Was it woken before its time? IN: when it was switched in. */
static inline int gil_woken(const struct gil_wait *w, const struct gil_look *l, __u64 in)
{
	return in - w->at + GIL_WAKES_NS < l->words.interval * 1000;
}

/* Have all others stopped, or was that another time? Negative: probably. Who comes back from a
 * collection has used CPU time; who does so again and again, a good share of it. */
static inline int gil_world_stopped(const struct gil_wait *w, const struct gil_look *l, __u64 in)
{
	__u64 losing = w->losing ? w->losing : GIL_LOSING_NS;

	if (gil_woken(w, l, in))
		return 1;
	if (w->used <= GIL_USED_IT * losing || l->cpu - w->cpu_first <= (l->now - w->since) / 8)
		return 0;
	return -1;
}

/* Is the episode over that was open when L was seen? Negative: that is not known. */
static inline int gil_is_over(const struct gil_wait *w, const struct gil_look *l, __u64 in)
{
	switch (l->where) {
	case GIL_STOPS:
		return gil_world_stopped(w, l, in);
	case GIL_MUTEX:
		return l->known && l->mine;
	case GIL_PREEMPTED:
		return l->known ? (int)l->mine : -1;
	case GIL_WAITS:
		return l->known ? gil_had_it(w, l) : -1;
	default:
		return 1;
	}
}

static inline enum gil_kind gil_kind(const struct gil_wait *w, __u64 now)
{
	if (w->switches - w->first > GIL_FEW_SWITCHES && now - w->held < (now - w->since) / 2)
		return GIL_QUEUE;
	return w->drops > 1 ? GIL_RETAKEN : GIL_HELD;
}

/* The episode is over since END. */
static inline void gil_close(struct gil_wait *w, __u64 end, __u32 flags, struct gil_past *over)
{
	over->since = w->since;
	over->end = end;
	over->holder = w->holder;
	over->switches = w->switches - w->first;
	over->held = w->held;
	over->drops = w->drops;
	over->kind = gil_kind(w, end);
	over->flags = flags;
	if (w->doubts && !gil_is_guarded(w))
		over->flags |= GIL_DOUBTFUL;
	over->pad = 0;
	*(volatile __u64 *)&w->since = 0;
}

/* A turn was lost: what that costs, and how it came to it. WOKEN: when it was switched in. */
static inline void gil_lost_turn(struct gil_wait *w, const struct gil_look *l, __u64 woken)
{
	__u64 used = w->used < GIL_LOSING_MAX_NS ? w->used : GIL_LOSING_MAX_NS;
	__u64 moved = l->words.switches - w->switches;

	if (moved) {
		w->held = l->now;
		w->drops = 0;
	} else if (gil_woken(w, l, woken)) {
		w->drops++;
	}
	if (moved >= 2 && !gil_is_guarded(w))
		w->doubts++;
	else if (moved < 2)
		w->losing = w->losing ? w->losing - w->losing / 8 + used / 8 : used;
}

static inline void gil_begin(struct gil_wait *w, const struct gil_look *l)
{
	w->first = l->words.switches;
	w->cpu_first = l->cpu;
	w->held = l->now;
	w->drops = 0;
	w->doubts = 0;
	*(volatile __u64 *)&w->since = l->now;
}

/*
 * What was seen of a thread: continues, ends, or begins its episode. True if one ended, which is
 * then in *OVER (not yet in W->past).
 */
static inline int gil_observe(struct gil_wait *w, const struct gil_look *l, struct gil_past *over)
{
	__u64 since = w->since, in = l->now - (l->cpu - w->cpu);
	int ended;

	if ((__s64)(in - since) < 0)
		in = since;
	if ((__s64)(l->now - in) < 0 || l->where == GIL_TOUCHES)
		in = l->now;
	w->used += l->cpu - w->cpu;
	w->cpu = l->cpu;
	ended = since ? gil_is_over(w, l, in) : 0;
	if (ended)
		gil_close(w, in,
			  (ended < 0 ? GIL_UNSURE : 0) | (l->where == GIL_EXITS ? GIL_LEFT : 0),
			  over);
	if ((l->where != GIL_WAITS && l->where != GIL_DROPPED && l->where != GIL_STOPS) ||
	    !l->known)
		return ended != 0;
	if (!since || ended)
		gil_begin(w, l);
	else
		gil_lost_turn(w, l, in);
	w->at = l->now;
	w->used = 0;
	w->sp = l->where == GIL_WAITS ? l->sp : 0;
	w->io = l->io;
	w->switches = l->words.switches;
	w->holder = l->words.holder;
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
	w->past.held = over->held;
	w->past.drops = over->drops;
	w->past.kind = over->kind;
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
