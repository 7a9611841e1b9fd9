/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tasks of asyncio, of any loop that uses its Task (uvloop does). Up to 3.13 they are in sets
 * of the module asyncio.tasks. The struct of a Task is private to its extension module and has
 * changed in patch releases, so its fields are found by what they point to: a coroutine, then its
 * name.
 */
#ifndef PERPETUO_PY_ASYNCIO_H
#define PERPETUO_PY_ASYNCIO_H

#include <stdint.h>

#include "py/kind.h"
#include "py/target.h"
#include "py/taskset.h"

struct asyncio; /* opaque: what is remembered between walks */

struct asyncio *asyncio__new(const struct py_target *t, struct kinds *kinds); /* both borrowed */
void asyncio__free(struct asyncio *aio); /* NULL is fine */

/* Adds the tasks of the interpreter at INTERP. 0 (SET->note says what is missing), -ENOMEM, -ESRCH,
 * -EPERM. */
int asyncio__list(struct asyncio *aio, uint64_t interp, struct taskset *set);

/* Who waits for whom (await, gather), who has started whom (TaskGroup). SET is indexed. Errors
 * likewise. */
int asyncio__relate(struct asyncio *aio, struct taskset *set);

/* threading.get_ident() of the thread that runs LOOP; 0: it does not run, or cannot be told. */
uint64_t asyncio__thread(struct asyncio *aio, uint64_t loop);

#endif
