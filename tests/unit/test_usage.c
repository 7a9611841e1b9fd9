// SPDX-License-Identifier: MIT OR Apache-2.0
/* Where the time of a thread went, from points by an injected clock. */
#include "stall/usage.h"

#include <errno.h>
#include <string.h>

#include "tap.h"

#define MS 1000000ULL

/* A thread whose kernel counters a test moves. */
struct thread {
	struct usage_view view;
	struct account_raw raw;
};

static void begin(struct thread *t, uint64_t at)
{
	memset(t, 0, sizeof(*t));
	t->view.point[0].at = at * MS;
	t->view.cnt = 1;
}

/* It comes back to a CPU at ARRIVAL, after QUEUED ms in the run queue, and leaves it at NOW. */
static void leave(struct thread *t, uint64_t arrival, uint64_t queued, uint64_t now,
		  enum account_off off, int call)
{
	struct account_point *p = &t->view.point[t->view.cnt];
	struct account_look l = { .now = now * MS, .arrival = arrival * MS, .raw = t->raw };

	l.raw.cpu += (now - arrival) * MS;
	l.raw.delay += queued * MS;
	*p = p[-1];
	account_advance(p, &t->raw, &l, 1);
	p->off = off;
	p->call = call;
	p->arg = 7;
	t->raw = l.raw;
	t->view.cnt++;
}

/* What is now: it waits; in the run queue since QUEUED if that is not 0. */
static void still_off(struct thread *t, uint64_t now, uint64_t queued)
{
	struct account_point *p = &t->view.point[t->view.cnt];
	struct account_look l = { .now = now * MS, .queued = queued * MS, .raw = t->raw };

	*p = p[-1];
	account_advance(p, &t->raw, &l, 0);
	t->view.cnt++;
}

/* ms of WHAT between FROM and TO */
static int64_t between(const struct thread *t, uint64_t from, uint64_t to, enum account_sum what)
{
	struct usage a, b;

	if (usage__at(&t->view, from * MS, &a) || usage__at(&t->view, to * MS, &b))
		return -1;
	return (int64_t)((b.sum[what] - a.sum[what]) / MS);
}

/* On the CPU from the start of the section at 105 on, then asleep, the run queue, the CPU. */
static void blocked(void)
{
	struct thread t;
	struct usage u;

	begin(&t, 100);
	leave(&t, 100, 0, 110, ACCOUNT_CALL, 35);
	leave(&t, 300, 20, 320, ACCOUNT_READY, -1);
	still_off(&t, 350, 0);
	is_int(between(&t, 105, 320, ACCOUNT_ON_CPU), 25, "before the sleep and after it");
	is_int(between(&t, 105, 320, ACCOUNT_RUN_QUEUE), 20, "it waited for a CPU");
	is_int(between(&t, 105, 350, ACCOUNT_RUN_QUEUE), 50,
	       "and does again, to which it is added");
	is_int(between(&t, 105, 305, ACCOUNT_ON_CPU), 10, "up to a moment on the CPU");
	is_int(between(&t, 105, 290, ACCOUNT_RUN_QUEUE), 10, "up to a moment in the run queue");
	is_int(between(&t, 105, 200, ACCOUNT_RUN_QUEUE), 0, "up to a moment asleep");
	is_int(between(&t, 105, 9999, ACCOUNT_ON_CPU), 25, "what is later is now");
	is_int(usage__at(&t.view, 99 * MS, &u), -ENOENT, "what is earlier is not known");
	is_int(usage__at(&t.view, 100 * MS, &u), 0, "the first point is");
}

