/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * --follow: the children of the processes that are watched, and theirs.
 *
 * The kernel tells of a child when it is forked or executes a program (bpf/family.bpf.c); the poll
 * backend has to look for it in /proc. Most children are over in a few milliseconds, so each waits
 * a moment before it is looked at: of a storm of forks only what is left costs more than a line.
 * One that turns out to run no Python is dropped without a word; should it execute one, the kernel
 * tells of it again. How many are taken up at a time is bounded, and how many are talked of.
 */
#ifndef PERPETUO_FAMILY_H
#define PERPETUO_FAMILY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "source/source.h"
#include "stall/report.h"

struct family;
struct target;

/* What the session does for it. */
struct family_house {
	struct target *(*find)(void *ctx, pid_t pid); /* NULL: not watched */
	/* 0, or as target__open; -ENOSPC: as many are watched as can be */
	int (*add)(void *ctx, pid_t pid, struct target **out, struct err *err);
	void (*drop)(void *ctx, struct target *t);
	void (*tell)(void *ctx, enum report_severity severity, pid_t pid, const char *text);
	void *ctx;
};

/* OPS and SOURCE are borrowed, HOUSE is copied. NULL on lack of memory. */
struct family *family__new(const struct source_ops *ops, struct source *source,
			   const struct family_house *house);
void family__free(struct family *f); /* NULL is fine */

/* T and all that it will fork are followed, and soon what it has forked already. 0, or negative
 * errno with ERR. */
int family__follow(struct family *f, const struct target *t, struct err *err);

/* T, which is watched, executes another program: it is followed all the same. As above. */
int family__executed(struct family *f, const struct target *t, struct err *err);

/* Are there children that were told and have not been looked at? */
bool family__waits(const struct family *f);

/* SOURCE_CHILD. May be called from a dispatch. */
void family__told(struct family *f, const struct source_event *ev);

/* When there is something to do, on CLOCK_MONOTONIC; 0 = never. */
uint64_t family__due(const struct family *f);

/* Does what is due by NOW_NS, for a few milliseconds: what is left is due still. */
void family__run(struct family *f, uint64_t now_ns);

/*
 * Is T worth the looks of the lookout? A child is when it is known to run Python, which is then
 * said. One that does not, now or soon, is dropped: T is gone when this is false.
 */
bool family__settle(struct family *f, struct target *t);

/* "name value" lines for --stats. */
void family__stats(const struct family *f, struct strbuf *out);

#endif
