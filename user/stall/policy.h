/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of stalls: which are open, what their ids are, and which records carry stacks. Pure: no
 * I/O, no clock; the caller says what time it is.
 *
 *	detected -> (continues) -> ended, one id all along
 *
 * A stall is a section of one slot (target, page, slot, word). It is detected once and ended once;
 * a backend that tells the same section twice is not believed the second time.
 */
#ifndef PERPETUO_STALL_POLICY_H
#define PERPETUO_STALL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define POLICY_MAX_OPEN 4096 /* open stalls; more are counted, not told */
#define POLICY_MAX_TRACKERS 4096 /* trackers whose rate is remembered; the stalest is forgotten */

struct policy;

struct stall_key {
	uint32_t proc; /* handle of the target */
	uint32_t slot;
	uint64_t page;
	uint64_t word;
};

/* One open stall. Owned by the policy, valid until policy__close or policy__free. */
struct stall {
	struct stall_key key;
	char id[32]; /* "PID-N" */
	char *name; /* of the tracker */
	const char *source; /* "slot" unless the caller says another; static */
	pid_t pid;
	pid_t tid; /* responsible thread when it was detected, 0 = unknown */
	char *thread; /* its name, "" = unknown */
	uint64_t start_ns; /* CLOCK_MONOTONIC here */
	bool start_exact;
	uint64_t detected_ns;
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
			   const char *name, uint64_t start_ns, uint64_t now_ns);

/* Remembers who is responsible. 0 or -ENOMEM. */
int policy__set_thread(struct stall *s, pid_t tid, const char *thread);

/* The open stall of this very section, or NULL. */
struct stall *policy__find(struct policy *p, const struct stall_key *key);

/* Any open stall of PROC, or NULL: for ending all of a target that is gone. */
struct stall *policy__find_proc(struct policy *p, uint32_t proc);

/* Forgets it: it has ended and that was told. */
void policy__close(struct policy *p, struct stall *s);

/*
 * May this record carry stacks? One budget per tracker (process and name). True spends it and
 * stores in *SUPPRESSED how many records of the tracker went without since; false counts one more.
 */
bool policy__take_stacks(struct policy *p, const struct stall *s, uint64_t now_ns,
			 uint64_t *suppressed);

struct policy_counts {
	uint64_t detected;
	uint64_t ended;
	uint64_t suppressed; /* records without stacks because of the rate */
	uint64_t overflow; /* stalls not told: POLICY_MAX_OPEN */
	size_t open;
};
struct policy_counts policy__counts(const struct policy *p);

#endif
