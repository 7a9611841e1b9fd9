// SPDX-License-Identifier: MIT OR Apache-2.0
/* What all stalls came to. */
#include "stall/summary.h"

#include <stdio.h>

#include "stall/report.h"
#include "tap.h"

#define MS 1000000ULL
#define HOUR (3600000 * MS)

static bool within(uint64_t got, uint64_t want, unsigned int percent)
{
	uint64_t slack = want * percent / 100, off = got > want ? got - want : want - got;

	if (off > slack)
		diag("%llu, want %llu", (unsigned long long)got, (unsigned long long)want);
	return off <= slack;
}

static void sums(void)
{
	struct summary *s = summary__new();
	struct report_summary r = { 0 };

	summary__report(s, &r);
	ok(!r.ntrackers && !r.stalls, "nothing of nothing");
	for (int i = 1; i <= 1000; i++)
		summary__add(s, "slot", "db", (uint64_t)i * MS);
	summary__add(s, "gil", "db", 2 * HOUR);
	summary__untold(s, "slot", "db", SUMMARY_RATE);
	summary__untold(s, "slot", "known", SUMMARY_ALLOWED);
	summary__open(s, "slot", "db", 3000 * MS);
	summary__report(s, &r);
	is_int(r.ntrackers, 3, "by source and name");
	is_int(r.stalls, 1002, "all of them, open ones too");
	is_str(r.tracker_list[0].source, "gil", "the one with the most time first");
	is_int(r.tracker_list[0].worst_ns, 2 * HOUR, "worst and");
	is_int(r.tracker_list[0].p50_ns, 2 * HOUR, "quantiles of one are the one");
	is_int(r.tracker_list[1].cnt, 1001, "count");
	is_int(r.tracker_list[1].open, 1, "of which open");
	is_int(r.tracker_list[1].total_ns, (500500 + 3000) * MS, "total");
	is_int(r.tracker_list[1].worst_ns, 3000 * MS, "the worst may be open");
	ok(within(r.tracker_list[1].p50_ns, 500 * MS, 4), "p50");
	ok(within(r.tracker_list[1].p99_ns, 990 * MS, 4), "p99");
	is_int(r.tracker_list[1].untold, 1, "what was not told because of the rate");
	ok(!r.tracker_list[2].cnt && r.tracker_list[2].allowed == 1, "and because it is known");
	summary__report(s, &r);
	is_int(r.tracker_list[1].cnt, 1000, "what was open is said anew each time");
	summary__free(s);
}

static void extremes(void)
{
	static const uint64_t ns[] = {
		0, 1, MS, 3 * MS / 2, HOUR, 39 * HOUR, 1ULL << 47, 1ULL << 62
	};
	int held = 0;

	for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
		struct summary *s = summary__new();
		struct report_summary r = { 0 };

		summary__add(s, "slot", "x", ns[i]);
		summary__add(s, "slot", "x", ns[i]);
		summary__report(s, &r);
		held += r.tracker_list[0].p50_ns == ns[i] && r.tracker_list[0].p99_ns == ns[i];
		summary__free(s);
	}
	is_int(held, sizeof(ns) / sizeof(ns[0]), "no time and all time have their places");
}

static void many(void)
{
	struct summary *s = summary__new();
	struct report_summary r = { 0 };
	char name[16];

	for (int i = 0; i < 2 * SUMMARY_MAX_TRACKERS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		summary__add(s, "slot", name, MS);
	}
	summary__report(s, &r);
	is_int(r.ntrackers, SUMMARY_MAX_TRACKERS + 1, "trackers have a ceiling");
	is_int(r.stalls, 2 * SUMMARY_MAX_TRACKERS, "no stall is lost by it");
	is_str(r.tracker_list[0].name, SUMMARY_OTHERS, "what comes after is together");
	is_int(r.tracker_list[0].cnt, SUMMARY_MAX_TRACKERS, "all of it");
	summary__free(s);
	summary__free(NULL);
}

int main(void)
{
	plan(20);
	sums();
	extremes();
	many();
	return done();
}
