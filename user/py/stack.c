// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/frame.h"
#include "py/heap.h"

#define MAX_TRIES 8
#define MAX_CHUNKS 4096 /* of one data stack */
#define SLACK 256 /* bytes read above the top of the newest chunk: a frame may just be popped */
#define CFRAME_BYTES 32
#define CHUNK_HEAD 64
#define LATE_EVERY 256 /* hops between two looks at the clock */
#define UNCHECKED UINT64_MAX
#define KNOWN_HEADS 256 /* a power of two */

/* A copied piece of the target. */
struct window {
	uint64_t addr;
	struct bytes bytes;
	uint8_t *buf; /* STACK_MAX_CHUNK + SLACK bytes, owned */
};

/* What a thread state says of its stack. */
struct head {
	uint64_t frame; /* or cframe */
	uint64_t chunk, top;
};

/* Frames outside the chunks, by their addresses: entries from C on the C stack, generators. */
struct outside {
	uint64_t addr[STACK_OUTSIDE];
	size_t cnt;
};

/* Of the last walk: a thread that is stuck still has it. */
struct known_head {
	uint64_t tstate;
	struct head head;
	uint64_t caller; /* cframe of the C eval loop that called the newest one */
	struct outside outside;
};

struct stack_reader {
	const struct py_target *target;
	struct window newest, older;
	uint64_t prev_chunk; /* the chunk after `older`, not yet read */
	size_t chunks;
	struct known_head known[KNOWN_HEADS];
	struct outside copied, met; /* together with the newest chunk; in this walk */
	uint64_t caller, caller_frame; /* copied with it, too: the current frame there; 0 = not */
	uint8_t copy[STACK_OUTSIDE][PYWALK_FRAME_BYTES];
	struct heap_reader *heap; /* owned; NULL where frames lie in chunks */
};

struct stack_reader *stack_reader__new(const struct py_target *t)
{
	struct stack_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->target = t;
	r->newest.buf = malloc(STACK_MAX_CHUNK + SLACK);
	r->older.buf = malloc(STACK_MAX_CHUNK + SLACK);
	if (t->layout.ts.chunk == PY_NONE)
		r->heap = heap_reader__new(t);
	if (!r->newest.buf || !r->older.buf || (t->layout.ts.chunk == PY_NONE && !r->heap)) {
		stack_reader__free(r);
		return NULL;
	}
	return r;
}

void stack_reader__free(struct stack_reader *r)
{
	if (!r)
		return;
	heap_reader__free(r->heap);
	free(r->newest.buf);
	free(r->older.buf);
	free(r);
}

static struct known_head *known_head(struct stack_reader *r, uint64_t tstate)
{
	return &r->known[tstate / 64 % KNOWN_HEADS];
}

void stack_reader__expect(struct stack_reader *r, uint64_t tstate, const struct stack_hint *hint,
			  const struct stack *seen)
{
	struct known_head *known;

	if (r->heap) {
		heap__expect(r->heap, tstate, seen);
		return;
	}
	known = known_head(r, tstate);
	*known = (struct known_head){
		.tstate = tstate,
		.head = { hint->frame, hint->chunk, hint->top },
		.caller = hint->caller,
	};
	for (size_t i = 0; i < hint->noutside; i++)
		known->outside.addr[known->outside.cnt++] = hint->outside[i];
}

static const void *window_at(const struct window *w, uint64_t addr, uint64_t len)
{
	return addr < w->addr ? NULL : bytes_at(&w->bytes, addr - w->addr, len);
}

static int parse_head(const struct py_layout *l, const uint8_t *ts, struct head *out)
{
	struct bytes b = { ts, PY_TSTATE_BYTES };

	if (bytes_u64(&b, l->ts.frame, &out->frame) || bytes_u64(&b, l->ts.chunk, &out->chunk) ||
	    bytes_u64(&b, l->ts.top, &out->top))
		return -EFAULT;
	return 0;
}

static bool same_head(const struct head *a, const struct head *b)
{
	return a->frame == b->frame && a->chunk == b->chunk && a->top == b->top;
}

/* Thread states may lie at the end of a mapping: only what the layout uses is read. */
static size_t tstate_span(const struct py_layout *l)
{
	return (l->ts.frame > l->ts.top ? l->ts.frame : l->ts.top) + 8;
}

/* Plans to read the frames that lay outside the chunks in the last walk. Returns how many. */
static size_t plan_outside(struct stack_reader *r, uint64_t tstate, struct mem_range *range)
{
	const struct known_head *known = known_head(r, tstate);

	r->copied = (struct outside){ 0 };
	if (known->tstate == tstate)
		r->copied = known->outside;
	for (size_t i = 0; i < r->copied.cnt; i++)
		range[i] = (struct mem_range){ .addr = r->copied.addr[i],
					       .buf = r->copy[i],
					       .len = r->target->layout.frame.span };
	return r->copied.cnt;
}

