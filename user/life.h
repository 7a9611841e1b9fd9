/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a stall as it is told. A judge finds stalls and knows when they end; all that is told
 * of one goes through here, in the same way for every source: detected, continues, ended.
 */
#ifndef PERPETUO_LIFE_H
#define PERPETUO_LIFE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/strbuf.h"

struct allow;
struct bench;
struct hook;
struct life;
struct looks;
struct source_event;
struct stall;
struct target;

/* What a judge knows of its stalls. A judge puts it, and itself, into each that it opens. */
struct stall_ops {
	const char *source; /* "slot", "gil", ...: of records */

	/* Does S go on, as far as the target says now? Its end may not have been told yet. */
	bool (*goes_on)(void *judge, struct target *t, struct stall *s);

	/*
	 * Takes the stacks of T by bench__look, with a note in L where there is something to say of
	 * them. True if the stall went on until they were taken.
	 */
	bool (*look)(void *judge, struct target *t, struct stall *s, struct looks *l);

	/* Adds a sentence about S to L, which may have no stacks. It lasts for DURATION_NS. NULL:
	 * there is nothing to add. */
	void (*say)(void *judge, const struct target *t, struct stall *s, uint64_t duration_ns,
		    struct looks *l);
};

/* How a stall ended. */
struct stall_end {
	uint64_t ns;
	bool exact; /* by the target's own stamp */
	const char *note; /* "" or one sentence */
};

/* Both are borrowed and may be NULL. */
struct life_opts {
	const struct allow *allow; /* stalls that are known: not told */
	struct hook *hook; /* what is run for each new stall */
	bool locals; /* the record that it gets has local variables */
};

/* BENCH is borrowed. NULL on lack of memory. */
struct life *life__new(const struct bench *bench, const struct life_opts *opts);
void life__free(struct life *l); /* NULL is fine */

/* True if there was a stall that is not a known one, told or not. */
bool life__saw_stall(const struct life *l);

/* A record of what all stalls came to. ALWAYS: also if there was none. 0, or what sink__summary
 * said. */
int life__summarize(struct life *l, bool always, struct err *err);

/* All of these: 0, or what sink__stall said. EV: on what event it was found. */
int life__detected(struct life *l, struct target *t, struct stall *s, const struct source_event *ev,
		   struct err *err);

/* S was found before it has crossed its threshold: it is told of when it does. */
void life__await(struct life *l, const struct target *t, struct stall *s);

/* Closes S. Nothing is told of one that was awaited in vain. */
int life__ended(struct life *l, const struct target *t, struct stall *s,
		const struct stall_end *end, struct err *err);

/* It was over before anybody could look: both records, no stacks. NOTE says so of the first.
 * Closes S. */
int life__over(struct life *l, const struct target *t, struct stall *s, const char *note,
	       const struct stall_end *end, struct err *err);

/* When something is due, on CLOCK_MONOTONIC; 0 = nothing is. */
uint64_t life__next(const struct life *l);

/*
 * Does one thing that is due by NOW_NS. TARGET: by handle, where the targets of stalls stand.
 * *DONE: nothing is due any more.
 */
int life__run(struct life *l, struct target *const *target, uint64_t now_ns, bool *done,
	      struct err *err);

/* "name value" lines for --stats. */
void life__stats(const struct life *l, struct strbuf *out);

#endif
