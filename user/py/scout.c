// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/scout.h"

#include <errno.h>
#include <stdlib.h>

#include "py/frame.h"

#define AT_ONCE 16 /* threads: the pages that they need have room */
#define MAX_ROUNDS 12 /* of reading what the last one missed */

struct scout {
	const struct py_target *target;
	struct stack stack; /* of one thread */
	struct stack_hint hint; /* likewise */
	struct stack all; /* frames of all, for their code alone */
	const struct code *code[PY_MAX_FRAMES];
};

struct scout *scout__new(const struct py_target *t)
{
	struct scout *s = calloc(1, sizeof(*s));

	if (s)
		s->target = t;
	return s;
}

void scout__free(struct scout *s)
{
	free(s);
}

static void note_outside(struct stack_hint *h, uint64_t frame)
{
	bool inside = frame >= h->chunk && frame < h->top;

	if (!inside && h->noutside < STACK_OUTSIDE)
		h->outside[h->noutside++] = frame;
}

/* -EAGAIN: it goes on in a page that is not there yet. Other errors: no further than this. */
static int follow(struct scout *s, const struct thread_ref *ref)
{
	const struct py_layout *l = &s->target->layout;
	uint8_t data[PYWALK_FRAME_BYTES];
	uint64_t frame = ref->frame;
	struct frame f;
	int err = 0;

	stack__clear(&s->stack);
	s->hint = (struct stack_hint){ .frame = frame, .chunk = ref->chunk, .top = ref->top };
	if (l->cframe.frame != PY_NONE && frame)
		err = mem__read_u64(s->target->mem, frame + l->cframe.previous, &s->hint.caller)
			      ?: mem__read_u64(s->target->mem, frame + l->cframe.frame, &frame);
	for (size_t hop = 0; !err && frame && hop < PY_MAX_FRAMES; hop++) {
		err = mem__read(s->target->mem, frame, data, l->frame.span);
		if (err)
			break;
		frame__parse(l, data, &f);
		stack__add(l, &s->stack, frame, &f);
		note_outside(&s->hint, frame);
		frame = f.previous;
	}
	return err;
}

/* What was followed of one thread, to that of the others. What does not fit is looked up later. */
static void keep_codes(struct scout *s)
{
	for (size_t i = 0; i < s->stack.cnt && s->all.cnt < PY_MAX_FRAMES; i++)
		s->all.frame[s->all.cnt++] = s->stack.frame[i];
}

/* Those that are fresh of CNT threads at REF: all as far as they go, then what they miss. */
static void look(struct scout *s, const struct thread_ref *ref, size_t cnt,
		 struct stack_reader *reader)
{
	struct mem *mem = s->target->mem;

	mem__use_pages(mem, true);
	mem__defer(mem, true);
	for (int round = 0; round < MAX_ROUNDS && (!round || mem__catch_up(mem)); round++)
		for (size_t i = 0; i < cnt; i++)
			if (ref[i].fresh)
				follow(s, &ref[i]);
	for (size_t i = 0; i < cnt; i++) {
		if (!ref[i].fresh || follow(s, &ref[i]))
			continue;
		stack_reader__expect(reader, ref[i].tstate, &s->hint, &s->stack);
		keep_codes(s);
	}
	mem__use_pages(mem, false);
}

void scout__run(struct scout *s, const struct thread_refs *refs, struct stack_reader *reader)
{
	size_t first = 0, n;

	while (first < refs->cnt && !refs->ref[first].fresh)
		first++;
	for (; first < refs->cnt && !py_target__late(s->target); first += n) {
		n = refs->cnt - first < AT_ONCE ? refs->cnt - first : AT_ONCE;
		look(s, refs->ref + first, n, reader);
	}
}

int scout__load_codes(struct scout *s, struct code_cache *codes)
{
	int err = s->all.cnt ? code_cache__load(codes, &s->all, s->code) : 0;

	stack__clear(&s->all);
	return err == -EFAULT ? 0 : err;
}
