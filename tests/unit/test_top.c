// SPDX-License-Identifier: MIT OR Apache-2.0
/* The counters of top by an injected clock, and the page of what they come to. */
#include "top_json.h"
#include "top_view.h"

#include "tap.h"

#define MS 1000000ULL

static struct top_look look(uint64_t now, uint64_t cpu, uint64_t switches, uint32_t flags)
{
	return (struct top_look){
		.now = now * MS, .cpu = cpu * MS, .switches = switches, .flags = flags
	};
}

/* What the second of two looks, at 100 ms and 110 ms (3 ms of CPU time later), adds. */
static uint64_t held(uint32_t before, uint32_t now, uint64_t moved)
{
	struct top_look a = look(100, 50, 7, before), b = look(110, 53, 7 + moved, now);
	struct top_gil g = { 0 };

	top_observe(&g, &a);
	top_observe(&g, &b);
	return g.held_ns / 1000;
}

static void gil(void)
{
	const uint32_t has = TOP_HOLDS | TOP_LAST, off = TOP_LEAVES, sleeps = off | TOP_SLEEPS;
	const uint32_t waits = sleeps | TOP_QUEUES;

	is_int(held(has, has, 0), 10000, "held from look to look");
	is_int(held(has | sleeps, has | sleeps, 0), 10000, "also while it slept");
	is_int(held(has | off, has, 2), 3000, "it went and came back: since it was switched in");
	is_int(held(waits, has, 1), 3000, "it waited, and has it");
	is_int(held(has, sleeps | TOP_LAST, 0), 10000, "it lets go when it sleeps");
	is_int(held(has, 0, 0), 5000, "it let go between two ticks");
	is_int(held(0, has, 1), 5000, "it took it between two ticks");
	is_int(held(waits, waits, 5), 0, "a turn lost is nothing");
	is_int(held(waits, sleeps, 2), 3000, "it had it between a wait and a sleep");
	is_int(held(sleeps, sleeps | TOP_LAST, 0), 3000, "between two sleeps, alone");
	is_int(held(sleeps, sleeps, 2), 3000, "and where others came after it");
	is_int(held(sleeps, sleeps, 0), 0, "but not if nobody took it");
	is_int(held(0, 0, 9), 0, "nor who computes without it");
}

static void steps(void)
{
	struct top_loop l = { 0 };
	bool inside = true;

	for (uint64_t ns = 1000; ns < 100000 * MS; ns += ns / 7)
		inside &= ns < top_bucket_end(top_bucket(ns)) &&
			  top_bucket_end(top_bucket(ns)) <= ns + ns / 4 + 250;
	ok(inside, "a length lies in its bucket, which is a quarter wide at most");
	is_int(top_bucket(0), 0, "no length");
	is_int(top_bucket(~0ULL), TOP_BUCKETS - 1, "nor any is out of range");
	is_int(top_quantile(&l, 99), 0, "without steps there is no quantile");
	top_note_moved(&l, 200, 0, 100 * MS);
	is_int(l.worst_ns, MS, "steps between two looks share the time");
	top_note_moved(&l, 2, 300 * MS, MS);
	is_int(l.moved, 202, "two moves for a step");
	is_int(l.worst_ns, 300 * MS, "one that was seen has its own");
	ok(top_quantile(&l, 99) >= MS && top_quantile(&l, 99) <= MS + MS / 4,
	   "one of 101 is not the p99");
	is_int(top_quantile(&l, 100), 300 * MS, "but the worst");
}

static struct top_view view;

static void add(pid_t tid, uint64_t held_ms, uint64_t waited_ms, uint64_t waits)
{
	struct source_counts c = {
		.tid = tid,
		.held_ns = held_ms * MS,
		.waited_ns = waited_ms * MS,
		.worst_wait_ns = waited_ms * MS,
		.waits = waits,
	};

	top_view__add(&view, 1234, &c);
}

static void refreshes(void)
{
	top_view__begin(&view);
	add(1, 500, 0, 1);
	add(2, 100, 700, 2);
	add(3, 0, 0, 0);
	top_view__end(&view);
	top_view__begin(&view);
	add(1, 499, 0, 1);
	add(2, 900, 710, 3);
	top_view__end(&view);
	is_int(view.nrows, 2, "who has ended is forgotten");
	is_int(view.row[0].now.tid, 2, "who held it for longest is first");
	is_int(view.row[0].change.held_ns, 800 * MS, "what is new");
	is_int(view.row[0].change.waits, 1, "also of waits");
	is_int(view.row[1].change.held_ns, 0,
	       "what was taken for more a while ago is nothing less");
}

static void page(void)
{
	struct top_row *r = top_view__find(&view, 1234, 2);
	struct strbuf out = STRBUF_INIT;

	view.nprocs = 1;
	view.span_ns = 1000 * MS;
	snprintf(r->name, sizeof(r->name), "hog");
	snprintf(r->at, sizeof(r->at), "keep_the_gil:93");
	r->now.loop.moved = 4;
	r->change.steps = 2;
	top_note_steps(&r->now.loop, 300 * MS, 2);
	for (int i = 0; i < TOP_MAX_STALLS + 2; i++)
		top_view__stall(&view, i % 2 ? "1234-1" : "1234-2", i % 2 ? "odd" : "even");
	top_view__page(&view, 24, 80, &out);
	is_str(strchr(strbuf_str(&out), '\n') + 1,
	       "    PID     TID THREAD             HELD  WAITED  WAITS    WORST IN\n"
	       "   1234       2 hog               80.0%    1.0%      1  710.0ms keep_the_gil:93\n"
	       "   1234       1                    0.0%    0.0%      0    0.0ms \n"
	       "    PID     TID LOOP               STEPS      P99    WORST IN\n"
	       "   1234       2 hog                     2  300.0ms  300.0ms keep_the_gil:93\n"
	       "STALLS\nodd\neven\n",
	       "a page");
	strbuf_reset(&out);
	top_view__page(&view, 3, 80, &out);
	is_int(strlen(strrchr(strbuf_str(&out), 'k')), strlen("keep_the_gil:93\n"),
	       "is cut where the terminal ends");
	strbuf_free(&out);
}

/* A JSON string, and a terminal, take no half of a character. */
static void long_names(void)
{
	struct top_view v = { .nprocs = 1, .span_ns = MS, .nrows = 1 };
	struct top_row *r = &v.row[0];
	struct strbuf out = STRBUF_INIT;
	json_t *stalls = json_array();
	char name[200];

	memset(name, 'x', 2);
	for (size_t i = 1; i < sizeof(name) - 1; i += 2)
		memcpy(name + i, "\xc3\xa4", 2);
	name[sizeof(name) - 1] = '\0';
	top_row__describe(r, name, name, 1234567);
	is_int(strlen(r->name), 47, "of a name what fits");
	top_row__describe(r, name + 1, name + 1, 1234567);
	is_int(strlen(r->name), 46, "but no half of a character");
	is_str(strchr(r->at, ':'), ":1234567", "nor half of a line number");
	top_json__add(&out, &v, stalls);
	ok(strbuf_str(&out), "all of it can be told as JSON");
	strbuf_reset(&out);
	top_view__page(&v, 24, 80, &out);
	ok(strstr(strbuf_str(&out), "\xc3\xa4  "), "and stands whole in its column");
	top_row__describe(r, "worker", NULL, 0);
	is_str(r->at, "", "a thread without frames is nowhere");
	json_decref(stalls);
	strbuf_free(&out);
}

int main(void)
{
	plan(13 + 9 + 5 + 2 + 6);
	gil();
	steps();
	refreshes();
	page();
	long_names();
	return done();
}
