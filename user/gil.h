/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Waits for the GIL: where the GILs of targets are, and from what a backend tells of their waiters
 * to stalls and records.
 *
 * Threads that wait for one GIL at the same time are one stall. Its start, its end and its total
 * are those of the thread that has waited longest; the others are counted. Responsible is who holds
 * the GIL; if another stall of that thread is told already, this is part of it.
 */
#ifndef PERPETUO_GIL_H
#define PERPETUO_GIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "source/source.h"

struct bench;
struct gil_judge;
struct target;

/* BENCH is borrowed. NULL on lack of memory. */
struct gil_judge *gil_judge__new(const struct bench *bench);
void gil_judge__free(struct gil_judge *j); /* NULL is fine */

/*
 * Finds the GILs of T and has them watched. 0, or 1 the first time; -ENOENT if it has none (yet:
 * look again later); -EOPNOTSUPP with ERR if its waits cannot be seen, now or ever.
 */
int gil_judge__look(struct gil_judge *j, struct target *t, struct err *err);

/* SOURCE_GIL_WAIT, SOURCE_GIL_END of T. 0, or what sink__stall said. */
int gil_judge__event(struct gil_judge *j, struct target *t, const struct source_event *ev,
		     struct err *err);

/* Target PROC is gone, or what is known of it void: its stalls have been ended by judge.h. */
void gil_judge__forget(struct gil_judge *j, uint32_t proc);

/* "name value" lines for --stats. */
void gil_judge__stats(const struct gil_judge *j, struct strbuf *out);

#endif
