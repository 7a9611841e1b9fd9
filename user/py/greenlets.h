/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Suspended greenlets (of greenlet 2 and 3, and so of gevent). Nothing keeps a list of them but the
 * garbage collector, so all its objects are looked through, if the module is imported at all. What
 * a greenlet is made of is private to the module: its frame, which it holds while it is suspended,
 * is found by its type, and the piece of C stack that stands before it tells the thread.
 */
#ifndef PERPETUO_PY_GREENLETS_H
#define PERPETUO_PY_GREENLETS_H

#include "py/arena.h"
#include "py/code.h"
#include "py/interp.h"
#include "py/python.h"
#include "py/target.h"

struct greenlets; /* opaque */

struct greenlets *greenlets__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void greenlets__free(struct greenlets *g); /* NULL is fine */

/*
 * Reads the suspended greenlets into SNAP, whose threads are those of REFS; all are marked as not
 * exact. CODES is in the walk that is under way. 0 (SNAP->greenlets_note says what is missing),
 * -ENOMEM, -ESRCH, -EPERM.
 */
int greenlets__load(struct greenlets *g, struct code_cache *codes, const struct thread_refs *refs,
		    struct arena *arena, struct py_snapshot *snap);

#endif
