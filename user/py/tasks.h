/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tasks of all event loops of the target: found (asyncio.h, trio.h), their await chains read
 * (chain.h), brought into a tree (tasktree.h), and told as strings.
 */
#ifndef PERPETUO_PY_TASKS_H
#define PERPETUO_PY_TASKS_H

#include "py/arena.h"
#include "py/code.h"
#include "py/interp.h"
#include "py/python.h"
#include "py/target.h"

struct tasks; /* opaque: what is remembered between walks */

struct tasks *tasks__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void tasks__free(struct tasks *tasks); /* NULL is fine */

/*
 * Reads the tasks into SNAP, whose threads are those of REFS and have been walked; all are marked
 * as not exact. CODES is in the walk that is under way. 0 (SNAP->tasks_note says what is missing),
 * -ENOMEM, -ESRCH, -EPERM.
 */
int tasks__load(struct tasks *tasks, enum py_tasks which, struct code_cache *codes,
		const struct thread_refs *refs, struct arena *arena, struct py_snapshot *snap);

/*
 * May there be tasks that do not run? By what tasks__load has learned of the running ones in SNAP,
 * without a read: a thread runs a loop, or asyncio is imported.
 */
bool tasks__may_wait(const struct tasks *tasks, const struct py_snapshot *snap);

/* A thread with such a frame runs an event loop. */
bool tasks__is_loop_frame(const struct py_frame *frame);

#endif
