/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From a stall and its target to one record of a sink. */
#ifndef PERPETUO_RECORD_H
#define PERPETUO_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "stall/policy.h"
#include "stall/report.h"
#include "stall/resolve.h"

struct sink;
struct target;

/* What is told of one moment of a stall. */
struct record {
	enum report_event event;
	const struct target *target; /* cmdline; NULL: none */
	const struct stall *stall;
	uint64_t reported_ns;
	uint64_t duration_ns;
	bool end_exact;
	const char *note; /* "" or one sentence */
	const struct report_why *why; /* NULL: not known */
	const struct resolved *stacks; /* NULL: none */
	bool still; /* the section was still active after the stacks were taken */
	bool rate_limited;
	uint64_t suppressed;
	uint64_t untold;
};

/* What a sink takes; borrows from R. */
void record__report(const struct record *r, struct report_stall *out);

/* An information record. PID 0 = about no process. */
int record__info(struct sink *sink, enum report_severity severity, pid_t pid, const char *message,
		 struct err *err);

#endif