/* Plans to read the current frame of the loop that called the newest one in the last walk. */
static size_t plan_caller(struct stack_reader *r, uint64_t tstate, struct mem_range *range)
{
	const struct py_layout *l = &r->target->layout;
	const struct known_head *known = known_head(r, tstate);

	r->caller = l->cframe.frame != PY_NONE && known->tstate == tstate ? known->caller : 0;
	if (!r->caller)
		return 0;
	*range = (struct mem_range){ r->caller + l->cframe.frame, &r->caller_frame, 8, 0 };
	return 1;
}

/*
 * One call: thread state, cframe, newest chunk, frames outside it, thread state. Returns -EAGAIN if
 * the second look differs from the first, which *H then holds (the next try begins there).
 */
static int copy_newest(struct stack_reader *r, uint64_t tstate, struct head *h, uint8_t *cframe)
{
	const struct py_layout *l = &r->target->layout;
	uint8_t ts[2][PY_TSTATE_BYTES] = { 0 };
	uint64_t len = h->top > h->chunk ? h->top - h->chunk + SLACK : 0;
	size_t span = tstate_span(l), n = 0, chunk_at, caller_at;
	struct mem_range range[5 + STACK_OUTSIDE];
	struct head seen[2];
	int err;

	len = len < STACK_MAX_CHUNK ? len : STACK_MAX_CHUNK;
	range[n++] = (struct mem_range){ .addr = tstate, .buf = ts[0], .len = span };
	if (l->cframe.frame != PY_NONE)
		range[n++] =
			(struct mem_range){ .addr = h->frame, .buf = cframe, .len = CFRAME_BYTES };
	chunk_at = n;
	range[n++] = (struct mem_range){ .addr = h->chunk, .buf = r->newest.buf, .len = len };
	n += plan_outside(r, tstate, &range[n]);
	caller_at = n;
	n += plan_caller(r, tstate, &range[n]);
	range[n++] = (struct mem_range){ .addr = tstate, .buf = ts[1], .len = span };
	err = mem__readv(r->target->mem, range, n);
	if (err && err != -EFAULT)
		return err;
	if (range[0].err || range[n - 1].err)
		return -EFAULT;
	for (size_t i = 0; i < r->copied.cnt; i++)
		if (range[chunk_at + 1 + i].err)
			r->copied.addr[i] = 0;
	if (r->caller && range[caller_at].err)
		r->caller = 0;
	if (range[chunk_at].err && len > SLACK) {
		/* the slack may reach into the void */
		len -= SLACK;
		range[chunk_at].err = mem__read(r->target->mem, h->chunk, r->newest.buf, len);
	}
	if (parse_head(l, ts[0], &seen[0]) || parse_head(l, ts[1], &seen[1]))
		return -EFAULT;
	if (!same_head(&seen[0], h) || !same_head(&seen[1], h)) {
		*h = seen[1];
		return -EAGAIN;
	}
	if (l->cframe.frame != PY_NONE && range[1].err)
		return -EAGAIN;
	r->newest.addr = h->chunk;
	r->newest.bytes = (struct bytes){ r->newest.buf, range[chunk_at].err ? 0 : len };
	return 0;
}

/* The head of a chunk: the one before it, and how many bytes of it are in use. */
static int chunk_head(const struct py_target *t, uint64_t chunk, uint64_t *previous, uint64_t *used)
{
	const struct py_layout *l = &t->layout;
	uint8_t buf[CHUNK_HEAD];
	struct bytes b = { buf, l->chunk.data };
	uint64_t words;
	int err = mem__read(t->mem, chunk, buf, l->chunk.data);

	if (err)
		return err;
	if (bytes_u64(&b, l->chunk.previous, previous) || bytes_u64(&b, l->chunk.top, &words))
		return -EFAULT;
	words = words < STACK_MAX_CHUNK / 8 ? words : STACK_MAX_CHUNK / 8;
	*used = l->chunk.data + words * 8;
	return 0;
}

/* Chunks come in the order in which the chain needs them: the next one is all that may be meant. */
static const void *next_chunk(struct stack_reader *r, uint64_t addr, size_t len)
{
	uint64_t chunk = r->prev_chunk, previous, used;

	if (!chunk || r->chunks >= MAX_CHUNKS || addr < chunk ||
	    chunk_head(r->target, chunk, &previous, &used) || addr - chunk >= used)
		return NULL;
	used = used < STACK_MAX_CHUNK ? used : STACK_MAX_CHUNK;
	if (mem__read(r->target->mem, chunk, r->older.buf, used))
		return NULL;
	r->older.addr = chunk;
	r->older.bytes = (struct bytes){ r->older.buf, used };
	r->prev_chunk = previous;
	r->chunks++;
	return window_at(&r->older, addr, len);
}

