/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a lookup read. A lookup is a function of the bytes that it reads: as long as the same bytes
 * stand at the same addresses, it finds the same. So instead of doing it again (a hundred reads
 * that depend on each other) its bytes are compared, in one call.
 *
 *	if (!memo__holds(memo, mem)) {
 *		memo__begin(memo, mem);
 *		... look up, keep the result ...
 *		memo__end(memo, mem);
 *	}
 */
#ifndef PERPETUO_PROC_MEMO_H
#define PERPETUO_PROC_MEMO_H

#include <stdbool.h>

struct mem;
struct mem_range;
struct memo; /* opaque */

struct memo *memo__new(void); /* NULL: no memory */
void memo__free(struct memo *memo); /* NULL is fine; not between begin and end */

/* Forgets what it had; from here on every read of M is kept, until memo__end(). */
void memo__begin(struct memo *memo, struct mem *m);
void memo__end(struct memo *memo, struct mem *m);

/* A range that was read, well or not. Called by mem.c. */
void memo__note(struct memo *memo, const struct mem_range *range);

/* Forgets what it has: the lookup did not come to its end. */
void memo__drop(struct memo *memo);

/*
 * Does M still hold the bytes that were read? False also where a read failed then (it may succeed
 * now), where there were too many, and before the first memo__end().
 */
bool memo__holds(struct memo *memo, struct mem *m);

#endif
