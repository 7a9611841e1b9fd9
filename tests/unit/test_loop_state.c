// SPDX-License-Identifier: MIT OR Apache-2.0
/* Steps of an event loop, from what was seen of its thread, by an injected clock. */
#include "bpf/loop_abi.h"

#include "tap.h"

#define MS 1000000ULL

/* It leaves its CPU for something else than its loop's wait, with a CPU time of CPU ms. */
static struct loop_look look(uint64_t now, uint64_t ver, uint64_t cpu)
{
	return (struct loop_look){
		.now = now * MS,
		.ver = ver,
		.cpu = cpu * MS,
		.known = 1,
		.leaves = 1,
	};
}

static struct loop_look idle(uint64_t now, uint64_t ver, uint64_t cpu)
{
	struct loop_look l = look(now, ver, cpu);

	l.idle = 1;
	return l;
}

static struct loop_look tick(uint64_t now, uint64_t ver)
{
	struct loop_look l = look(now, ver, 0);

	l.leaves = 0;
	return l;
}

static int see(struct loop_step *s, struct loop_look l, struct loop_past *over)
{
	memset(over, 0, sizeof(*over));
	return loop_observe(s, &l, over);
}

/* A loop that waits since 100 ms, with a count of 20 and 50 ms of CPU. */
static struct loop_step resting(void)
{
	struct loop_step s = { .ver = 18 };
	struct loop_past over;

	see(&s, idle(100, 20, 50), &over);
	return s;
}

static void out_of_idleness(void)
{
	struct loop_step s = resting();
	struct loop_past over;

	is_int(s.since, 0, "a loop that waits is in no step");
	ok(!see(&s, look(303, 21, 52), &over), "it was woken and sleeps in a step");
	is_int(s.since, 301 * MS, "which began when it was switched in");
	ok(s.flags & LOOP_EXACT, "that is exact");
	ok(!see(&s, look(350, 21, 53), &over) && s.since == 301 * MS, "the same step goes on");
	ok(see(&s, idle(502, 22, 55), &over), "it waits again: the step is over");
	is_int(over.since, 301 * MS, "it is told with its start");
	is_int(over.end, 502 * MS, "and ended now, since nothing else came");
	is_int(over.ver, 21, "with its count");
	is_int(over.flags, LOOP_EXACT, "all of it sure");
	is_int(s.since, 0, "and nothing is open");
}

static void not_the_first(void)
{
	struct loop_step s = resting();
	struct loop_past over;

	see(&s, look(340, 27, 70), &over);
	is_int(s.since, 340 * MS, "steps have been before: it begins when it is first seen");
	ok(!(s.flags & LOOP_EXACT), "which is not exact");
}

static void busy(void)
{
	struct loop_step s = resting();
	struct loop_past over;

	see(&s, tick(150, 41), &over);
	ok(see(&s, tick(200, 91), &over), "a tick sees another count: the step is over");
	ok(over.end == 175 * MS && (over.flags & LOOP_ROUGH), "somewhere between");
	is_int(over.least, 150 * MS, "but not before it was seen last");
	is_int(s.since, 200 * MS, "and the next is open");
	ok(!see(&s, tick(250, 91), &over) && !see(&s, tick(300, 91), &over),
	   "the same count is the same step");
	is_int(s.since, 200 * MS, "open since it was seen first");
}

static void slept(void)
{
	struct loop_step s = resting();
	struct loop_past over;

	see(&s, look(101, 21, 51), &over);
	ok(see(&s, look(404, 25, 54), &over), "it slept in a step, and sleeps in another");
	is_int(over.end, 401 * MS, "the first was over no sooner than it was switched in");
	is_int(over.least, 401 * MS, "that is sure");
	is_int(over.flags & LOOP_ROUGH, 0, "and near");
	is_int(s.since, 404 * MS, "the other began before it went to sleep");
	ok(see(&s, tick(700, 27), &over) && over.least == 404 * MS,
	   "a tick does not know when it was switched in");
	ok(over.flags & LOOP_ROUGH, "so the end is rough");
}

static void unreadable(void)
{
	struct loop_step s = resting();
	struct loop_look l = look(200, 0, 51);
	struct loop_past over;

	l.known = 0;
	ok(!see(&s, l, &over) && s.since, "a count that cannot be read has not moved");
	is_int(s.ver, 20, "the last one is kept");
	l = idle(300, 0, 52);
	l.known = 0;
	ok(see(&s, l, &over) && !s.since, "a loop that waits waits");
}

static void clocks(void)
{
	struct loop_step s = resting();
	struct loop_past over;

	s.cpu = LOOP_NO_CPU;
	see(&s, look(200, 21, 60), &over);
	is_int(s.since, 200 * MS, "no CPU time known: it begins now");
	s = resting();
	see(&s, look(200, 21, 1000), &over);
	is_int(s.since, 100 * MS, "more CPU time than there was: never before it waited");
	s = resting();
	see(&s, look(200, 21, 10), &over);
	is_int(s.since, 200 * MS, "less than it had: never after now");
}

static void left(void)
{
	struct loop_step s = { 0 };
	struct loop_past one = { .since = 1, .end = 2, .ver = 5 }, two = { .since = 3 };

	ok(loop_leave(&s, &one) && s.past.since == 1 && s.past.end == 2 && s.past.ver == 5,
	   "what is over is left to the timer");
	ok(!loop_leave(&s, &two) && s.past.since == 1, "the next is not, while that lies there");
	s.past.since = 0;
	ok(loop_leave(&s, &two) && s.past.since == 3, "but when it was taken");
}

static void lasted(void)
{
	is_int(loop_lasted(100, 0, 350, 0), 250, "how long it has lasted");
	is_int(loop_lasted(100, 0, 350, 200), 50, "less the time in which it could not run");
	is_int(loop_lasted(100, 150, 350, 0), 200, "and less what is part of another stall");
	is_int(loop_lasted(100, 400, 350, 0), 0, "never less than nothing");
}

int main(void)
{
	plan(39);
	out_of_idleness();
	not_the_first();
	busy();
	slept();
	unreadable();
	clocks();
	left();
	lasted();
	return done();
}
