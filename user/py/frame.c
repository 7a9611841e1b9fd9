// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/frame.h"

#include <string.h>

#include "base/bytes.h"

/* The places behind it are used again and again once all are taken. */
#define RING (PY_MAX_FRAMES - STACK_OUTER)

void frame__parse(const struct py_layout *l, const void *data, struct frame *f)
{
	struct bytes b = { data, l->frame.span };

	*f = (struct frame){ 0 };
	bytes_u64(&b, l->frame.previous, &f->previous);
	bytes_u64(&b, l->frame.code, &f->code);
	bytes_u64(&b, l->frame.instr, &f->instr);
	if (l->frame.owner != PY_NONE)
		bytes_u8(&b, l->frame.owner, &f->owner);
	if (l->frame.mark != PY_NONE)
		bytes_u8(&b, l->frame.mark, &f->mark);
}

void stack__clear(struct stack *s)
{
	s->cnt = s->cut = 0;
	s->bottom = s->base = 0;
	s->bottom_in_heap = false;
	s->note = "";
}

void stack__add(const struct py_layout *l, struct stack *s, uint64_t addr, const struct frame *f)
{
	uint64_t code = f->code & ~(uint64_t)l->frame.code_tag, instr = f->instr;

	/* a number of instructions: -1 before the first */
	if (l->frame.step)
		instr = code + (uint64_t)((int64_t)(int32_t)instr * l->frame.step);
	if (l->frame.shim_owner != PY_NONE && f->owner >= l->frame.shim_owner)
		return;
	if (s->cnt < PY_MAX_FRAMES)
		s->frame[s->cnt++] = (struct stack_frame){ addr, code, instr };
	else
		s->frame[RING + s->cut++ % STACK_OUTER] = (struct stack_frame){ addr, code, instr };
	s->bottom = addr;
	s->bottom_in_heap =
		l->frame.gen_owner != PY_NONE ? f->owner == l->frame.gen_owner : f->owner == 1;
}

void stack__settle(struct stack *s)
{
	struct stack_frame old[STACK_OUTER];
	size_t first = s->cut % STACK_OUTER;

	if (!first)
		return;
	memcpy(old, s->frame + RING, sizeof(old));
	for (size_t i = 0; i < STACK_OUTER; i++)
		s->frame[RING + i] = old[(first + i) % STACK_OUTER];
}
