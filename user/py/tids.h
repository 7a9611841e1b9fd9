/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Thread ids. Thread states hold those of the target's own pid namespace. What they hold is
 * believed if it is one of the process.
 */
#ifndef PERPETUO_PY_TIDS_H
#define PERPETUO_PY_TIDS_H

#include <stddef.h>
#include <sys/types.h>

#include "py/interp.h"
#include "py/target.h"

struct tid_pair {
	pid_t ns_tid, tid;
};

struct tids {
	struct tid_pair *pair; /* owned; NULL: they could not be listed */
	size_t cnt;
};

/* Those that there are now. *TIDS is zeroed, or of an earlier call. */
void tids__load(struct tids *tids, const struct py_target *t);
void tids__free(struct tids *tids); /* content only; zeroed structs are fine */

/* The thread of REF in our pid namespace, 0 = not known. Sets REF->stale_id. */
pid_t tids__of(const struct tids *tids, const struct py_target *t, struct thread_ref *ref);

#endif
