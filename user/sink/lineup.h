/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The threads of a dump in the order in which a person wants to see them: who holds the GIL, who
 * runs, who cannot be woken, who waits for the GIL, then the others, those with nothing of the
 * program in their stacks last. Threads that stand in the same place become one, with the others
 * named.
 */
#ifndef PERPETUO_SINK_LINEUP_H
#define PERPETUO_SINK_LINEUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stall/report.h"

struct lineup_place {
	const struct report_thread *thread;
	unsigned int rank;
	uint64_t hash; /* of the stack, if it may stand for others; 0 = it may not */
	bool merged; /* another one stands for it */
};

/*
 * Fills PLACE (R->nthreads of them), in order. MERGE: threads in the same place become one; then
 * those that are merged stand behind the one that stands for them.
 */
void lineup__make(const struct report_dump *r, bool merge, struct lineup_place *place);

#endif
