/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A chain of frames that belongs to no thread now, as it is shown. */
#ifndef PERPETUO_PY_FRAMES_H
#define PERPETUO_PY_FRAMES_H

#include "py/arena.h"
#include "py/code.h"
#include "py/python.h"
#include "py/stack.h"

/*
 * Names and lines of the frames of S into *OUT (of the arena; NULL where it is full). CODE: room
 * for the code objects. NOTE is set where one has none. 0, -ESRCH, -EPERM, -ENOMEM.
 */
int frames__show(struct code_cache *codes, const struct stack *s,
		 const struct code *code[PY_MAX_FRAMES], struct arena *arena, struct py_frame **out,
		 const char **note);

#endif
