/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The names that Python gives its threads: sys.modules['threading']._active[ident]._name. */
#ifndef PERPETUO_PY_NAMES_H
#define PERPETUO_PY_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "py/interp.h"
#include "py/target.h"

struct thread_names; /* opaque */

struct thread_names *thread_names__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void thread_names__free(struct thread_names *names); /* NULL is fine */

/* Reads the names of all threads now. What cannot be read has no name. 0 or -ENOMEM. */
int thread_names__load(struct thread_names *names, const struct thread_refs *refs);

/* The name (sanitised; good until the next load), or NULL. */
const char *thread_names__get(const struct thread_names *names, const struct thread_ref *ref);

#endif
