/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Between what a backend tells and what is reported: looks at the slot again, walks the stacks,
 * opens and closes the stall, writes its records.
 */
#ifndef PERPETUO_JUDGE_H
#define PERPETUO_JUDGE_H

#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "source/source.h"

struct bench;
struct judge;
struct target;

/* BENCH is borrowed. NULL on lack of memory. */
struct judge *judge__new(const struct bench *bench);
void judge__free(struct judge *j); /* NULL is fine */

/* SOURCE_STALL, SOURCE_END, SOURCE_OVER of target T. 0, or what sink__stall said. */
int judge__event(struct judge *j, struct target *t, const struct source_event *ev, struct err *err);

/* T has exited or executes another program (WHY): its open stalls end now. 0, or what sink__stall
 * said. */
int judge__target_gone(struct judge *j, struct target *t, const char *why, struct err *err);

/* "name value" lines for --stats. */
void judge__stats(const struct judge *j, struct strbuf *out);

#endif