static void note_outside(struct stack_reader *r, uint64_t addr)
{
	if (r->met.cnt < STACK_OUTSIDE)
		r->met.addr[r->met.cnt++] = addr;
}

static const void *copied_frame(struct stack_reader *r, uint64_t addr)
{
	for (size_t i = 0; i < r->copied.cnt; i++) {
		if (r->copied.addr[i] != addr)
			continue;
		note_outside(r, addr);
		return r->copy[i];
	}
	return NULL;
}

/* The bytes of the frame at ADDR: out of a copy, else alone into TMP. NULL: not readable. */
static const void *frame_bytes(struct stack_reader *r, uint64_t addr, uint8_t *tmp)
{
	size_t len = r->target->layout.frame.span;
	const void *p = window_at(&r->newest, addr, len);

	if (!p)
		p = window_at(&r->older, addr, len);
	if (!p)
		p = copied_frame(r, addr);
	if (!p)
		p = next_chunk(r, addr, len);
	if (!p && !mem__read(r->target->mem, addr, tmp, len)) {
		note_outside(r, addr);
		p = tmp;
	}
	return p;
}

/*
 * Follows the chain from FRAME. ENTRY_PREVIOUS: where the oldest frame of the newest C eval loop
 * must link to (the current frame of the loop that called it); UNCHECKED: there is no such rule.
 */
static void follow(struct stack_reader *r, uint64_t frame, uint64_t entry_previous, struct stack *s)
{
	const struct py_layout *l = &r->target->layout;
	bool entry_seen = l->frame.mark == PY_NONE || entry_previous == UNCHECKED;
	uint8_t tmp[PYWALK_FRAME_BYTES];
	struct frame f;
	const void *data;

	for (size_t hop = 0; frame; hop++) {
		if (hop >= STACK_MAX_HOPS) {
			s->note = "incomplete: the stack has no end within 65536 frames";
			return;
		}
		if (hop % LATE_EVERY == LATE_EVERY - 1 && py_target__late(r->target)) {
			s->note = "incomplete: no time left";
			return;
		}
		data = frame_bytes(r, frame, tmp);
		if (!data) {
			s->note = "incomplete: a frame could not be read";
			return;
		}
		frame__parse(l, data, &f);
		if (!entry_seen && f.mark == l->frame.mark_val) {
			entry_seen = true;
			if (f.previous != entry_previous) {
				s->note = "incomplete: the thread was entering a function";
				return;
			}
		}
		stack__add(l, s, frame, &f);
		/* the compiler detaches a generator's frame before it moves the current frame */
		if (!f.previous && l->frame.gen_owner != PY_NONE && f.owner == l->frame.gen_owner) {
			s->note = "incomplete: the thread was leaving a generator";
			return;
		}
		frame = f.previous;
	}
	if (!entry_seen && s->bottom)
		s->note = "incomplete: the thread was entering a function";
}

/* The first frame of a data stack: the oldest chunk leaves out its first word (push_chunk()).
 * PREVIOUS: the chunk before CHUNK. */
static uint64_t find_base(struct stack_reader *r, uint64_t chunk, uint64_t previous)
{
	uint64_t used;

	for (size_t i = 0; i < MAX_CHUNKS; i++) {
		if (!previous)
			return chunk + r->target->layout.chunk.data + 8;
		chunk = previous;
		if (chunk_head(r->target, chunk, &previous, &used))
			return 0;
	}
	return 0;
}

bool stack__at_bottom(const struct stack *s)
{
	return s->bottom && (s->bottom == s->base || s->bottom_in_heap);
}

/* Where the chain begins, and where the newest C eval loop was called from. */
static int first_frame(struct stack_reader *r, const struct head *h, const uint8_t *cframe,
		       uint64_t *frame, uint64_t *entry_previous)
{
	const struct py_layout *l = &r->target->layout;
	struct bytes b = { cframe, CFRAME_BYTES };
	uint64_t previous;

	*frame = h->frame;
	*entry_previous = UNCHECKED;
	if (l->cframe.frame == PY_NONE)
		return 0;
	if (bytes_u64(&b, l->cframe.frame, frame) || bytes_u64(&b, l->cframe.previous, &previous))
		return -EFAULT;
	if (previous && previous == r->caller)
		*entry_previous = r->caller_frame;
	else if (previous &&
		 mem__read_u64(r->target->mem, previous + l->cframe.frame, entry_previous))
		return -EAGAIN;
	r->caller = previous;
	return 0;
}

