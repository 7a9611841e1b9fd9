// SPDX-License-Identifier: MIT OR Apache-2.0
/* The queue of events: order within a process, turns between processes, bounds. */
#include "queue.h"

#include <errno.h>

#include "tap.h"

static int push(struct queue *q, uint32_t proc, uint32_t slot)
{
	struct source_event ev = { .proc = proc, .slot = slot };

	return queue__push(q, &ev);
}

static void test_turns(void)
{
	struct queue *q = queue__new();
	struct source_event ev;
	unsigned int before = 0, n = 0;
	bool in_order = true;

	for (uint32_t i = 0; i < 1000; i++)
		push(q, 3, i);
	push(q, 200, 7);
	while (queue__pop(q, &ev)) {
		if (ev.proc == 200)
			before = n;
		else
			in_order &= ev.slot == n - (before && n > before);
		n++;
	}
	ok(n == 1001 && queue__is_empty(q), "all that is pushed is popped");
	ok(before <= 1, "one event of a process does not wait for a thousand of another");
	ok(in_order, "those of one process keep their order");
	queue__free(q);
}

static void test_pop_of(void)
{
	struct queue *q = queue__new();
	struct source_event ev;

	push(q, 1, 10);
	push(q, 2, 20);
	ok(queue__pop_of(q, 2, &ev) && ev.slot == 20, "of one process only");
	ok(!queue__pop_of(q, 2, &ev), "and no more than there is");
	ok(queue__pop(q, &ev) && ev.slot == 10 && !queue__pop(q, &ev),
	   "the other's is still there");
	queue__free(q);
}

static void test_bound(void)
{
	struct queue *q = queue__new();
	struct source_event ev;
	uint32_t n = 0;
	int ret;

	while (!(ret = push(q, 0, n)))
		n++;
	ok(ret == -ENOSPC && n == 65536, "a process that floods is bounded");
	ok(!push(q, 1, 0), "which does not concern another");
	while (queue__pop_of(q, 0, &ev))
		n--;
	ok(!n && !push(q, 0, 0), "and there is room again afterwards");
	queue__free(q);
}

int main(void)
{
	plan(9);
	test_turns();
	test_pop_of();
	test_bound();
	return done();
}
