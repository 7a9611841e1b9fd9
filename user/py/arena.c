// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/arena.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK (64u << 10)
#define ALIGN 16u

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(ALIGN) char data[];
};

static struct arena_block *grow(struct arena *a, size_t size)
{
	size_t want = size > BLOCK ? size : BLOCK;
	struct arena_block *b;

	if (want > ARENA_MAX - a->total)
		return NULL;
	b = calloc(1, sizeof(*b) + want);
	if (!b)
		return NULL;
	b->size = want;
	b->next = a->block;
	a->block = b;
	a->total += want;
	return b;
}

void *arena__alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->block;
	void *p;

	if (size > ARENA_MAX) {
		a->failed = true;
		return NULL;
	}
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!b || b->size - b->used < size)
		b = grow(a, size);
	if (!b) {
		a->failed = true;
		return NULL;
	}
	p = b->data + b->used;
	b->used += size;
	return p;
}

const char *arena__str(struct arena *a, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = n > 1 ? arena__alloc(a, n) : NULL;

	return p ? memcpy(p, s, n) : "";
}

void arena__free(struct arena *a)
{
	struct arena_block *b = a->block, *next;

	for (; b; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){ 0 };
}
