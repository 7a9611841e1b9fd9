/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Code objects of the target, kept from walk to walk. Their memory may be freed and used again for
 * another code object, even with the same addresses all through (a loop of exec()), so nothing is
 * believed because of its address: for each stack the file name, the name and the line table are
 * compared byte by byte with what was cached, in one call. Not for each walk: between two stacks,
 * or two attempts to read one, a thread may have gone on to other code in the same place.
 */
#ifndef PERPETUO_PY_CODE_H
#define PERPETUO_PY_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "py/linetable.h"
#include "py/stack.h"
#include "py/target.h"

struct code_cache; /* opaque */

struct code {
	const char *file, *name; /* sanitised UTF-8, owned by the cache until its next load */
	uint64_t addr;
};

struct code_cache *code_cache__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void code_cache__free(struct code_cache *cache); /* NULL is fine */

/*
 * The code objects of all frames of S: OUT[i] for frame i, NULL where there is none (a pointer that
 * is no code object, or text that cannot be read). 0, -ESRCH, -EPERM or -ENOMEM.
 */
int code_cache__load(struct code_cache *cache, const struct stack *s,
		     const struct code *out[PY_MAX_FRAMES]);

/* The line of the instruction at address INSTR; 0 = unknown, -ERANGE: INSTR is not in CODE. */
int code__line(const struct code_cache *cache, const struct code *code, uint64_t instr);

/* The same with columns, where the version has them. 0 and *OUT, or -ERANGE. */
int code__place(const struct code_cache *cache, const struct code *code, uint64_t instr,
		struct line_place *out);

#endif
