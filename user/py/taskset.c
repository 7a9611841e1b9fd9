// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/taskset.h"

#include <errno.h>
#include <stdlib.h>

int taskset__add(struct taskset *set, const struct coro_task *task)
{
	size_t cap = set->cap ? set->cap * 2 : 64;
	struct coro_task *more;

	if (set->cnt >= TASKSET_MAX) {
		set->note = "incomplete: more than 100000 tasks";
		return -E2BIG;
	}
	if (set->cnt == set->cap) {
		more = reallocarray(set->task, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		set->task = more;
		set->cap = cap;
	}
	set->task[set->cnt] = *task;
	set->task[set->cnt].parent = TASKSET_NONE;
	set->task[set->cnt].depth = TASKSET_NONE;
	set->task[set->cnt].waits_for = TASKSET_NONE;
	set->cnt++;
	return 0;
}

void taskset__free(struct taskset *set)
{
	free(set->task);
	*set = (struct taskset){ .note = "" };
}

static int by_addr(const void *a, const void *b)
{
	const struct coro_task *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

void taskset__index(struct taskset *set)
{
	size_t kept = 0;

	if (!set->cnt)
		return;
	/* their own order tells nothing: it comes from hash tables */
	qsort(set->task, set->cnt, sizeof(*set->task), by_addr);
	for (size_t i = 0; i < set->cnt; i++)
		if (!kept || set->task[kept - 1].addr != set->task[i].addr)
			set->task[kept++] = set->task[i];
	set->cnt = kept;
}

size_t taskset__find(const struct taskset *set, uint64_t addr)
{
	struct coro_task key = { .addr = addr };
	const struct coro_task *found;

	if (!set->cnt)
		return TASKSET_NONE;
	found = bsearch(&key, set->task, set->cnt, sizeof(key), by_addr);
	return found ? (size_t)(found - set->task) : TASKSET_NONE;
}
