// SPDX-License-Identifier: MIT OR Apache-2.0
/* Waits for the GIL, from what was seen of one thread, by an injected clock. */
#include "bpf/gil_abi.h"

#include "tap.h"

#define MS 1000000ULL

/* The thread uses no CPU but what a test gives it. */
static struct gil_look look(uint64_t now, enum gil_where where, uint64_t switches)
{
	return (struct gil_look){
		.now = now,
		.where = where,
		.known = 1,
		.words = { .interval = 5000, .holder = 0x1000, .locked = 1, .switches = switches },
	};
}

static int see(struct gil_wait *w, struct gil_look l, struct gil_past *over)
{
	memset(over, 0, sizeof(*over));
	return gil_observe(w, &l, over);
}

/* Waits of 5 ms from FROM up to, and not with, TO; the last is at TO - 5 ms. */
static int wait_for_ms(struct gil_wait *w, uint64_t from, uint64_t to, uint64_t switches)
{
	struct gil_past over;
	int ended = 0;

	for (uint64_t ms = from; ms < to; ms += 5)
		ended += see(w, look(ms * MS, GIL_WAITS, switches), &over);
	return ended;
}

static void hog(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;
	struct gil_look l;

	is_int(wait_for_ms(&w, 100, 600, 7), 0, "waits one behind the other are one episode");
	is_int(w.since, 100 * MS, "which began with the first");
	l = look(603 * MS, GIL_ELSEWHERE, 0);
	l.known = 0;
	l.cpu = 2 * MS;
	ok(see(&w, l, &over), "it is over when the thread waits for something else");
	is_int(over.since, 100 * MS, "it is told with its start");
	is_int(over.end, 601 * MS, "and ended when the thread was switched in");
	is_int(over.flags, 0, "that is sure");
	is_int(w.since, 0, "and nothing is open");
	ok(!see(&w, l, &over), "nor over once more");
}

static void steps(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;

	wait_for_ms(&w, 5, 20, 7);
	ok(!see(&w, look(20 * MS, GIL_WAITS, 8), &over), "one step of switch_number: to another");
	ok(!see(&w, look(25 * MS, GIL_WAITS, 9), &over), "and one more after the next wait");
	is_int(w.since, 5 * MS, "it goes on from its start");
	memset(&w, 0, sizeof(w));
	wait_for_ms(&w, 10, 30, 7);
	ok(see(&w, look(32 * MS, GIL_WAITS, 9), &over), "two steps: it may have had the GIL");
	ok(over.flags & GIL_UNSURE, "that is not sure, where nothing can guard it");
	is_int(over.since, 10 * MS, "what it waited is over");
	is_int(w.since, 32 * MS, "and it waits anew");
	is_int(w.first, 9, "from that number on");
	ok(see(&w, look(40 * MS, GIL_WAITS, 3), &over), "a number that goes back proves nothing");
}

/* A wait of 20 ms, and what the thread does at 25 ms, when others have had the GIL twice. */
static struct gil_wait waits_beside_others(struct gil_look *l)
{
	struct gil_wait w = { 0 };
	struct gil_past over;

	for (uint64_t ms = 5; ms < 25; ms += 5) {
		*l = look(ms * MS, GIL_WAITS, 7);
		l->sp = 0x7000;
		l->io = 3;
		l->cpu = (ms / 5) * 40000; /* a lost turn */
		see(&w, *l, &over);
	}
	l->now = 25 * MS;
	l->cpu += 40000;
	l->words.switches = 9;
	l->guards = 1;
	return w;
}

static void doubts(void)
{
	struct gil_look l;
	struct gil_past over;
	struct gil_wait w = waits_beside_others(&l);

	ok(!see(&w, l, &over) && w.since == 5 * MS, "two steps by others: the wait goes on");
	is_int(w.doubts, 1, "with a doubt");
	l.now = 30 * MS;
	see(&w, l, &over);
	is_int(w.doubts, 1, "a turn that was lost for certain adds none");
	l.where = GIL_ELSEWHERE;
	ok(see(&w, l, &over) && over.flags & GIL_DOUBTFUL, "nobody guarded it: that is said");

	w = waits_beside_others(&l);
	l.sp = 0x7100;
	ok(see(&w, l, &over) && !(over.flags & GIL_UNSURE),
	   "another stack pointer: it had the GIL");
	is_int(w.since, 25 * MS, "and waits anew");
	w = waits_beside_others(&l);
	l.io = 4;
	ok(see(&w, l, &over) && !(over.flags & GIL_UNSURE), "it has read something: likewise");
	w = waits_beside_others(&l);
	l.cpu += 100000;
	ok(see(&w, l, &over) && over.flags & GIL_UNSURE,
	   "more CPU time than losing takes: probably");
}

