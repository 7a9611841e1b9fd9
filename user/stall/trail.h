/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The trail of a stall: which stacks its records have shown. A later record does not show again
 * what did not move, it says so.
 */
#ifndef PERPETUO_STALL_TRAIL_H
#define PERPETUO_STALL_TRAIL_H

#include <stddef.h>
#include <stdint.h>

#define TRAIL_MAX_THREADS 128 /* of one stall; the others are shown each time */

struct report_thread;

struct trail_mark {
	uint64_t thread; /* its ident and id */
	uint64_t stack; /* of the names, files and lines of its frames */
};

/* Zeroed, it is empty. */
struct trail {
	struct trail_mark *mark;
	size_t cnt;
};

/*
 * Of each THREAD whose stack is as it was shown last, only the innermost frame is left, the others
 * are counted in `cut`, and `same` is set. What is shown now is remembered.
 */
void trail__follow(struct trail *t, struct report_thread *thread, size_t n);

/* Forgets all. */
void trail__clear(struct trail *t);

#endif
