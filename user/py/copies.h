/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Free-threaded builds: each thread but the first may run a copy of its own of the bytecode of a
 * code object. The list of them grows by being replaced, so it is read anew for each stack.
 */
#ifndef PERPETUO_PY_COPIES_H
#define PERPETUO_PY_COPIES_H

#include <stddef.h>
#include <stdint.h>

#include "proc/mem.h"

struct copies {
	uint64_t at; /* where the list lies; 0 = there is none */
	uint64_t cnt, *addr; /* owned */
	uint64_t seen; /* the load that read them last: of the caller */
};

void copies__free(struct copies *c); /* content only; zeroed structs are fine */

/* How many bytes at C->at are worth another look together with other things; 0: none. */
size_t copies__len(const struct copies *c);

/* DATA is what copies__len() bytes there are now. -EAGAIN: it is a list of another length. */
int copies__again(struct copies *c, const uint8_t *data);

/*
 * Reads LIST[0..CNT), with room for as many ranges. What cannot be read is left out. 0, or -ENOMEM,
 * -ESRCH, -EPERM.
 */
int copies__load(struct mem *mem, struct copies **list, size_t cnt, struct mem_range *range);

#endif
