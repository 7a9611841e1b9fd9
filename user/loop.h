/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Event loops, such that nobody instrumented and such that the program has registered: which
 * threads of a target run one, and from what a backend tells of their steps to stalls and records.
 *
 * The tracker of a loop is named after the library and the thread: "asyncio loop (MainThread)", or
 * as its program says.
 * Responsible is that thread. A step that a tracker of the same thread marks is told by that
 * tracker alone, and one in which the thread keeps the GIL by those who wait for it if they came
 * first.
 */
#ifndef PERPETUO_LOOP_H
#define PERPETUO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "source/source.h"

struct bench;
struct loop_judge;
struct target;

/* BENCH is borrowed. NULL on lack of memory. */
struct loop_judge *loop_judge__new(const struct bench *bench);
void loop_judge__free(struct loop_judge *j); /* NULL is fine */

/*
 * Has the event loops of T watched, those that run now and those to come. 0, or 1 the first time;
 * -ENOENT if there is no Python (yet: look again later); -EOPNOTSUPP with ERR if its loops cannot
 * be seen, now or ever.
 */
int loop_judge__look(struct loop_judge *j, struct target *t, struct err *err);

/*
 * The pages of T are known, or have changed: the loops that it has registered there are watched
 * from now on, also by a backend that cannot find loops.
 */
void loop_judge__registered(struct loop_judge *j, struct target *t);

/* SOURCE_LOOP_ASK, SOURCE_LOOP_STALL, SOURCE_LOOP_END of T. 0, or what sink__stall said. */
int loop_judge__event(struct loop_judge *j, struct target *t, const struct source_event *ev,
		      struct err *err);

/* Is a stall open of the loop that the thread with thread state TSTATE of PROC runs? */
bool loop_judge__has_stalled(const struct loop_judge *j, uint32_t proc, uint64_t tstate);

/* Is a stall open that began at START_NS, or nearly so, of the loop that thread IDENT
 * (threading.get_ident()) of PROC runs? */
bool loop_judge__tells(const struct loop_judge *j, uint32_t proc, uint64_t ident,
		       uint64_t start_ns);

/* Target PROC is gone, or what is known of it void: its stalls have been ended by judge.h. */
void loop_judge__forget(struct loop_judge *j, uint32_t proc);

/* "name value" lines for --stats. */
void loop_judge__stats(const struct loop_judge *j, struct strbuf *out);

#endif
