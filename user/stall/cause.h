/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Why a stall lasted: from where the time of its responsible thread went, and what that thread did
 * when it was looked at, to a kind and one sentence. Pure: no I/O, no clock.
 */
#ifndef PERPETUO_STALL_CAUSE_H
#define PERPETUO_STALL_CAUSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/wait.h"
#include "stall/report.h"
#include "stall/usage.h"

#define CAUSE_NAME_MAX 128
#define CAUSE_PLACE_MAX 384
#define CAUSE_LOCK_MAX 384
#define CAUSE_VERDICT_MAX 1024

/* What was seen when the thread was looked at last. Strings are clean; "" = nothing or unknown. */
struct cause_seen {
	bool looked;
	bool running; /* on a CPU, or waiting for one */
	bool gc; /* its interpreter collects garbage, and the thread has the GIL */
	struct wait wait; /* the system call that it is blocked in */
	char place[CAUSE_PLACE_MAX]; /* its innermost Python frame: "spin (/srv/a.py:12)" */
	char library[CAUSE_NAME_MAX]; /* whose code it ran; "" = the interpreter's */
	bool waits_gil; /* blocked in that call, for the GIL */
	pid_t holder; /* of the GIL, another thread, 0 = nobody or not known */
	char holder_name[CAUSE_NAME_MAX];
	pid_t lock_holder; /* of the lock that it waits for, 0 = not known */
	char lock[CAUSE_LOCK_MAX]; /* "a threading.RLock that worker (tid 12) holds" */
	bool deadlock; /* LOCK tells of a cycle */
};

/* What is kept of a stall from one record to the next. Zeroed = nothing. */
struct cause {
	pid_t tid; /* whose time is told */
	bool has_base;
	struct usage base; /* its sums at the start of the stall */
	struct cause_seen seen;
};

/* What else is known when a record is made. */
struct cause_facts {
	uint64_t duration_ns;
	bool holds_gil; /* the stall is that others wait for the GIL, which the thread has */
	bool measured; /* what follows is known */
	uint64_t sum[ACCOUNT_SUMS]; /* ns of the duration, enum account_sum */
	uint32_t faults; /* major ones */
	uint64_t stopped_ns; /* of the duration, by the process's own account */
	double load; /* negative = not known */
	int cpus;
	char quota[CAUSE_NAME_MAX]; /* "20 % of a CPU in /sys/fs/cgroup/a" */
};

/* Strings of OUT are those of SEEN and VERDICT. */
void cause__judge(const struct cause_facts *f, const struct cause_seen *seen,
		  char verdict[CAUSE_VERDICT_MAX], struct report_why *out);

#endif