static void guarded(void)
{
	struct gil_look l;
	struct gil_past over;
	struct gil_wait w = waits_beside_others(&l);

	w.guarded = w.since;
	l.cpu += 100000;
	ok(!see(&w, l, &over) && !w.doubts, "a guard that saw nothing: no doubt");
	l.now = 33 * MS;
	l.where = GIL_TOUCHES;
	l.cpu += 3 * MS; /* the scheduler has not counted all of it yet: no matter */
	ok(see(&w, l, &over) && !w.since, "the guard sees it take the GIL: over");
	is_int(over.end, 33 * MS, "just then");
	is_int(over.flags, 0, "without a doubt");
	w = waits_beside_others(&l);
	l.where = GIL_EXITS;
	ok(see(&w, l, &over) && over.flags & GIL_LEFT, "a thread that ends is said to have left");
}

static struct gil_look stops(uint64_t us, uint64_t cpu_us)
{
	struct gil_look l = look(us * 1000, GIL_STOPS, 0);

	l.words.interval = 1000;
	l.cpu = cpu_us * 1000;
	return l;
}

static void world(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;
	uint64_t us, n = 0;
	int ended = 0;

	for (us = 5000; us < 105000; us += 1050, n++)
		ended += see(&w, stops(us, n * 30), &over);
	is_int(ended, 0, "who waits for the world to stop sleeps again and again");
	is_int(w.since, 5 * MS, "which is one wait");
	ok(!see(&w, stops(us, n * 30 + 2000), &over),
	   "once the machine took some of the CPU: it goes on");
	ok(see(&w, stops(us + 400, n * 30 + 2030), &over) && !over.flags,
	   "woken before its time: the world has stopped");
	w = (struct gil_wait){ 0 };
	for (us = 5000, n = 0; us < 105000; us += 2000, n++)
		ended += see(&w, stops(us, n * 900), &over);
	ok(ended > 20, "who collects in between waits anew each time");
}

/* Waits for MS_EACH at a time, up to TO; switch_number moves by one every MOVES waits. */
static void waits_of(struct gil_wait *w, uint64_t to, double ms_each, int moves)
{
	struct gil_past over;
	uint64_t switches = 7;
	int n = 0;

	*w = (struct gil_wait){ 0 };
	for (double ms = 5; ms < (double)to; ms += ms_each) {
		see(w, look((uint64_t)(ms * MS), GIL_WAITS, switches), &over);
		if (moves && ++n % moves == 0)
			switches++;
	}
}

static void kinds(void)
{
	struct gil_wait w;

	waits_of(&w, 205, 5.05, 0);
	is_int(gil_kind(&w, 205 * MS), GIL_HELD, "each wait ran its time: one does not let go");
	waits_of(&w, 205, 4.5, 0);
	is_int(gil_kind(&w, 205 * MS), GIL_RETAKEN,
	       "woken and lost: one lets go and takes it again");
	ok(w.drops > 30, "which is counted");
	waits_of(&w, 205, 5.05, 1);
	is_int(gil_kind(&w, 205 * MS), GIL_QUEUE, "it goes from one to the next: a queue");
	waits_of(&w, 205, 5.05, 30);
	is_int(gil_kind(&w, 205 * MS), GIL_HELD, "once in the middle: who has it now holds it");
	waits_of(&w, 55, 5.05, 1);
	is_int(gil_kind(&w, 500 * MS), GIL_HELD, "a queue, and then one that does not let go");
}

