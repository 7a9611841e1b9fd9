// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/moment.h"

#include <errno.h>

static enum py_thread_state state_of(char c)
{
	switch (c) {
	case 'R':
		return PY_RUNNING;
	case 'S':
	case 'D':
	case 'I':
		return PY_BLOCKED;
	case 'T':
	case 't':
		return PY_STOPPED;
	case 'Z':
	case 'X':
		return PY_GONE;
	default:
		return PY_UNKNOWN;
	}
}

void moment__look(pid_t pid, pid_t tid, struct moment *out)
{
	struct task_status status;
	int proof, err;

	*out = (struct moment){ .state = PY_UNKNOWN };
	if (!pid)
		*out = (struct moment){ .state = PY_BLOCKED, .off = true };
	if (!pid || tid <= 0)
		return;
	proof = task_syscall__load(pid, tid, &out->call);
	err = task_status__load(pid, tid, &status);
	if (proof == -ESRCH || err) {
		out->state = proof == -ESRCH || err == -ESRCH ? PY_GONE : PY_UNKNOWN;
		return;
	}
	out->state = state_of(status.state);
	out->switches = status.voluntary + status.involuntary;
	out->off = out->state == PY_BLOCKED || out->state == PY_STOPPED;
	/* a kernel without that file leaves the state alone as witness */
	if (!proof && !out->call.blocked)
		out->off = false;
	out->knows_call = !proof && out->off;
	out->uninterruptible = out->off && status.state == 'D';
	if (!out->off && out->state == PY_BLOCKED)
		out->state = PY_RUNNING;
}

bool moment__stood_still(const struct moment *before, const struct moment *after)
{
	return before->off && after->off && before->switches == after->switches;
}

bool moment__still_stands(pid_t pid, const struct py_thread *th)
{
	struct moment now;

	if (!th->exact || th->state == PY_RUNNING)
		return false;
	moment__look(pid, th->tid, &now);
	return now.off && now.switches == th->switches;
}
