// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/coroutine.h"

#define MAX_STACK 65536 /* words of a frame */
#define HEAD 120 /* bytes of a frame object before 3.11 that hold all used fields */

/* Where its frame begins in the bytes that are read. */
static uint32_t frame_at(const struct py_layout *l)
{
	return l->gen.frame_is_pointer ? 0 : l->gen.frame;
}

size_t coroutine__span(const struct py_layout *l)
{
	return l->gen.frame_is_pointer ? HEAD : l->gen.frame + l->locals.first;
}

static enum coroutine_state state_of(const struct py_layout *l, int8_t state)
{
	if (state == l->gen.created)
		return CORO_CREATED;
	if (state == l->gen.running)
		return CORO_RUNNING;
	if (state == l->gen.suspended || state == l->gen.awaiting || state == l->gen.locked)
		return CORO_SUSPENDED;
	return CORO_DONE;
}

/* The top of its value stack but BELOW words. */
static uint64_t slot_of(const struct py_layout *l, const struct bytes *b, uint64_t frame)
{
	uint32_t at = frame_at(l), words;
	uint64_t base = frame + l->locals.first;

	if (l->gen.top_is_pointer) {
		bytes_u64(b, at + l->gen.top, &base);
		return base ? base - 8ull * l->gen.below : 0;
	}
	bytes_u32(b, at + l->gen.top, &words);
	if (words < l->gen.below || words > MAX_STACK)
		return 0;
	if (l->gen.base)
		bytes_u64(b, at + l->gen.base, &base);
	return base ? base + 8ull * (words - l->gen.below) : 0;
}

void coroutine__parse(const struct py_layout *l, const struct bytes *b, uint64_t addr,
		      struct coroutine *out)
{
	uint32_t at = frame_at(l);
	uint8_t state;

	*out = (struct coroutine){ .frame = addr + at };
	bytes_u8(b, l->gen.state, &state);
	bytes_u64(b, at + l->frame.code, &out->code);
	bytes_u64(b, at + l->frame.instr, &out->instr);
	out->code &= ~(uint64_t)l->locals.tag_mask;
	out->state = state_of(l, (int8_t)state);
	/* a number of instructions: -1 before the first */
	if (l->frame.step) {
		if ((int32_t)out->instr < 0 && out->state == CORO_SUSPENDED)
			out->state = CORO_CREATED;
		out->instr = out->code + (uint64_t)((int64_t)(int32_t)out->instr * l->frame.step);
	}
	if (out->state != CORO_SUSPENDED)
		return;
	out->slot = slot_of(l, b, out->frame);
	if (l->gen.awaiting == l->gen.suspended)
		out->wait = CORO_ASK_CODE;
	else
		out->wait = (int8_t)state == l->gen.suspended ? CORO_AWAITS_NOTHING : CORO_AWAITS;
}
