/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* For how long something makes no progress before it is a stall: by its source, or by its name. */
#ifndef PERPETUO_STALL_THRESHOLD_H
#define PERPETUO_STALL_THRESHOLD_H

#include <stddef.h>
#include <stdint.h>

#define THRESHOLD_MAX_RULES 31

struct threshold_rule {
	char name[64]; /* glob */
	uint64_t ns;
};

struct thresholds {
	uint64_t alert_ns; /* where nothing else is said */
	uint64_t gil_ns, loop_ns; /* of these sources, 0 = alert_ns */
	struct threshold_rule rule[THRESHOLD_MAX_RULES];
	size_t nrules;
};

/* For stalls of SOURCE ("slot", "gil", "loop", ...) in a tracker called NAME. */
uint64_t thresholds__of(const struct thresholds *t, const char *source, const char *name);

/* The least that a stall of SOURCE can have, whatever the name. */
uint64_t thresholds__floor(const struct thresholds *t, const char *source);

/* The least of all. */
uint64_t thresholds__least(const struct thresholds *t);

#endif
