/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is looked for in a target, and when: the pages of its trackers, its interpreter, its GILs,
 * its event loops. While something is missing there is a look now and then; once all is known, only
 * when a page says that its facts have changed.
 */
#ifndef PERPETUO_LOOKOUT_H
#define PERPETUO_LOOKOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "options.h"
#include "source/source.h"
#include "stall/report.h"

struct gil_judge;
struct loop_judge;
struct target;

/* All borrowed; filled by the session. */
struct lookout {
	const struct options *opts;
	const struct source_ops *ops;
	struct source *source;
	struct gil_judge *gil; /* NULL: GILs are not looked for */
	struct loop_judge *loop; /* NULL: event loops are not looked for */
	/* An information record about process PID. */
	void (*tell)(void *ctx, enum report_severity severity, pid_t pid, const char *text);
	void *ctx;
	uint64_t refreshes; /* for --stats */
};

/* Looks for everything now, and says once what is there, or that there is nothing yet. */
void lookout__look(struct lookout *l, struct target *t);

/* A look some time later: soon at first (a program that starts), then every few seconds. */
void lookout__later(struct target *t);

/* The page at ADDR says that its facts have changed: they are read again, at once or soon. */
void lookout__changed(struct lookout *l, struct target *t, uint64_t addr);

/* When something is to be done for T, on CLOCK_MONOTONIC; 0 = nothing is. */
uint64_t lookout__due(const struct target *t);

/* Does what is due by NOW_NS. The caller has made sure that T still runs the program that was
 * opened. */
void lookout__run(struct lookout *l, struct target *t, uint64_t now_ns);

/* 0 if T runs Python (a known one or not), waiting a little for one that starts. -ENOENT with ERR
 * if not. */
int lookout__check_python(struct target *t, struct err *err);

#endif
