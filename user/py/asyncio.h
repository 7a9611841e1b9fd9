/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tasks of asyncio, of any loop that uses its Task (uvloop does). Tasks written in C are in
 * lists of their threads from 3.14 on, in sets of the module asyncio.tasks before; all others
 * always are in these sets. The struct of a Task is private to its extension module and has changed
 * in patch releases: up to 3.13 its fields are found by what they point to, a coroutine, then its
 * name.
 */
#ifndef PERPETUO_PY_ASYNCIO_H
#define PERPETUO_PY_ASYNCIO_H

#include <stdbool.h>
#include <stdint.h>

#include "py/interp.h"
#include "py/kind.h"
#include "py/target.h"
#include "py/taskset.h"

struct asyncio; /* opaque: what is remembered between walks */

struct asyncio *asyncio__new(const struct py_target *t, struct kinds *kinds); /* both borrowed */
void asyncio__free(struct asyncio *aio); /* NULL is fine */

/* Adds the tasks of all interpreters of REFS. 0 (SET->note says what is missing), -ENOMEM, -ESRCH,
 * -EPERM. */
int asyncio__list(struct asyncio *aio, const struct thread_refs *refs, struct taskset *set);

/* An interpreter has imported it, as far as was seen by the last look. */
bool asyncio__is_imported(const struct asyncio *aio);

/* Adds only those that run: few reads, however many there are. Errors likewise. */
int asyncio__list_running(struct asyncio *aio, const struct thread_refs *refs, struct taskset *set);

/*
 * The event loop that each thread of REFS runs: its address in LOOP (as many as there are threads),
 * 0 = none, or it cannot be told. Errors likewise.
 */
int asyncio__running_loops(struct asyncio *aio, const struct thread_refs *refs, uint64_t *loop);

#endif
