/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A coroutine (or generator), out of the bytes in which its frame lies: what it does, where it is,
 * and where what it awaits can be found. Its frame is part of it from 3.11 on, before that it is an
 * object of its own.
 */
#ifndef PERPETUO_PY_COROUTINE_H
#define PERPETUO_PY_COROUTINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "py/layout.h"

enum coroutine_state {
	CORO_UNKNOWN, /* no coroutine of CPython's, or not readable */
	CORO_CREATED, /* has not begun */
	CORO_SUSPENDED,
	CORO_RUNNING, /* its frame is on the stack of a thread */
	CORO_DONE,
};

enum coroutine_wait {
	CORO_AWAITS_NOTHING, /* a plain yield */
	CORO_AWAITS,
	CORO_ASK_CODE, /* the instruction that follows tells whether it awaits or yields */
};

struct coroutine {
	enum coroutine_state state;
	enum coroutine_wait wait; /* of a suspended one */
	uint64_t frame, code, instr;
	uint64_t slot; /* of a suspended one: where the pointer to what it awaits lies; 0 = nowhere
			*/
};

/* Bytes from the start of the object, or from the frame where that is one of its own, that tell all
 * of this. */
size_t coroutine__span(const struct py_layout *layout);

/* B: so many bytes at ADDR. */
void coroutine__parse(const struct py_layout *layout, const struct bytes *b, uint64_t addr,
		      struct coroutine *out);

#endif
