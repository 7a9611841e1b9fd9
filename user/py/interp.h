/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The interpreters of the target, their thread states, and who holds the GIL. */
#ifndef PERPETUO_PY_INTERP_H
#define PERPETUO_PY_INTERP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "py/python.h"
#include "py/target.h"

struct thread_ref {
	uint64_t tstate, interp, interp_id, ident;
	uint64_t gil; /* its words, as in py_gils; 0 = none */
	uint64_t frame, chunk, top; /* of its stack, as they were: py_layout.ts */
	pid_t ns_tid;
	bool holds_gil;
	bool stale_id; /* set by the walker: ns_tid is that of a thread of another process */
	bool collects; /* garbage, with the GIL */
	bool fresh; /* it was not in the list before */
};

struct thread_refs {
	struct thread_ref *ref; /* owned */
	size_t cnt, cap;
	const char *note; /* literal: "" or what is missing */
};

/*
 * Lists all thread states. *LIST is zeroed or the result of the call before, which spares reads.
 * 0 (also when something is missing: LIST->note), -ENOENT (no interpreter any more: ending),
 * -EFAULT (nonsense in memory), -ESRCH, -EPERM, -ENOMEM.
 */
int thread_refs__load(const struct py_target *t, struct thread_refs *list);

/* As python__gils, python__world. */
int interp__gils(const struct py_target *t, struct py_gils *out);
int interp__world(const struct py_target *t, uint64_t at, struct py_world *out);

/*
 * Is ADDR a futex on which a thread sleeps that wants the GIL with these words? Behind the words
 * lie cond and mutex, and those of a thread that let go of the GIL and wants it back.
 */
bool gil__is_futex(uint64_t words, uint64_t addr);

void thread_refs__free(struct thread_refs *list); /* content only; zeroed structs are fine */

#endif
