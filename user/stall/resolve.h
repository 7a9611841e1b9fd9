/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From what the reader saw to what is told: threads as strings, the responsible ones first. */
#ifndef PERPETUO_STALL_RESOLVE_H
#define PERPETUO_STALL_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/wait.h"
#include "stall/report.h"

struct py_snapshot;

/* Who is responsible: the slot says it in one of these ways. */
struct culprit {
	bool gil_holder; /* whoever holds the GIL */
	uint64_t tstate; /* else the thread state, 0 = unknown */
	uint64_t ident; /* else threading.get_ident() of the thread, 0 = unknown */
	pid_t ns_tid; /* else its native id in the target's pid namespace, 0 = unknown */
};

#define RESOLVED_WORDS_MAX 384

/* What a thread does, and in words. */
struct resolved_wait {
	size_t thread; /* its index in the snapshot */
	struct wait wait;
	char words[RESOLVED_WORDS_MAX];
};

/* Threads ready for a report. Strings are borrowed from the snapshot, which must outlive it. */
struct resolved {
	struct report_thread *thread;
	struct resolved_wait *wait; /* of each thread */
	struct report_frame *frame; /* of all of them, one allocation */
	struct report_local *local; /* of all frames, likewise */
	size_t nthreads;
	struct report_task *task;
	struct report_tasks tasks; /* the same, as a report has them */
	struct report_greenlet *greenlet;
	size_t ngreenlets;
	size_t nresponsible; /* they come first */
	bool exact; /* there is a responsible thread, and all their stacks are exact */
};

/* 0 or -ENOMEM. SNAP NULL gives none. WHO NULL: nobody is responsible (a dump). */
int resolved__init(struct resolved *r, const struct py_snapshot *snap, const struct culprit *who);
/*
 * Looks what the files and children are that threads wait for: of all threads, or of the
 * responsible ones (ALL false). SNAP is the one of which R was made.
 */
void resolved__look(struct resolved *r, const struct py_snapshot *snap, const struct waits *w,
		    bool all);

void resolved__free(struct resolved *r);

#endif
