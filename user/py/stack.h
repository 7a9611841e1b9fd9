/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The chain of frames of one thread, as addresses. From 3.11 frames lie in the chunks of the
 * thread's data stack, so a few reads fetch them all; frames of generators (heap) and entries from
 * C (C stack) lie outside and are read one by one.
 *
 * A thread that runs changes all this while it is read. So the thread state is read before and
 * after its newest chunk in one call, and once more at the end; if it moved, another try is made.
 * That makes wrong chains rare, not impossible: only the caller, who knows whether the thread was
 * off CPU all the time, can say that one is exact.
 */
#ifndef PERPETUO_PY_STACK_H
#define PERPETUO_PY_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/pywalk_abi.h"
#include "py/python.h"
#include "py/target.h"

#define STACK_MAX_HOPS 65536 /* frames that are followed; those over PY_MAX_FRAMES only counted */
#define STACK_OUTER 256 /* of more than PY_MAX_FRAMES so many outermost ones are kept */
#define STACK_MAX_CHUNK (256u << 10) /* bytes of one chunk that are copied */

struct stack_frame {
	uint64_t addr, code, instr;
};

struct stack {
	struct stack_frame frame[PY_MAX_FRAMES]; /* innermost first, Python frames only */
	size_t cnt;
	size_t cut; /* Python frames left out before the last STACK_OUTER of these */
	uint64_t bottom; /* address of the oldest Python frame; 0 = no Python frame at all */
	bool bottom_in_heap; /* it belongs to a generator */
	/* Where the first frame of the data stack lies; 0 = no data stack yet. Where frames lie in
	 * the heap: the bottom again, if the chain ends there. */
	uint64_t base;
	const char *note; /* "" = whole; else a literal that says what is wrong with it */
};

struct stack_reader; /* opaque: buffers, used again for each thread */
struct stack_reader *stack_reader__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void stack_reader__free(struct stack_reader *r); /* NULL is fine */

/*
 * Reads the stack of the thread state at TSTATE into *OUT. 0 (OUT->note says if it is not whole),
 * -EAGAIN (it moved at every try: there is nothing in *OUT), -EFAULT (no such thread state),
 * -ESRCH, -EPERM. AT_REST: the caller makes sure that the thread did not run meanwhile, so that
 * the last look, whether it has moved, is left out.
 */
int stack__read(struct stack_reader *r, uint64_t tstate, bool at_rest, struct stack *out);

/* What is known of where a stack lies: its thread state, and frames outside the newest chunk. */
#define STACK_OUTSIDE 4
struct stack_hint {
	uint64_t frame, chunk, top; /* py_layout.ts */
	uint64_t caller; /* cframe of the C eval loop that called the newest one; 0 = none */
	uint64_t outside[STACK_OUTSIDE];
	size_t noutside;
};

/* For the next stack__read of TSTATE: where to look first. SEEN: its frames. */
void stack_reader__expect(struct stack_reader *r, uint64_t tstate, const struct stack_hint *hint,
			  const struct stack *seen);

/* The same from a record of the tick. The bottom is checked against the chunks of TSTATE now. */
int stack__from_record(struct stack_reader *r, const struct pywalk_record *rec, struct stack *out);

/* The chain ends where the thread began: its oldest frame is the first of the data stack. */
bool stack__at_bottom(const struct stack *s);

#endif
