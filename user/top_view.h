/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What `perpetuo-bpf top` shows at one moment: rows of threads, and what they came to since the
 * refresh before. No I/O, no clock; text comes sanitised.
 */
#ifndef PERPETUO_TOP_VIEW_H
#define PERPETUO_TOP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"
#include "source/source.h"

#define TOP_MAX_ROWS 1024 /* threads, of all processes */
#define TOP_MAX_STALLS 8 /* that are shown */
#define TOP_NAME_LEN 48
#define TOP_AT_LEN 128
#define TOP_LINE_LEN 256

/* Since the refresh before; of a new thread since it was seen first. */
struct top_change {
	uint64_t held_ns, waited_ns, waits, steps;
};

struct top_row {
	pid_t pid;
	struct source_counts now;
	struct top_change change;
	bool seen; /* in this refresh */
	char name[TOP_NAME_LEN]; /* "" = not known */
	char at[TOP_AT_LEN]; /* its innermost frame; "" = not known */
};

struct top_stall {
	char id[32];
	char line[TOP_LINE_LEN];
};

struct top_view {
	uint64_t wall_ns;
	uint64_t span_ns; /* since the refresh before, never 0 */
	size_t nprocs;
	size_t nrows;
	size_t cut; /* threads for which there was no room */
	struct top_row row[TOP_MAX_ROWS]; /* those that held the GIL for longest first */
	size_t nstalls;
	struct top_stall stall[TOP_MAX_STALLS]; /* newest first */
};

/* One refresh: begin, add each thread, end, which forgets those that were not added, and sorts. */
void top_view__begin(struct top_view *v);
void top_view__add(struct top_view *v, pid_t pid, const struct source_counts *c);
void top_view__end(struct top_view *v);

struct top_row *top_view__find(struct top_view *v, pid_t pid, pid_t tid); /* NULL: none */

/* What the thread of a row is called, and at which LINE of which FUNCTION it is (NULL: not known).
 */
void top_row__describe(struct top_row *r, const char *name, const char *function, int line);

/* LINE says how stall ID stands now. */
void top_view__stall(struct top_view *v, const char *id, const char *line);

/* PERCENT of the steps of L were shorter; 0 without steps. At most a quarter too much. */
uint64_t top_quantile(const struct top_loop *l, unsigned int percent);

/*
 * A page of at most LINES lines, none longer than COLUMNS (80 at least):
 *
 *	perpetuo-bpf top  13:42:24  1 process  3 threads
 *	    PID     TID THREAD             HELD  WAITED  WAITS    WORST IN
 *	   1234    1240 hog               97.2%    0.3%     10    5.1ms keep_the_gil:93
 *	    PID     TID LOOP               STEPS      P99    WORST IN
 *	   1234    1234 MainThread            40   10.2ms  301.0ms serve:71
 *	STALLS
 *	13:42:23 1234-7 GIL 312.0 ms ended: waited for the GIL, which hog held
 */
void top_view__page(const struct top_view *v, size_t lines, size_t columns, struct strbuf *out);

#endif
