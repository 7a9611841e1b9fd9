/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What sets, lists and sys.modules of the target hold, as addresses. Bounded; -E2BIG: too many. */
#ifndef PERPETUO_PY_COLLECTION_H
#define PERPETUO_PY_COLLECTION_H

#include <stddef.h>
#include <stdint.h>

#include "py/target.h"

#define COLLECTION_MAX (1u << 20) /* entries of a hash table, items of a list */

/*
 * The members of the set at ADDR, in no order; the mark of an entry that was taken out (an object
 * of no class that matters) may be among them. *MEMBER is the caller's (free()), NULL when there
 * are none. 0 or negative errno.
 */
int set__members(const struct py_target *t, uint64_t addr, uint64_t **member, size_t *cnt);

/* The items of the list at ADDR, likewise. */
int list__items(const struct py_target *t, uint64_t addr, uint64_t **item, size_t *cnt);

/* The dict of the module NAME of the interpreter at INTERP. -ENOENT: it is not imported. */
int module__dict(const struct py_target *t, uint64_t interp, const char *name, uint64_t *dict);

#endif
