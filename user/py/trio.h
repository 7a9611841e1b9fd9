/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tasks of Trio. Its runner is a local variable of trio.run(), which is on the stack of the
 * thread, or that of a guest (trio_context.h); what it holds is in slots and attributes, found by
 * name.
 */
#ifndef PERPETUO_PY_TRIO_H
#define PERPETUO_PY_TRIO_H

#include "py/interp.h"
#include "py/kind.h"
#include "py/python.h"
#include "py/target.h"
#include "py/taskset.h"

/*
 * Adds the tasks of all runners of SNAP's threads, which are those of REFS. 0 (SET->note says what
 * is missing), -ENOMEM, -ESRCH, -EPERM.
 */
int trio__list(const struct py_target *t, struct kinds *kinds, const struct py_snapshot *snap,
	       const struct thread_refs *refs, struct taskset *set);

/* Adds only those whose runner takes a step: few reads, however many there are. Errors likewise. */
int trio__list_running(const struct py_target *t, struct kinds *kinds,
		       const struct py_snapshot *snap, struct taskset *set);

/* Who nurses whom. SET is indexed. Errors likewise. */
int trio__relate(const struct py_target *t, struct kinds *kinds, struct taskset *set);

#endif
