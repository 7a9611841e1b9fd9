/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the frames of threads lie that were not there in the last walk, and which code objects they
 * run: looked up for many threads side by side, so that the walk, which reads them one by one and
 * checks that they stand still, finds all that can be known before. Nothing of it is believed.
 */
#ifndef PERPETUO_PY_SCOUT_H
#define PERPETUO_PY_SCOUT_H

#include "py/code.h"
#include "py/interp.h"
#include "py/stack.h"

struct scout; /* opaque: buffers */

struct scout *scout__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void scout__free(struct scout *s); /* NULL is fine */

/* Tells READER of the stacks of the fresh threads of REFS. */
void scout__run(struct scout *s, const struct thread_refs *refs, struct stack_reader *reader);

/* CODES looks up all code objects of those stacks. 0, or -ENOMEM, -ESRCH, -EPERM. */
int scout__load_codes(struct scout *s, struct code_cache *codes);

#endif
