/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of stalls: which are open, what their ids are, and which records carry stacks. Pure: no
 * I/O, no clock; the caller says what time it is.
 *
 *	detected -> continues at 2, 4, 8 ... times the threshold -> ended, one id all along
 *
 * A stall is a section of one slot (target, page, slot, word). It is detected once and ended once;
 * a backend that tells the same section twice is not believed the second time. What time its target
 * was stopped in is not counted: a stall that is told to continue did.
 */
#ifndef PERPETUO_STALL_POLICY_H
#define PERPETUO_STALL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stall/report.h"
#include "stall/trail.h"

#define POLICY_MAX_OPEN 4096 /* open stalls; more are counted, not told */
#define POLICY_MAX_TRACKERS 4096 /* trackers whose rate is remembered; the stalest is forgotten */

#define POLICY_MAX_PROCS 1024 /* likewise of processes */

/* Stalls told in a second, and at once before that counts. */
#define POLICY_TRACKER_PER_S 10
#define POLICY_TRACKER_BURST 100
#define POLICY_PROCESS_PER_S 50
#define POLICY_PROCESS_BURST 500

struct policy;

struct stall_key {
	uint32_t proc; /* handle of the target */
	uint32_t slot;
	uint64_t page;
	uint64_t word;
};

struct cause;
struct stall_ops;

/* One open stall. Owned by the policy, valid until policy__close or policy__free. */
struct stall {
	struct stall_key key;
	char id[32]; /* "PID-N" */
	char *name; /* of the tracker */
	const struct stall_ops *ops; /* the caller's: who knows more of it (life.h) */
	void *judge; /* likewise */
	uint64_t value; /* likewise: what stood in its slot when it was judged */
	struct report_gil gil; /* likewise; .kind NULL: it is about no GIL */
	pid_t pid;
	pid_t tid; /* responsible thread when it was detected, 0 = unknown */
	char *thread; /* its name, "" = unknown */
	uint64_t start_ns; /* CLOCK_MONOTONIC here */
	bool start_exact;
	uint64_t detected_ns;
	uint64_t threshold_ns; /* which it has crossed */
	uint64_t stopped_before_ns; /* the caller's: its target was stopped until it was detected */
	uint64_t stopped_ns; /* for so long its target has been stopped since */
	uint64_t next_ns; /* when it is to be told that it continues */
	bool told; /* it has had a record */
	bool limited; /* it had none at first because of the rate */
	bool allowed; /* the caller's: it had none at first since it is known */
	bool has_stacks; /* a record of it had stacks: so may the others */
	struct trail trail; /* of the stacks that were shown */
	struct cause *cause; /* malloc'd by who fills it (why.h), freed with the stall; NULL: none
			      */
};

struct policy_opts {
	uint64_t suppress_ns; /* --traceback-suppress: least time between two records with stacks of
				 one tracker */
};

/* NULL with errno on lack of memory. */
struct policy *policy__new(const struct policy_opts *opts);
void policy__free(struct policy *p); /* NULL is fine */

/*
 * Opens a stall of tracker NAME in process PID. NULL with errno: EEXIST if this section is open
 * already, ENOSPC if there are too many (counted), ENOMEM.
 */
struct stall *policy__open(struct policy *p, const struct stall_key *key, pid_t pid,
			   const char *name, uint64_t start_ns, uint64_t now_ns,
			   uint64_t threshold_ns);

/* Remembers who is responsible. 0 or -ENOMEM. */
int policy__set_thread(struct stall *s, pid_t tid, const char *thread);

/* The open stall of this very section, or NULL. */
struct stall *policy__find(struct policy *p, const struct stall_key *key);

/* Any open stall of PROC, or NULL: for ending all of a target that is gone. */
struct stall *policy__find_proc(struct policy *p, uint32_t proc);

/* When something is due, 0 = nothing is: no stall is open. */
uint64_t policy__next(const struct policy *p);

/* A stall that is due by NOW_NS, or NULL. It stays due until one of these was called. */
struct stall *policy__due(struct policy *p, uint64_t now_ns);

/* It goes on: due again when it has lasted for the next power of 2 of its threshold. */
void stall__advance(struct stall *s, uint64_t now_ns);

/*
 * Its target has been stopped for STOPPED_NS since the stall was detected: what is due becomes due
 * by so much later. True if that is news.
 */
bool stall__stopped(struct stall *s, uint64_t stopped_ns);

/* Nothing can be said of it now: due again at WHEN_NS, if not later. */
void stall__postpone(struct stall *s, uint64_t when_ns);

/* An open stall of PROC for which thread TID (not 0) is responsible and whose judge is not OPS',
 * or NULL: one cause is told once. */
struct stall *policy__find_thread(struct policy *p, uint32_t proc, pid_t tid,
				  const struct stall_ops *ops);

/* Forgets it: it has ended and that was told. */
void policy__close(struct policy *p, struct stall *s);

/*
 * May this record carry stacks? One budget per tracker (process and name). True spends it and
 * stores in *SUPPRESSED how many records of the tracker went without since; false counts one more.
 * A stall that had them once goes on having them: it has few records, and each shows what is new.
 */
bool policy__take_stacks(struct policy *p, struct stall *s, uint64_t now_ns, uint64_t *suppressed);

/*
 * May this stall, which had no record yet, have one? POLICY_TRACKER_PER_S of a tracker have in a
 * second, after a burst of POLICY_TRACKER_BURST; of all trackers of a process together likewise.
 * False makes it `limited`, and is counted once for each stall.
 */
bool policy__may_tell(struct policy *p, struct stall *s, uint64_t now_ns);

/* It has its first record: `told`. How many stalls of its tracker had none since the last one. */
uint64_t policy__tell(struct policy *p, struct stall *s, uint64_t now_ns);

/* The Ith open stall; I is less than policy__counts().open. */
const struct stall *policy__open_stall(const struct policy *p, size_t i);

struct policy_counts {
	uint64_t detected;
	uint64_t ended;
	uint64_t suppressed; /* records without stacks because of the rate */
	uint64_t limited; /* stalls that were not told at first because of the rate */
	uint64_t overflow; /* stalls not told: POLICY_MAX_OPEN */
	size_t open;
};
struct policy_counts policy__counts(const struct policy *p);

#endif
