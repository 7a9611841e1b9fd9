/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The local variables of a stack, as names and text. The caller proves that the thread stood still
 * from before the stack was read until after this (moment.h): then the frames, and what they hold,
 * are those of that moment.
 *
 * Bounded: LOCALS_MAX of a frame, the LOCALS_MAX_FRAMES innermost frames of a thread,
 * LOCALS_MAX_TEXT of a walk, and half of the time that the walk has.
 */
#ifndef PERPETUO_PY_LOCALS_H
#define PERPETUO_PY_LOCALS_H

#include "py/arena.h"
#include "py/python.h"
#include "py/redact.h"
#include "py/stack.h"
#include "py/target.h"

#define LOCALS_MAX 64 /* of one frame */
#define LOCALS_MAX_FRAMES 128 /* of one thread, innermost first */
#define LOCALS_MAX_TEXT (2u << 20) /* bytes of one walk */
#define LOCALS_MAX_NAME 256 /* characters of a name */

struct locals; /* opaque */

struct locals *locals__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void locals__free(struct locals *l); /* NULL is fine */

/* A new walk, with T's deadline. REDACT (borrowed until the next) says what is hidden. */
void locals__begin(struct locals *l, const struct redact *redact);

/* Reads the variables of the frames of S. 0 (also if some could not be read), or -ESRCH, -EPERM,
 * -ENOMEM. */
int locals__read(struct locals *l, const struct stack *s);

/* Those of frame I of the stack that was read last, into OUT->local, in ARENA. */
void locals__show(struct locals *l, size_t i, struct arena *arena, struct py_frame *out);

/* "" or what was left out in this walk. */
const char *locals__note(const struct locals *l);

#endif
