/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which processes hold an end of a pipe or FIFO. */
#ifndef PERPETUO_PROC_HOLDER_H
#define PERPETUO_PROC_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/task.h"

struct holders {
	pid_t pid; /* one of them, other than the process itself if there is such a one; 0 = none */
	char comm[TASK_COMM_MAX]; /* its command, not sanitised */
	size_t cnt; /* how many processes were found */
	bool self; /* the process itself is one */
	bool cut; /* not all processes and files could be looked at: not allowed, or no time left */
};

/*
 * Looks for files that are what LINK says ("pipe:[1234]", or the path of a FIFO) and are open for
 * writing (WRITER) or reading, in PID and then in all other processes.
 */
void holders__find(pid_t pid, const char *link, bool writer, uint64_t deadline_ns,
		   struct holders *out);

#endif
