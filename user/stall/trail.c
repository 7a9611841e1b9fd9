// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/trail.h"

#include <stdlib.h>
#include <string.h>

#include "stall/report.h"

/* FNV-1a */
#define HASH_BASIS 14695981039346656037ULL
#define HASH_PRIME 1099511628211ULL

static uint64_t hash(uint64_t h, const void *data, size_t len)
{
	const unsigned char *byte = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ byte[i]) * HASH_PRIME;
	return h;
}

/* With its NUL, so that two texts are not one. */
static uint64_t hash_text(uint64_t h, const char *text)
{
	return hash(h, text, strlen(text) + 1);
}

static struct trail_mark mark_of(const struct report_thread *t)
{
	struct trail_mark m = { .thread = HASH_BASIS, .stack = HASH_BASIS };

	m.thread = hash(m.thread, &t->ident, sizeof(t->ident));
	m.thread = hash(m.thread, &t->tid, sizeof(t->tid));
	for (size_t i = 0; i < t->nframes; i++) {
		m.stack = hash_text(m.stack, t->frame[i].name);
		m.stack = hash_text(m.stack, t->frame[i].file);
		m.stack = hash(m.stack, &t->frame[i].line, sizeof(t->frame[i].line));
	}
	return m;
}

static bool is_known(const struct trail *t, const struct trail_mark *m)
{
	for (size_t i = 0; i < t->cnt; i++)
		if (t->mark[i].thread == m->thread)
			return t->mark[i].stack == m->stack;
	return false;
}

void trail__follow(struct trail *t, struct report_thread *thread, size_t n)
{
	size_t cnt = n < TRAIL_MAX_THREADS ? n : TRAIL_MAX_THREADS;
	struct trail now = { .mark = calloc(cnt ? cnt : 1, sizeof(*now.mark)) };

	for (size_t i = 0; i < cnt && now.mark; i++) {
		struct report_thread *th = &thread[i];

		now.mark[now.cnt++] = mark_of(th);
		if (!th->nframes || !is_known(t, &now.mark[i]))
			continue;
		th->same = true;
		th->cut += th->nframes - 1;
		th->nframes = 1;
	}
	trail__clear(t);
	*t = now;
}

void trail__clear(struct trail *t)
{
	free(t->mark);
	*t = (struct trail){ 0 };
}
