/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What kind of object lies at an address: types of the target, read once in a walk. They are told
 * by name (asyncio's are private); for what a name alone could feign, a class that Python code made
 * does not count.
 */
#ifndef PERPETUO_PY_KIND_H
#define PERPETUO_PY_KIND_H

#include <stdint.h>

#include "py/target.h"

#define KIND_NAME 64 /* bytes of a type's name that are kept, with the NUL */

enum kind_class {
	KIND_OTHER,
	KIND_COROUTINE, /* coroutine, generator, async generator: has a frame */
	KIND_AWAITABLE, /* stands for the object that its first field points to */
	KIND_STR,
	KIND_INT,
	KIND_NONE,
	KIND_METHOD, /* fields: function, self */
	KIND_CELL, /* first field: what is in it */
	KIND_MEMBER, /* a slot of a class */
	KIND_WEAKREF,
	KIND_FRAME, /* what Python code sees of a frame */
	KIND_TYPE,
};

struct kind {
	uint64_t type; /* address */
	enum kind_class class;
	uint64_t size; /* tp_basicsize */
	char name[KIND_NAME]; /* tp_name, as it is there: for comparing, not for showing */
};

struct kinds; /* opaque */

struct kinds *kinds__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void kinds__free(struct kinds *kinds); /* NULL is fine */
void kinds__begin(struct kinds *kinds); /* a new walk: types may have come and gone */

/* The type at TYPE; NULL: it cannot be read, or there are too many. Good until kinds__begin(). */
const struct kind *kinds__get(struct kinds *kinds, uint64_t type);

/* The type of the object at ADDR, likewise. */
const struct kind *kinds__of(struct kinds *kinds, uint64_t addr);

/* Where instances of TYPE have the slot NAME (a literal); 0: they have no such slot. */
uint64_t kinds__slot(struct kinds *kinds, uint64_t type, const char *name);

/*
 * The attribute NAME (a literal) of the object at ADDR, in a slot of its class or in its dict: its
 * address in *OUT. -ENOENT, -EINVAL, -EFAULT, ...
 */
int kinds__attribute(struct kinds *kinds, uint64_t addr, const char *name, uint64_t *out);

#endif
