/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Did a thread stand still between two looks?
 *
 * A look first makes sure that the thread is off CPU (task.h: the kernel waits until it has been
 * switched out), then reads how often it has been switched out. If it is off CPU at both looks and
 * ran in between, it was switched out after the first look's proof and before the second's, so the
 * counts differ: wherever it ran around the first count, that is either counted in the second or
 * over before anything was read. Equal counts alone would also hold for a thread that ran all
 * along.
 */
#ifndef PERPETUO_PY_MOMENT_H
#define PERPETUO_PY_MOMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/task.h"
#include "py/python.h"

struct moment {
	enum py_thread_state state;
	bool off; /* it was off CPU, asleep or stopped */
	bool uninterruptible; /* asleep so that no signal reaches it */
	uint64_t switches;
	bool knows_call;
	struct task_syscall call; /* if it does: where it was off CPU */
};

/* Never fails: a thread that cannot be looked at is PY_GONE or PY_UNKNOWN, and not off. In a
 * recording (PID 0) all stand still. */
void moment__look(pid_t pid, pid_t tid, struct moment *out);

/* Nothing of the thread's memory that it alone writes changed between the two looks. */
bool moment__stood_still(const struct moment *before, const struct moment *after);

/* TH, whose stack was read, has not run since. */
bool moment__still_stands(pid_t pid, const struct py_thread *th);

#endif
