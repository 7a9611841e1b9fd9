/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lines of the source files of a target. Which files, the target says, and what it says may be a
 * lie, or lie on a file server that is dead. So a child process reads them: inside the target's
 * root, with no more rights than the target's user has, for a time that is limited.
 */
#ifndef PERPETUO_LISTING_H
#define PERPETUO_LISTING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LISTING_MAX 128 /* lines that are read */

struct listing_line {
	const char *file; /* as the code object has it; borrowed */
	int line;
	char *text; /* without its indentation, sanitised; owned. NULL: could not be read */
};

/*
 * Reads up to LISTING_MAX lines for process PID, which PIDFD (borrowed) is; what cannot be read
 * within TIMEOUT_NS stays NULL. Files that have changed since the process started are left out:
 * what stands in them may not be what it runs.
 */
void listing__read(pid_t pid, int pidfd, struct listing_line *line, size_t cnt,
		   uint64_t timeout_ns);
void listing__free(struct listing_line *line, size_t cnt); /* the texts */

#endif