static void kinds(void)
{
	static const struct {
		enum account_off off;
		enum account_sum sum;
		int ms; /* of 100 off the CPU, 10 of them in the run queue */
		const char *name;
	} each[] = {
		{ ACCOUNT_READY, ACCOUNT_RUN_QUEUE, 100, "preempted: all is run queue" },
		{ ACCOUNT_THROTTLED, ACCOUNT_SUM_THROTTLED, 100, "throttled: all of it" },
		{ ACCOUNT_CALL, ACCOUNT_RUN_QUEUE, 10, "in a call: what the kernel counted" },
		{ ACCOUNT_GIL, ACCOUNT_SUM_GIL, 90, "for the GIL" },
		{ ACCOUNT_FAULT, ACCOUNT_SUM_FAULT, 90, "for a page" },
		{ ACCOUNT_STOPPED, ACCOUNT_SUM_STOPPED, 90, "stopped" },
	};

	for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++) {
		struct thread t;

		begin(&t, 10);
		leave(&t, 10, 0, 20, each[i].off, -1);
		leave(&t, 120, 10, 130, ACCOUNT_CALL, 0);
		is_int(between(&t, 15, 130, each[i].sum), each[i].ms, "%s", each[i].name);
	}
}

/* Others had the CPU while it seemed to run: a host, interrupts. */
static void stolen(void)
{
	struct account_look l = { .now = 100 * MS, .arrival = 40 * MS, .raw.cpu = 50 * MS };
	struct account_point p = { .at = 20 * MS, .off = ACCOUNT_CALL };
	struct account_raw raw = { .cpu = 10 * MS };

	account_advance(&p, &raw, &l, 1);
	is_int(p.sum[ACCOUNT_ON_CPU] / MS, 40, "CPU time is on the CPU");
	is_int(p.sum[ACCOUNT_RUN_QUEUE] / MS, 20, "what was stolen of it is waiting");
	is_int(p.at / MS, 100, "and the point is now");
}

/* Many switches in one step: in proportion. */
static void crowded(void)
{
	struct thread t;

	begin(&t, 0);
	leave(&t, 0, 0, 10, ACCOUNT_CALL, 35);
	leave(&t, 60, 0, 110, ACCOUNT_CALL, 35);
	t.view.point[2].switches += 9;
	is_int(between(&t, 60, 110, ACCOUNT_ON_CPU), 25,
	       "half of the step has half of its CPU time");
}

static void calls(void)
{
	struct usage_call call;
	struct thread t;

	begin(&t, 0);
	leave(&t, 0, 0, 10, ACCOUNT_CALL, 1);
	leave(&t, 50, 0, 60, ACCOUNT_CALL, 2);
	leave(&t, 120, 10, 130, ACCOUNT_CALL, 1);
	leave(&t, 160, 0, 170, ACCOUNT_READY, 3);
	leave(&t, 500, 0, 510, ACCOUNT_READY, 3);
	usage__longest_call(&t.view, 0, 510 * MS, &call);
	is_int(call.nr, 1, "two waits in one call are more than one in another");
	is_int(call.ns / MS, 70, "that is their sum");
	is_int(call.arg, 7, "with the argument");
	usage__longest_call(&t.view, 60 * MS, 130 * MS, &call);
	is_int(call.nr, 2, "in a part of the time it is the other one");
	usage__longest_call(&t.view, 170 * MS, 510 * MS, &call);
	is_int(call.nr, -1, "who was preempted was blocked in none");
}

/* What a writer left half done may be anything: no sum is more than the whole. */
static void torn(void)
{
	struct usage_view v = { .cnt = 2 };
	struct usage a, b;
	uint64_t sum = 0;

	v.point[1].at = 100;
	for (int i = 0; i < ACCOUNT_SUMS; i++)
		v.point[1].sum[i] = UINT64_MAX / 4;
	is_int(usage__at(&v, 50, &a), 0, "numbers that cannot be are taken");
	is_int(usage__at(&v, 100, &b), 0, "at the end, too");
	for (int i = 0; i < ACCOUNT_SUMS; i++)
		sum += b.sum[i] - a.sum[i];
	ok(sum <= 50, "but none is more than the whole");
}

int main(void)
{
	plan(9 + 6 + 3 + 1 + 5 + 3);
	blocked();
	kinds();
	stolen();
	crowded();
	calls();
	torn();
	return done();
}
