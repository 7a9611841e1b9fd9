/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bench: what all judges share. judge.c hears of slots, gil.c of waits for the GIL, loop.c of
 * steps of event loops; they look at the threads of a target in the same way and write the same
 * records.
 */
#ifndef PERPETUO_BENCH_H
#define PERPETUO_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "position.h"
#include "source/source.h"
#include "stall/resolve.h"

struct life;
struct loop_judge;
struct policy;
struct py_snapshot;
struct redact;
struct sink;
struct stall;
struct target;
struct thresholds;

/* All borrowed. */
struct bench {
	struct policy *policy;
	struct life *life; /* through which judges tell */
	struct sink *sink;
	const struct source_ops *ops;
	struct source *source;
	const struct thresholds *thresholds;
	const struct redact *redact; /* NULL: no local variables */
	const struct loop_judge *loop; /* NULL: event loops are not watched */
};

/* The threads of a target at one moment, and who of them is responsible. */
struct looks {
	struct py_snapshot *snap; /* NULL: there are no stacks, and `note` says why */
	struct resolved resolved;
	struct positions positions;
	struct err note; /* "" or one sentence */
};

/* Walks the stacks of T. L is empty before; free its content by looks__free whatever came. */
void bench__look(const struct bench *b, struct target *t, const struct culprit *who,
		 struct looks *l);
void looks__free(struct looks *l);

/*
 * "stall 1234-7: judged 0.021 ms after the threshold, written 0.830 ms after that": what --verbose
 * says of a record that was just written, and tests/bench/report.py reads.
 */
void bench__log_delays(const struct stall *s, const struct source_event *ev);

#endif
