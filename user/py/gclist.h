/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All objects that the garbage collector of an interpreter knows: its generations are circles of
 * {next, previous} in front of the objects, and begin in the interpreter state. Where they begin is
 * not asked of a table: a pair of words is a list if both neighbours point back to it, and what
 * stands behind its first node is an object. Free-threaded builds have no such lists.
 */
#ifndef PERPETUO_PY_GCLIST_H
#define PERPETUO_PY_GCLIST_H

#include <stdint.h>

#include "py/kind.h"
#include "py/target.h"

#define GCLIST_MAX (8u << 20) /* objects that are looked at */

struct gclist; /* opaque: pages that were read */

struct gclist *gclist__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void gclist__free(struct gclist *gc); /* NULL is fine */

/* The object at ADDR is of class TYPE. Other than 0 ends it. */
typedef int (*gclist_visit_fn)(void *ctx, uint64_t addr, uint64_t type);

/*
 * Calls VISIT for each object of the interpreter at INTERP. 0 and *NOTE ("" or a literal: what is
 * missing), -ENOENT (there are no such lists), what VISIT returned, -ESRCH, -EPERM.
 */
int gclist__visit(struct gclist *gc, uint64_t interp, gclist_visit_fn visit, void *ctx,
		  const char **note);

#endif
