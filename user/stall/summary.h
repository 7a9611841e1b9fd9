/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What all stalls together came to, by source and tracker. Memory is bounded: a histogram of fixed
 * size for each tracker, and a number of trackers beyond which the rest is one. Pure.
 */
#ifndef PERPETUO_STALL_SUMMARY_H
#define PERPETUO_STALL_SUMMARY_H

#include <stddef.h>
#include <stdint.h>

#define SUMMARY_MAX_TRACKERS 256
#define SUMMARY_OTHERS "(others)" /* name of what came after them, with no source */

struct report_summary;
struct stall;
struct summary;

/* Why a stall was not told. */
enum summary_untold {
	SUMMARY_RATE,
	SUMMARY_ALLOWED,
};

struct summary *summary__new(void); /* NULL on lack of memory */
void summary__free(struct summary *s); /* NULL is fine */

/* A stall of SOURCE in a tracker called NAME has ended after DURATION_NS. */
void summary__add(struct summary *s, const char *source, const char *name, uint64_t duration_ns);

/* One was not told. If it was the rate, it is added as well when it ends; if it is allowed, not. */
void summary__untold(struct summary *s, const char *source, const char *name,
		     enum summary_untold why);

/* One is open, for DURATION_NS so far: for the next summary__report alone. */
void summary__open(struct summary *s, const char *source, const char *name, uint64_t duration_ns);

/* Fills the lists and sums of OUT, those with the most time first. They are borrowed until the next
 * call of any function here. */
void summary__report(struct summary *s, struct report_summary *out);

#endif
