/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where threads are below their Python frames: in native code and in the kernel. Only of those that
 * matter, since each costs some 0.2 ms: files of the target are looked into.
 */
#ifndef PERPETUO_POSITION_H
#define PERPETUO_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mem;
struct position;
struct py_snapshot;
struct resolved;
struct source;
struct source_ops;

#define POSITIONS_MAX 64

struct positions {
	struct position *list; /* owned */
	size_t cnt;
};

/* How they are looked for; all borrowed. */
struct position_means {
	pid_t pid;
	struct mem *mem;
	const struct source_ops *ops; /* NULL: there is /proc only */
	struct source *source;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC: no thread is begun later */
	size_t most; /* threads, at most POSITIONS_MAX */
};

/*
 * Looks where threads of RESOLVED are, which was made of SNAP: all, or (ALL false) who is
 * responsible and who holds the GIL. What is found is P's, and RESOLVED points to it. Of a thread
 * that is on CPU it is what the tick has taken with its Python stack; one that is off CPU is shown
 * only if it stood still meanwhile.
 */
void positions__find(struct positions *p, const struct position_means *means,
		     const struct py_snapshot *snap, struct resolved *resolved, bool all);
void positions__free(struct positions *p); /* content only; zeroed structs are fine */

#endif