static void unreadable(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;
	struct gil_look l = look(20 * MS, GIL_WAITS, 0);

	wait_for_ms(&w, 5, 20, 7);
	l.known = 0;
	ok(see(&w, l, &over) && (over.flags & GIL_UNSURE), "a GIL that cannot be read ends it");
	is_int(w.since, 0, "and begins nothing");
	wait_for_ms(&w, 25, 30, 7);
	l.where = GIL_PREEMPTED;
	ok(see(&w, l, &over) && (over.flags & GIL_UNSURE), "also of a thread that is preempted");
}

static void preempted(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;
	struct gil_look l;

	wait_for_ms(&w, 5, 50, 7);
	l = look(50 * MS, GIL_PREEMPTED, 7);
	l.cpu = MS;
	ok(!see(&w, l, &over), "preempted without the GIL: it goes on waiting");
	l = look(60 * MS, GIL_PREEMPTED, 8);
	l.cpu = 4 * MS;
	l.mine = 1;
	ok(see(&w, l, &over), "preempted with it: the wait is over");
	is_int(over.end, 57 * MS, "since it was switched in the last time");
	is_int(w.since, 0, "it has it and does not wait");
}

static void dropped(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;

	ok(!see(&w, look(5 * MS, GIL_DROPPED, 7), &over) && w.since == 5 * MS,
	   "who was made to let go waits from then on");
	ok(!see(&w, look(6 * MS, GIL_WAITS, 8), &over), "then for the GIL");
	is_int(w.since, 5 * MS, "which is one wait");
	ok(!see(&w, look(8 * MS, GIL_MUTEX, 20), &over), "a mutex alone proves nothing");
	ok(see(&w, look(9 * MS, GIL_WAITS, 20), &over), "the next wait does");
	ok(see(&w, look(12 * MS, GIL_DROPPED, 21), &over) && !(over.flags & GIL_UNSURE),
	   "who lets go has had it");
	is_int(w.since, 12 * MS, "and wants it back");
	ok(see(&w, look(13 * MS, GIL_EXITS, 21), &over) && !w.since,
	   "a thread that ends waits no more");
}

/* It got the GIL and was made to let go, and waits for the mutex with which it does. */
static void letting_go(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;
	struct gil_look l;

	wait_for_ms(&w, 5, 50, 7);
	l = look(60 * MS, GIL_MUTEX, 8);
	l.cpu = 5 * MS;
	l.mine = 1;
	ok(see(&w, l, &over) && !w.since, "at the mutex as the last holder: the wait is over");
	is_int(over.end, 55 * MS, "since before it used the GIL");
}

static void clocks(void)
{
	struct gil_wait w = { 0 };
	struct gil_past over;
	struct gil_look l;

	wait_for_ms(&w, 50, 55, 7);
	l = look(60 * MS, GIL_ELSEWHERE, 7);
	l.cpu = 1000 * MS;
	see(&w, l, &over);
	is_int(over.end, 50 * MS, "no more CPU time than there was: never before the start");
	wait_for_ms(&w, 50, 55, 7);
	l = look(60 * MS, GIL_ELSEWHERE, 7);
	l.cpu = 0;
	w.cpu = MS;
	see(&w, l, &over);
	is_int(over.end, 60 * MS, "nor after now");
}

static void left(void)
{
	struct gil_wait w = { 0 };
	struct gil_past one = { .since = 1, .end = 2, .flags = GIL_LONG }, two = { .since = 3 };

	ok(gil_leave(&w, &one), "what is over is left to the timer");
	ok(w.past.since == 1 && w.past.end == 2 && w.past.flags == GIL_LONG, "all of it");
	ok(!gil_leave(&w, &two) && w.past.since == 1,
	   "the next is not, while the first lies there");
	w.past.since = 0;
	ok(gil_leave(&w, &two) && w.past.since == 3, "but when it was taken");
}

static void waited(void)
{
	is_int(gil_waited(100, 350, 0), 250, "how long it waited");
	is_int(gil_waited(100, 350, 200), 50, "less the time in which it could not run");
	is_int(gil_waited(100, 350, 300), 0, "never less than nothing");
}

int main(void)
{
	plan(67);
	hog();
	steps();
	doubts();
	guarded();
	kinds();
	world();
	unreadable();
	preempted();
	dropped();
	letting_go();
	clocks();
	left();
	waited();
	return done();
}
