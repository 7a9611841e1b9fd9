/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * stall_state.h - the pure state machine: words in, verdicts out.
 *
 * Compiled into the BPF programs, into the poll backend and into the unit tests. No I/O, no clock,
 * no allocation: `now` comes in as an argument.
 *
 * A word (slot_abi.h) is odd while a section is active and is then the time it began; even, it is
 * the time the last one ended. Counters (v0 slots, SLOT_COUNTER) carry no time:
 * stall_counter_word() makes such a word of them at each observation, so that all else knows words
 * only.
 *
 * stall_judge() is called for one slot at a time, by one caller: the deadline timer, or the poller.
 * It keeps two words per slot:
 *	open	the active section it saw last
 *	told	the section that was raised and whose end is owed
 * and answers
 *	STALL_RAISE	this section has been active for the threshold
 *	STALL_ENDED	the section raised before is over
 *	STALL_OVER	a section seen before was never raised, and may have lasted for the
 *			threshold: nobody judged in time
 *
 * A verdict is a candidate: words are read a moment before they are judged, so the loader looks at
 * the slot once more (and at its history) before it believes one.
 */
#ifndef PERPETUO_STALL_STATE_H
#define PERPETUO_STALL_STATE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum stall_verdict {
	STALL_NONE = 0,
	STALL_RAISE = 1,
	STALL_ENDED = 2,
	STALL_OVER = 3,
};

struct stall_slot {
	__u64 open;
	__u64 told;
	__u64 pause_base; /* stall_pause.total when `open` began */
};

/* Time in which the target could not run: SIGSTOP, ptrace, freezer, a machine that was paused. */
struct stall_pause {
	__u64 total; /* ns, up to the end of the last pause */
	__u64 since; /* start of the present pause, 0 = it can run */
	__u64 last_ns; /* length of the last finished pause */
	__u64 last_end;
};

struct stall_now {
	__u64 now; /* ns, the clock of the words */
	__u64 threshold; /* ns */
	__u64 floor; /* no section can have begun before (start of the process) */
	const struct stall_pause *pause;
};

struct stall_counter {
	__u64 seen;
	__u64 word;
};

/* The word of a counter that has VALUE now. The first observation of an active one is its start. */
static inline __u64 stall_counter_word(struct stall_counter *c, __u64 value, __u64 now)
{
	if (value != c->seen || !c->word) {
		c->seen = value;
		c->word = (now & ~1ULL) | (value & 1);
	}
	return c->word;
}

static inline void stall_pause_begin(struct stall_pause *p, __u64 now)
{
	if (!p->since)
		p->since = now;
}

static inline void stall_pause_end(struct stall_pause *p, __u64 now)
{
	if (!p->since)
		return;
	p->last_ns = (__s64)(now - p->since) > 0 ? now - p->since : 0;
	p->last_end = now;
	p->total += p->last_ns;
	p->since = 0;
}

/*
 * What `total` was when a section began, so that total - this is how long it was paused. A section
 * that began before the last pause contains it. One that began in it shows that the target ran
 * before the end of the pause was noticed: only what came after counts.
 */
static inline __u64 stall_pause_at(const struct stall_pause *p, __u64 start)
{
	__s64 inside = p->last_end - start;

	if (inside <= 0)
		return p->total;
	return p->total - ((__u64)inside < p->last_ns ? (__u64)inside : p->last_ns);
}

/*
 * Start of the section that WORD stands for, on the clock of stall_now: never before the process,
 * never in the future (a word from the future is written by a hostile or broken target, and its
 * section is as long as 0 ns until then).
 */
static inline __u64 stall_start(__u64 word, const struct stall_now *n)
{
	if (word < n->floor)
		return n->floor;
	if (word > n->now)
		return n->now;
	return word;
}

/*
 * Judges one slot. *WAS is the word of the section that the verdict is about (0 for STALL_NONE).
 * *DEADLINE becomes the time at which to judge again if that is earlier. At most one verdict a
 * call: after STALL_ENDED and STALL_OVER call again for what the slot does now.
 */
static inline enum stall_verdict stall_judge(struct stall_slot *s, __u64 word,
					     const struct stall_now *n, __u64 *was, __u64 *deadline)
{
	__u64 due;

	*was = 0;
	if (s->told && s->told != word) {
		*was = s->told;
		s->told = 0;
		s->open = 0;
		return STALL_ENDED;
	}
	if (s->open && s->open != word) {
		__u64 old = s->open, begin = stall_start(old, n);
		__u64 paused = n->pause->total - s->pause_base;

		s->open = 0;
		if ((__s64)(word - begin - paused - n->threshold) >= 0) {
			*was = old;
			return STALL_OVER;
		}
	}
	if (!(word & 1) || s->told == word)
		return STALL_NONE;
	if (s->open != word) {
		s->open = word;
		s->pause_base = stall_pause_at(n->pause, stall_start(word, n));
	}
	if (n->pause->since)
		return STALL_NONE;
	due = stall_start(word, n) + n->threshold + (n->pause->total - s->pause_base);
	if ((__s64)(n->now - due) < 0) {
		if (due < *deadline)
			*deadline = due;
		return STALL_NONE;
	}
	s->told = word;
	*was = word;
	return STALL_RAISE;
}

#endif
