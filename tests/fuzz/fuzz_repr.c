// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Local variables in memory that says anything. The first byte chooses the layout. Every address is
 * somewhere in the input (addresses wrap around it), those with bit 60 are not mapped. The first
 * words of the input are the addresses of the classes, so that it can name them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "py/arena.h"
#include "py/locals.h"

#define NOT_MAPPED (1ull << 60)
#define TIMEOUT_NS (20 * NSEC_PER_MSEC)
#define FRAMES 40 /* more than one batch */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct ring {
	const uint8_t *data;
	size_t len;
};

static ssize_t ring_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	const struct ring *ring = ctx;

	for (size_t i = 0; i < cnt; i++) {
		uint8_t *buf = range[i].buf;

		if (range[i].addr & NOT_MAPPED)
			return (ssize_t)i;
		for (size_t k = 0; k < range[i].len; k++)
			buf[k] = ring->data[(range[i].addr + k) % ring->len];
	}
	return (ssize_t)cnt;
}

static void check_clean(const char *text)
{
	struct strbuf clean = STRBUF_INIT;

	text_sanitize(&clean, text, strlen(text));
	if (!strbuf_str(&clean) || strcmp(strbuf_str(&clean), text))
		abort();
	strbuf_free(&clean);
}

static void check(const struct py_frame *f)
{
	if (f->nlocals > LOCALS_MAX)
		abort();
	for (size_t i = 0; f->local && i < f->nlocals; i++) {
		check_clean(f->local[i].name);
		if (!f->local[i].value)
			continue;
		check_clean(f->local[i].value);
		if (strlen(f->local[i].value) > 10u * 1280 + 64)
			abort();
	}
}

static void set_up(struct py_target *t, const struct ring *ring)
{
	uint64_t word[12];

	memcpy(word, ring->data, sizeof(word));
	t->known.none = word[0];
	t->known.true_ = word[1];
	t->known.type = word[2];
	t->known.cell = word[3];
	t->known.integer = word[4];
	t->known.number = word[5];
	t->known.bytes = word[6];
	t->known.tuple = word[7];
	t->known.list = word[8];
	t->known.set = word[9];
	t->str_type = word[10];
	t->dict_type = word[11];
	t->deadline_ns = clock_monotonic_ns() + TIMEOUT_NS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct mem_ops ring_ops = { .readv = ring_readv };
	static const uint32_t hex[] = { 0x030b07f0, 0x030c01f0 };
	/* made once: they are large */
	static struct stack stack;
	static struct py_target t;
	static struct locals *l;
	static struct redact *redact;
	struct ring ring = { data + 1, len - 1 };
	struct arena arena = { 0 };
	struct bytes none = { 0 };

	if (len < 128 || py_layout__choose(hex[data[0] & 1], 0, &none, &t.layout, NULL))
		return 0;
	if (!redact && redact__new(NULL, 0, false, &redact, NULL))
		abort();
	set_up(&t, &ring);
	if (mem__from_ops(&ring_ops, &ring, &t.mem))
		abort();
	if (!l)
		l = locals__new(&t);
	if (!l)
		abort();
	stack.cnt = FRAMES;
	for (size_t i = 0; i < FRAMES; i++)
		stack.frame[i] = (struct stack_frame){ .addr = 8 * i, .code = 16 * i };
	locals__begin(l, redact);
	locals__read(l, &stack);
	for (size_t i = 0; i < FRAMES; i++) {
		struct py_frame f = { .file = "", .name = "" };

		locals__show(l, i, &arena, &f);
		check(&f);
	}
	arena__free(&arena);
	mem__free(t.mem);
	return 0;
}
