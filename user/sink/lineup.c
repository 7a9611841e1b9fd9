// SPDX-License-Identifier: MIT OR Apache-2.0
#include "sink/lineup.h"

#include <stdlib.h>
#include <string.h>

#include "sink/fold.h"

enum rank { HOLDS, RUNS, CANNOT_BE_WOKEN, WAITS_FOR_GIL, IS_BUSY, IS_IDLE };

static bool is_state(const struct report_thread *t, const char *state)
{
	return !strcmp(t->state, state);
}

static enum rank rank_of(const struct report_thread *t)
{
	if (t->holds_gil && !t->waits_gil)
		return HOLDS;
	if (is_state(t, "running"))
		return RUNS;
	if (t->uninterruptible)
		return CANNOT_BE_WOKEN;
	if (t->waits_gil)
		return WAITS_FOR_GIL;
	for (size_t i = 0; i < t->nframes; i++)
		if (!file_in_library(t->frame[i].file))
			return IS_BUSY;
	return IS_IDLE;
}

/* FNV-1a, the end of the text included */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	do
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
	while (*text++);
	return hash;
}

/* What threads in the same place have in common. Of one that runs nobody knows where it is next. */
static uint64_t hash_of(const struct report_thread *t, enum rank rank)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	if (rank <= CANNOT_BE_WOKEN || !t->nframes || (t->task && *t->task))
		return 0;
	hash = hash_text(hash, t->state);
	hash = hash_text(hash, t->call ? t->call : "");
	hash = hash_text(hash, t->note);
	hash = (hash ^ t->waits_gil ^ (uint64_t)t->exact << 1 ^ t->cut << 2) * 0x100000001b3ULL;
	for (size_t i = 0; t->native && i < t->nnative; i++) {
		hash = hash_text(hash, t->native[i].library);
		hash = hash_text(hash, t->native[i].function) ^ t->native[i].offset;
	}
	for (size_t i = 0; i < t->nframes; i++) {
		const struct report_frame *f = &t->frame[i];

		if (f->local)
			return 0; /* each has values of its own */
		hash = hash_text(hash_text(hash, f->name), f->file) ^ (uint64_t)f->line;
	}
	return hash ? hash : 1;
}

static int by_rank(const void *a, const void *b)
{
	const struct lineup_place *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->thread->tid > y->thread->tid) - (x->thread->tid < y->thread->tid);
}

/* The one that comes first stands for the others, who move up to it. */
static void merge_into(struct lineup_place *place, size_t n, size_t leader)
{
	size_t to = leader + 1;
	struct lineup_place one;

	for (size_t i = to; i < n && place[i].rank == place[leader].rank; i++) {
		if (place[i].hash != place[leader].hash)
			continue;
		one = place[i];
		one.merged = true;
		memmove(&place[to + 1], &place[to], (i - to) * sizeof(*place));
		place[to++] = one;
	}
}

void lineup__make(const struct report_dump *r, bool merge, struct lineup_place *place)
{
	for (size_t i = 0; i < r->nthreads; i++) {
		const struct report_thread *t = &r->thread_list[i];
		enum rank rank = rank_of(t);

		place[i] = (struct lineup_place){
			.thread = t,
			.rank = rank,
			.hash = merge ? hash_of(t, rank) : 0,
		};
	}
	qsort(place, r->nthreads, sizeof(*place), by_rank);
	for (size_t i = 0; i < r->nthreads; i++)
		if (place[i].hash && !place[i].merged)
			merge_into(place, r->nthreads, i);
}
