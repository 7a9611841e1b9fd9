/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The locks that threads of a snapshot wait for, and who holds them.
 *
 * A thread that sleeps in a futex has the lock on the value stack of its innermost frame, as the
 * object itself or as `self` of a bound method. The lock is the one whose semaphore is the futex
 * (up to 3.13), or that is locked and has a waiter parked (3.14). An RLock tells its owner. A Lock
 * tells none: its holder is a thread that has the `__exit__` of the lock on the stack of a frame,
 * that is, who is in a `with` block of it. glibc's mutexes have the tid of their owner.
 */
#ifndef PERPETUO_PY_LOCK_H
#define PERPETUO_PY_LOCK_H

#include "py/kind.h"
#include "py/python.h"
#include "py/target.h"

#define LOCK_MAX_WAITERS 64 /* that are looked at */
#define LOCK_MAX_FRAMES 256 /* in which holders are looked for, of all threads */

/* OUT: one for each thread of SNAP. 0, or -ESRCH, -EPERM. */
int locks__find(const struct py_target *t, struct kinds *kinds, const struct py_snapshot *snap,
		struct py_lock *out);

#endif
