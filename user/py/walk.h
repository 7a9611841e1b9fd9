/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One walk over all threads: which stack is shown, and whether it is exact. */
#ifndef PERPETUO_PY_WALK_H
#define PERPETUO_PY_WALK_H

#include <stdbool.h>

#include "py/arena.h"
#include "py/python.h"
#include "py/target.h"

struct walker; /* opaque: the caches that stay between walks */

struct walker *walker__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void walker__free(struct walker *w); /* NULL is fine */

/*
 * Walks all threads into OUT, with memory from ARENA. T's deadline is set. 0, or -ENOENT (no
 * interpreter any more), -EFAULT (nonsense in memory), -ESRCH, -EPERM, -ENOMEM.
 */
int walker__run(struct walker *w, const struct py_walk_opts *opts, struct arena *arena,
		struct py_snapshot *out);

/*
 * For PY_TASKS_BRIEF: puts all tasks into SNAP, which walker__run has just filled, in the place of
 * those that run. T's deadline is set anew. What cannot be read is said in SNAP->tasks_note, and
 * what SNAP has stays.
 */
void walker__add_tasks(struct walker *w, struct arena *arena, struct py_snapshot *snap);

struct walk_test {
	size_t threads; /* thread states that were looked at */
	size_t with_frames; /* of these: have Python frames */
	size_t wrong; /* of these: stood still, and the chain does not end at the bottom */
	/* In one chain, now or before, every code object was one, and it ended where its thread
	 * began: the layout is right. */
	bool proven;
};

/* Reads stacks until one proves the layout. Until then no walk calls one exact. Errors as above. */
int walker__test(struct walker *w, struct walk_test *out);

#endif
