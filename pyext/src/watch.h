/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * watch.h - the native thread that follows the watcher process, one per process.
 *
 * perpetuo/_watcher.py starts the watcher; see there for the processes involved. The thread
 * passes on what the watcher says on its stderr, and learns its exit status. It is native, so that
 * a watcher's death is told even while the GIL is stuck.
 */
#ifndef PERPETUO_WATCH_H
#define PERPETUO_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* File descriptors and process group of a started watcher. */
struct watch_handles {
	int status_fd; /* says the exit status in decimal, then ends; ours */
	int err_fd; /* the watcher's stderr; ours */
	int out_fd; /* where that and our own line go; ours */
	pid_t group;
};

#define WATCH_TEXT_CAP 256

/* How a watcher ended. */
struct watch_end {
	int status; /* as a shell has it: 128 + signal; -1 unknown */
	char last_line[WATCH_TEXT_CAP]; /* of its stderr, NUL-terminated */
};

/*
 * Takes ownership of the descriptors, also on failure. 0, -EALREADY when a watcher runs, or what
 * pthread_create() said, negative.
 */
int watch__begin(const struct watch_handles *h);

bool watch__is_running(void);

/*
 * Waits up to @timeout_ms for the watcher's end. True with *end filled if it has ended; if not, its
 * end will be told on out_fd from now on.
 */
bool watch__wait_early_end(int timeout_ms, struct watch_end *end);

/* SIGTERM, after a while SIGKILL; waits for its end. False when none was running. */
bool watch__stop(void);

/* For pthread_atfork(): the child has no watcher. */
void watch__before_fork(void);
void watch__after_fork_parent(void);
void watch__after_fork_child(void);

#endif
