/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Why a stall lasts: gathers what stall/cause.h judges. The backend tells where the time of the
 * responsible thread went, /proc and the stacks what it does.
 */
#ifndef PERPETUO_WHY_H
#define PERPETUO_WHY_H

#include <stdint.h>

#include "stall/cause.h"
#include "stall/report.h"

struct bench;
struct looks;
struct stall;
struct target;

struct why {
	struct report_why report; /* points into the rest, and into the stall */
	char verdict[CAUSE_VERDICT_MAX];
};

/*
 * Why S lasts up to UNTIL_NS. L: the looks that were just taken; NULL: none, what was seen before
 * holds. What is seen is kept with S. Returns &OUT->report, or NULL without memory.
 */
const struct report_why *why__tell(const struct bench *b, const struct target *t, struct stall *s,
				   const struct looks *l, uint64_t until_ns, struct why *out);

#endif
