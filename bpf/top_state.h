/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * top_state.h - counters of one thread for `perpetuo-bpf top`: what was seen of it when it left a
 * CPU or was ticked goes in, the time that it had the GIL and the lengths of its loop's steps come
 * out.
 *
 * Compiled into the BPF programs and into the unit tests. No I/O, no clock.
 *
 * THE GIL. Between two looks at a thread it had the GIL
 *	- all the time, if it has it at both and nobody else had it between (switch_number)
 *	- since it was switched in, if it has it only now; that is `now` less its CPU time since
 *	- until now, if it had it and now leaves its CPU without: it lets go just before it sleeps
 *	- since it was switched in, if it has it at neither, but goes to wait for something else
 *	  and was the last holder, came from waiting for it, or the GIL came and went
 *	- for half of the time, if a tick finds that this has changed since the last tick
 * So a thread that computes without the GIL between two sleeps is taken to hold it for a tick at
 * most. What it holds while it sleeps is seen when it comes back.
 *
 * STEPS. Their number is exact (half of what context_ver moved). A step that was seen open has its
 * own length; those that ran between two looks share the time that the thread was on its CPU in
 * equal parts: a tick is the longest that such a step can be.
 */
#ifndef PERPETUO_TOP_STATE_H
#define PERPETUO_TOP_STATE_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Lengths of steps: TOP_PARTS to each power of two of microseconds. */
#define TOP_PARTS 4
#define TOP_OCTAVES 28
#define TOP_BUCKETS (TOP_PARTS * TOP_OCTAVES)

enum top_flags {
	TOP_HOLDS = 1, /* it has the GIL */
	TOP_LAST = 2, /* it has it, or was the last to have it */
	TOP_QUEUES = 4, /* it waits for the GIL, or on the way to it */
	TOP_SLEEPS = 8, /* it leaves its CPU by its own will */
	TOP_LEAVES = 16, /* it leaves its CPU; else a tick interrupts it */
};

struct top_look {
	__u64 now; /* ns */
	__u64 cpu; /* CPU time of the thread, ns */
	__u64 switches; /* switch_number of its GIL */
	__u32 flags; /* enum top_flags */
	__u32 pad;
};

struct top_gil {
	__u64 held_ns;
	__u64 waited_ns; /* waits that are over */
	__u64 worst_ns; /* of them */
	__u64 waits;
	__u64 seen; /* when it was seen last, 0 = never */
	__u64 cpu, switches; /* then */
	__u32 flags; /* then */
	__u32 pad;
};

struct top_loop {
	__u64 moved; /* of context_ver: 2 for a step */
	__u64 worst_ns;
	__u32 bucket[TOP_BUCKETS];
};

/* For how long it has had the GIL since it was seen last; IN: when it was switched in. */
static inline __u64 top_held(const struct top_gil *g, const struct top_look *l, __u64 in)
{
	__u64 all = l->now - g->seen, since = g->flags & TOP_LEAVES ? l->now - in : all;
	__u64 moved = l->switches - g->switches;
	int had = g->flags & TOP_HOLDS, has = l->flags & TOP_HOLDS;

	if (had && has)
		return moved ? since : all;
	if (had)
		return l->flags & TOP_LEAVES ? all : all / 2;
	if (has)
		return g->flags & TOP_LEAVES ? since : all / 2;
	if (!(l->flags & TOP_SLEEPS) || l->flags & TOP_QUEUES || !(g->flags & TOP_LEAVES))
		return 0;
	return g->flags & TOP_QUEUES || l->flags & TOP_LAST || moved >= 2 ? since : 0;
}

static inline void top_observe(struct top_gil *g, const struct top_look *l)
{
	__u64 in = l->now - (l->cpu - g->cpu);

	if ((__s64)(in - g->seen) < 0 || (__s64)(l->now - in) < 0)
		in = g->seen;
	if (g->seen)
		g->held_ns += top_held(g, l, in);
	g->cpu = l->cpu;
	g->switches = l->switches;
	g->flags = l->flags;
	g->seen = l->now;
}

static inline void top_waited(struct top_gil *g, __u64 ns)
{
	g->waits++;
	g->waited_ns += ns;
	if (ns > g->worst_ns)
		g->worst_ns = ns;
}

/* Where a length of NS stands: TOP_PARTS buckets from 2^n us to 2^(n + 1) us. */
static inline __u32 top_bucket(__u64 ns)
{
	__u64 parts = ns / (1000 / TOP_PARTS), n = 0;

	/* no clz in BPF */
	if (parts >> 32)
		return TOP_BUCKETS - 1;
	for (int shift = 16; shift; shift /= 2)
		if (parts >> (n + (__u64)shift))
			n += (__u64)shift;
	/* parts is 2^n and more; below TOP_PARTS (1 us) all are one */
	if (n < 2)
		return 0;
	n = (n - 2) * TOP_PARTS + ((parts >> (n - 2)) & (TOP_PARTS - 1));
	return n < TOP_BUCKETS ? (__u32)n : TOP_BUCKETS - 1;
}

/* The least length that does not fall into bucket I any more. */
static inline __u64 top_bucket_end(__u32 i)
{
	return ((TOP_PARTS + 1 + (__u64)(i % TOP_PARTS)) << (i / TOP_PARTS)) * 1000 / TOP_PARTS;
}

/* CNT steps of NS each. */
static inline void top_note_steps(struct top_loop *t, __u64 ns, __u32 cnt)
{
	__u64 i = top_bucket(ns);

	asm volatile("" : "+r"(i)); /* the verifier of 5.15 loses the bound of a copy */
	if (i < TOP_BUCKETS)
		t->bucket[i] += cnt;
	if (ns > t->worst_ns)
		t->worst_ns = ns;
}

/* context_ver MOVED; a step that was seen open has ended after ENDED_NS (0: none has), and the rest
 * was in SPAN_NS. */
static inline void top_note_moved(struct top_loop *t, __u64 moved, __u64 ended_ns, __u64 span_ns)
{
	__u64 rest = (ended_ns ? moved - 1 : moved) / 2;

	t->moved += moved;
	if (ended_ns)
		top_note_steps(t, ended_ns, 1);
	if (rest && rest < 1ULL << 31)
		top_note_steps(t, span_ns / rest, (__u32)rest);
}

#endif
