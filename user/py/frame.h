/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One frame in memory, and how it is added to a stack: what all readers of stacks share. */
#ifndef PERPETUO_PY_FRAME_H
#define PERPETUO_PY_FRAME_H

#include <stdint.h>

#include "py/layout.h"
#include "py/stack.h"

struct frame {
	uint64_t previous, code, instr; /* as they lie in memory */
	uint8_t owner, mark; /* 0 where the layout has none */
};

/* DATA holds frame.span bytes; the layout was checked, so all of it lies within them. */
void frame__parse(const struct py_layout *l, const void *data, struct frame *out);

void stack__clear(struct stack *s);

/* Adds the frame at ADDR, if it is one of Python: entries from C are none. */
void stack__add(const struct py_layout *l, struct stack *s, uint64_t addr, const struct frame *f);

/* After the last one: puts those in order that took the places of others. */
void stack__settle(struct stack *s);

#endif
