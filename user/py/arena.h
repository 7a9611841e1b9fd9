/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that is given back all at once: a snapshot and its strings. */
#ifndef PERPETUO_PY_ARENA_H
#define PERPETUO_PY_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#define ARENA_MAX (64u << 20) /* bytes of one arena */

struct arena_block;

struct arena {
	struct arena_block *block; /* newest first */
	size_t total;
	bool failed; /* an allocation failed: sticks, what was given before stays good */
};

/* Zeroed, aligned for anything; NULL (and FAILED) when there is no memory or ARENA_MAX is reached.
 */
void *arena__alloc(struct arena *a, size_t size);
/* A copy; "" instead of NULL when it fails. */
const char *arena__str(struct arena *a, const char *s);
void arena__free(struct arena *a); /* and ready for use again; zeroed structs are fine */

#endif
