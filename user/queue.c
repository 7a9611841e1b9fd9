// SPDX-License-Identifier: MIT OR Apache-2.0
#include "queue.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAP 64
#define MAX_WAITING 65536 /* of one process: two for each slot of all pages it may have */

struct line {
	struct source_event *event;
	size_t first, cnt, cap; /* waiting: event[first .. cnt) */
};

struct queue {
	struct line line[SOURCE_MAX_PROCS];
	uint32_t last; /* whose turn it was */
	size_t waiting;
};

struct queue *queue__new(void)
{
	return calloc(1, sizeof(struct queue));
}

void queue__free(struct queue *q)
{
	for (size_t i = 0; q && i < SOURCE_MAX_PROCS; i++)
		free(q->line[i].event);
	free(q);
}

int queue__push(struct queue *q, const struct source_event *ev)
{
	struct line *l = &q->line[ev->proc];
	size_t cap = l->cap ? l->cap * 2 : FIRST_CAP;
	struct source_event *event;

	if (l->cnt == l->cap) {
		if (cap > MAX_WAITING)
			return -ENOSPC;
		event = reallocarray(l->event, cap, sizeof(*event));
		if (!event)
			return -ENOMEM;
		l->event = event;
		l->cap = cap;
	}
	l->event[l->cnt++] = *ev;
	q->waiting++;
	return 0;
}

bool queue__pop_of(struct queue *q, uint32_t proc, struct source_event *out)
{
	struct line *l = &q->line[proc];

	if (l->first == l->cnt)
		return false;
	*out = l->event[l->first++];
	q->waiting--;
	if (l->first == l->cnt) {
		l->first = l->cnt = 0;
		/* what a flood took is given back */
		if (l->cap > FIRST_CAP) {
			free(l->event);
			l->event = NULL;
			l->cap = 0;
		}
	}
	return true;
}

bool queue__pop(struct queue *q, struct source_event *out)
{
	for (uint32_t i = 0; q->waiting && i < SOURCE_MAX_PROCS; i++) {
		q->last = (q->last + 1) % SOURCE_MAX_PROCS;
		if (queue__pop_of(q, q->last, out))
			return true;
	}
	return false;
}

bool queue__is_empty(const struct queue *q)
{
	return !q->waiting;
}
