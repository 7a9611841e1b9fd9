/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which event loop a thread runs, told by its stack, and where that has none of Python's frames, by
 * the loop that asyncio says is running.
 */
#ifndef PERPETUO_PY_LOOP_H
#define PERPETUO_PY_LOOP_H

#include "py/python.h"
#include "py/target.h"

struct loops; /* opaque: what is remembered between looks */

struct loops *loops__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void loops__free(struct loops *loops); /* NULL is fine */

/* As python__loop. */
int loops__look(struct loops *loops, const struct py_thread *th, struct py_loop *out);

#endif
