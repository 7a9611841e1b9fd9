/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The chain of frames before 3.11: objects in the heap, linked by f_back. Each code object keeps
 * its last frame for the next call, so frames of a running thread come back at the same addresses
 * all the time, and equal addresses prove nothing. So when the chain is known, all its frames are
 * read twice in one call: only if both copies agree and link up is it one that may have been. The
 * chain of the last walk is tried first: of a thread that is stuck it still is the chain.
 */
#ifndef PERPETUO_PY_HEAP_H
#define PERPETUO_PY_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "py/stack.h"
#include "py/target.h"

struct heap_reader; /* opaque: buffers, and the chains of the last walk */

struct heap_reader *heap_reader__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void heap_reader__free(struct heap_reader *r); /* NULL is fine */

/* As stack__read(). */
int heap__read(struct heap_reader *r, uint64_t tstate, bool at_rest, struct stack *out);

/* The next look is for the chain S first. Without memory nothing is remembered. */
void heap__expect(struct heap_reader *r, uint64_t tstate, const struct stack *s);

#endif
