/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The runners of Trio by GLOBAL_RUN_CONTEXT, which each thread has its own of (threading.local).
 * That also has those which are guests of another event loop: no stack has them while they wait.
 */
#ifndef PERPETUO_PY_TRIO_CONTEXT_H
#define PERPETUO_PY_TRIO_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "py/interp.h"
#include "py/kind.h"
#include "py/target.h"

struct trio_context {
	uint64_t runner;
	size_t thread; /* index in the thread_refs, PY_NO_INDEX: not known */
};

/* At most MAX of all interpreters. 0 and *CNT, -ENOMEM, -ESRCH, -EPERM. */
int trio_contexts__find(const struct py_target *t, struct kinds *kinds,
			const struct thread_refs *refs, struct trio_context *out, size_t max,
			size_t *cnt);

#endif