static int look_again(struct stack_reader *r, uint64_t tstate, struct head *h)
{
	const struct py_layout *l = &r->target->layout;
	uint8_t ts[PY_TSTATE_BYTES] = { 0 };
	struct head after;
	int err = mem__read(r->target->mem, tstate, ts, tstate_span(l));

	if (err)
		return err;
	if (parse_head(l, ts, &after))
		return -EFAULT;
	if (same_head(&after, h))
		return 0;
	*h = after;
	return -EAGAIN;
}

static int read_once(struct stack_reader *r, uint64_t tstate, bool at_rest, struct head *h,
		     struct stack *out)
{
	const struct py_layout *l = &r->target->layout;
	uint8_t cframe[CFRAME_BYTES] = { 0 };
	uint64_t frame, entry_previous, previous;
	int err;

	stack__clear(out);
	err = copy_newest(r, tstate, h, cframe);
	if (err)
		return err;
	err = first_frame(r, h, cframe, &frame, &entry_previous);
	if (err)
		return err;
	r->older.bytes = (struct bytes){ 0 };
	r->chunks = 0;
	r->met.cnt = 0;
	err = bytes_u64(&r->newest.bytes, l->chunk.previous, &previous);
	r->prev_chunk = err ? 0 : previous;
	follow(r, frame, entry_previous, out);
	stack__settle(out);
	out->base = err ? 0 : find_base(r, h->chunk, previous);
	return at_rest ? 0 : look_again(r, tstate, h);
}

/* The head of the last walk, or as it is now. */
static int first_head(struct stack_reader *r, uint64_t tstate, struct head *h)
{
	const struct known_head *known = known_head(r, tstate);
	uint8_t ts[PY_TSTATE_BYTES] = { 0 };
	int err;

	if (known->tstate == tstate) {
		*h = known->head;
		return 0;
	}
	err = mem__read(r->target->mem, tstate, ts, tstate_span(&r->target->layout));
	if (err)
		return err;
	return parse_head(&r->target->layout, ts, h);
}

int stack__read(struct stack_reader *r, uint64_t tstate, bool at_rest, struct stack *out)
{
	struct head h;
	int err;

	stack__clear(out);
	if (r->heap)
		return heap__read(r->heap, tstate, at_rest, out);
	err = first_head(r, tstate, &h);
	if (err)
		return err;
	for (int i = 0; i < MAX_TRIES; i++) {
		err = read_once(r, tstate, at_rest, &h, out);
		*known_head(r, tstate) = (struct known_head){ tstate, h, r->caller, r->met };
		/* a chain that broke a rule is worth another try, and shown if nothing better comes
		 */
		if (err != -EAGAIN && !(err == 0 && out->note[0] && i < MAX_TRIES / 2))
			return err;
		if (py_target__late(r->target))
			break;
	}
	stack__clear(out);
	return -EAGAIN;
}

int stack__from_record(struct stack_reader *r, const struct pywalk_record *rec, struct stack *out)
{
	const struct py_layout *l = &r->target->layout;
	uint8_t ts[PY_TSTATE_BYTES] = { 0 };
	uint64_t previous, used;
	struct frame f = { 0 };
	struct head h;
	int err;

	stack__clear(out);
	if (rec->nframes > PYWALK_FRAMES)
		return -EINVAL;
	for (size_t i = 0; i < rec->nframes; i++) {
		f.code = rec->frame[i].code;
		f.instr = rec->frame[i].instr;
		f.owner = (uint8_t)rec->frame[i].owner;
		stack__add(l, out, rec->frame[i].addr, &f);
	}
	if (rec->flags & (PYWALK_STALE | PYWALK_OTHER))
		return -EAGAIN;
	if (rec->flags & PYWALK_FAULT)
		out->note = "incomplete: a frame was paged out";
	else if (rec->flags & PYWALK_LIMIT)
		out->note = "incomplete: more frames than a tick can read";
	else if (!(rec->flags & (PYWALK_COMPLETE | PYWALK_NOFRAME)))
		return -EAGAIN;
	if (l->ts.chunk == PY_NONE) {
		out->base = rec->flags & PYWALK_COMPLETE ? out->bottom : 0;
		return 0;
	}
	err = mem__read(r->target->mem, rec->tstate, ts, tstate_span(l));
	if (err)
		return err;
	if (parse_head(l, ts, &h))
		return -EFAULT;
	if (!chunk_head(r->target, h.chunk, &previous, &used))
		out->base = find_base(r, h.chunk, previous);
	return 0;
}
