// SPDX-License-Identifier: MIT OR Apache-2.0
/* The state machine with an injected clock: what it says, when it wants to be asked again. */
#include "bpf/stall_state.h"

#include "tap.h"

#define T 200 /* threshold */
#define NEVER (~0ULL)

static struct stall_pause pause;
static struct stall_slot slot;
static uint64_t clock_floor;
static __u64 was, deadline;

static void reset(void)
{
	pause = (struct stall_pause){ 0 };
	slot = (struct stall_slot){ 0 };
	clock_floor = 0;
}

static enum stall_verdict judge(uint64_t word, uint64_t now)
{
	struct stall_now n = { .now = now, .threshold = T, .floor = clock_floor, .pause = &pause };

	deadline = NEVER;
	return stall_judge(&slot, word, &n, &was, &deadline);
}

/* One result: the verdict and the section it is about. */
static void says(uint64_t word, uint64_t now, enum stall_verdict want, uint64_t section,
		 const char *name)
{
	enum stall_verdict got = judge(word, now);

	if (!ok(got == want && was == section, "%s", name))
		diag("verdict %d about %llu, want %d about %llu", got, (unsigned long long)was,
		     want, (unsigned long long)section);
}

static void wants(uint64_t when, const char *name)
{
	if (!ok(deadline == when, "%s", name))
		diag("deadline %llu, want %llu", (unsigned long long)deadline,
		     (unsigned long long)when);
}

static void test_life(void)
{
	reset();
	says(0, 100, STALL_NONE, 0, "life: a slot that was never used");
	wants(NEVER, "life: has no deadline");
	says(1001, 1010, STALL_NONE, 0, "life: a section that is young");
	wants(1001 + T, "life: is due at its start and the threshold");
	says(1001, 1200, STALL_NONE, 0, "life: a nanosecond before");
	says(1001, 1201, STALL_RAISE, 1001, "life: at the threshold");
	says(1001, 5000, STALL_NONE, 0, "life: is told once");
	wants(NEVER, "life: and what was told has no deadline");
	says(6000, 6100, STALL_ENDED, 1001, "life: its end");
	says(6000, 6100, STALL_NONE, 0, "life: is told once, too");
	says(6001, 6300, STALL_RAISE, 6001, "life: the next section is another one");
	says(6501, 6510, STALL_ENDED, 6001, "life: ended, and the slot is active again");
	says(6501, 6510, STALL_NONE, 0, "life: which is young");
	wants(6501 + T, "life: and has its deadline");
}

static void test_deadline(void)
{
	struct stall_now n = { .now = 1000, .threshold = T, .pause = &pause };

	reset();
	deadline = 1100;
	stall_judge(&slot, 951, &n, &was, &deadline);
	wants(1100, "deadline: an earlier one stands");
	reset();
	deadline = 1200;
	stall_judge(&slot, 951, &n, &was, &deadline);
	wants(951 + T, "deadline: a later one gives way");
}

static void test_short_sections(void)
{
	int verdicts = 0;

	reset();
	for (uint64_t at = 1000; at < 100000; at += 150) {
		verdicts += judge(at | 1, at + 140) != STALL_NONE;
		verdicts += judge((at + 145) & ~1ULL, at + 147) != STALL_NONE;
	}
	is_int(verdicts, 0, "short: sections below the threshold, judged at every change");
	reset();
	for (uint64_t at = 1000; at < 100000; at += 50)
		verdicts += judge(at | 1, at + 10) != STALL_NONE;
	is_int(verdicts, 0, "short: back to back, the idle words never seen");
}

static void test_over(void)
{
	reset();
	judge(1001, 1010);
	says(1300, 1310, STALL_OVER, 1001, "over: nobody judged in time");
	says(1300, 1320, STALL_NONE, 0, "over: said once");
	reset();
	judge(1001, 1010);
	says(1150, 2000, STALL_NONE, 0, "over: its idle word says that it was short");
	reset();
	judge(1001, 1010);
	says(1900 + 1, 1905, STALL_OVER, 1001, "over: another section has begun meanwhile");
	says(1901, 1905, STALL_NONE, 0, "over: which is then judged for itself");
	wants(1901 + T, "over: with its own deadline");
	reset();
	judge(1001, 1010);
	says(1201, 1210, STALL_OVER, 1001, "over: the bound is the threshold");
	reset();
	judge(1001, 1010);
	says(1200, 1210, STALL_NONE, 0, "over: not a nanosecond less");
}

static void test_seen_late(void)
{
	reset();
	says(1001, 9000, STALL_RAISE, 1001, "late: open for long when it is first seen");
	reset();
	clock_floor = 8000;
	says(1001, 8100, STALL_NONE, 0, "late: no section is older than its process");
	wants(8000 + T, "late: which is where it begins then");
	says(1001, 8000 + T, STALL_RAISE, 1001, "late: and it is told with its own word");
}

static void test_hostile(void)
{
	reset();
	says(~0ULL, 1000, STALL_NONE, 0, "hostile: a word from the end of time");
	wants(1000 + T, "hostile: is looked at again");
	says(~0ULL, 5000000, STALL_NONE, 0, "hostile: and never is a stall");
	reset();
	says(1000001, 1000, STALL_NONE, 0, "hostile: a word from the future");
	says(1000001, 1000001 + T, STALL_RAISE, 1000001, "hostile: is judged when its time comes");
	reset();
	judge(5001, 5010);
	says(1000, 5020, STALL_NONE, 0, "hostile: a word that goes back");
	says(1, 5030, STALL_RAISE, 1, "hostile: to the beginning");
	says(3, 5040, STALL_ENDED, 1, "hostile: each word is a section");
	for (uint64_t w = 1, n = 0; n < 1000; n++, w = w * 6364136223846793005ULL + 1)
		judge(w, 10000 + n);
	judge(20001, 20010);
	judge(20001, 20010);
	says(20001, 20001 + T, STALL_RAISE, 20001, "hostile: after random words all is as before");
}

static void test_pause(void)
{
	reset();
	judge(1001, 1010);
	stall_pause_begin(&pause, 1101);
	stall_pause_begin(&pause, 1150);
	is_int((int)pause.since, 1101, "pause: begins once");
	says(1001, 9000, STALL_NONE, 0, "pause: nothing is told meanwhile");
	wants(NEVER, "pause: and nothing is due");
	stall_pause_end(&pause, 9101);
	stall_pause_end(&pause, 9500);
	is_int((int)pause.total, 8000, "pause: its length is counted once");
	says(1001, 9110, STALL_NONE, 0, "pause: nor right after it");
	wants(1001 + 8000 + T, "pause: the deadline has moved by its length");
	says(1001, 9200, STALL_NONE, 0, "pause: a nanosecond before");
	says(1001, 9201, STALL_RAISE, 1001, "pause: time that it could run is what counts");
	says(9300, 9310, STALL_ENDED, 1001, "pause: and its end");
	says(9401, 9410, STALL_NONE, 0, "pause: a section after the pause");
	wants(9401 + T, "pause: owes it nothing");
}

static void test_pauses_add_up(void)
{
	reset();
	judge(1001, 1010);
	for (uint64_t at = 1050; at < 1500; at += 100) { /* 5 pauses of 90, 10 between them */
		stall_pause_begin(&pause, at);
		stall_pause_end(&pause, at + 90);
	}
	is_int((int)pause.total, 450, "pauses: add up");
	says(1001, 1600, STALL_NONE, 0, "pauses: 149 of 599 were its own");
	wants(1001 + 450 + T, "pauses: the deadline has moved by all of them");
	says(1001, 1651, STALL_RAISE, 1001, "pauses: told then");
}

static void test_over_and_pause(void)
{
	reset();
	judge(1001, 1010);
	stall_pause_begin(&pause, 1050);
	stall_pause_end(&pause, 5050);
	says(5100, 5110, STALL_NONE, 0, "over: a pause does not make a section long");
	reset();
	judge(1001, 1010);
	stall_pause_begin(&pause, 1050);
	stall_pause_end(&pause, 5050);
	says(5300, 5310, STALL_OVER, 1001, "over: but its own time does");
}

static void test_first_seen_after_pause(void)
{
	reset();
	stall_pause_begin(&pause, 2000);
	stall_pause_end(&pause, 9000);
	says(1901, 9010, STALL_NONE, 0, "first seen after a pause: it began before");
	wants(1901 + 7000 + T, "first seen after a pause: and contains it");
	reset();
	stall_pause_begin(&pause, 2000);
	stall_pause_end(&pause, 9000);
	says(8991, 9010, STALL_NONE, 0, "first seen after a pause: it began inside");
	wants(8991 + 9 + T, "first seen after a pause: only the rest counts");
	reset();
	stall_pause_begin(&pause, 2000);
	stall_pause_end(&pause, 9000);
	says(9001, 9010, STALL_NONE, 0, "first seen after a pause: it began later");
	wants(9001 + T, "first seen after a pause: nothing counts");
	reset();
	stall_pause_begin(&pause, 500);
	says(401, 5000, STALL_NONE, 0, "first seen in a pause: nothing is told");
	stall_pause_end(&pause, 6000);
	says(401, 6010, STALL_NONE, 0, "first seen in a pause: nor after it");
	wants(401 + 5500 + T, "first seen in a pause: its own time counts");
}

static void test_pause_clock(void)
{
	reset();
	stall_pause_begin(&pause, 1000);
	stall_pause_end(&pause, 900);
	is_int((int)pause.total, 0, "pause: a clock of another CPU that lags adds nothing");
	is_int((int)pause.since, 0, "pause: and ends it");
	stall_pause_end(&pause, 2000);
	is_int((int)pause.total, 0, "pause: an end without a beginning is nothing");
}

static void test_told_through_pause(void)
{
	reset();
	says(1001, 1300, STALL_RAISE, 1001, "told: before the pause");
	stall_pause_begin(&pause, 1400);
	says(1001, 5000, STALL_NONE, 0, "told: nothing more in it");
	stall_pause_end(&pause, 6000);
	says(1001, 9000, STALL_NONE, 0, "told: nor again after it");
	stall_pause_begin(&pause, 9100);
	says(9050, 9200, STALL_ENDED, 1001, "told: an end is told also in a pause");
}

static void test_counter(void)
{
	struct stall_counter c = { 0 };
	uint64_t word;

	is_int((int)stall_counter_word(&c, 0, 1000), 1000, "counter: idle since it was first seen");
	is_int((int)stall_counter_word(&c, 0, 2000), 1000, "counter: as long as it stands");
	word = stall_counter_word(&c, 1, 3000);
	is_int((int)word, 3001, "counter: odd is active since it was first seen so");
	is_int((int)stall_counter_word(&c, 1, 9000), 3001, "counter: as long as it stands");
	is_int((int)stall_counter_word(&c, 3, 9500), 9501,
	       "counter: another odd value is another section");
	is_int((int)stall_counter_word(&c, 4, 9601), 9600, "counter: even is idle");
	is_int((int)stall_counter_word(&c, 1, 9701), 9701,
	       "counter: one that wraps or goes back is a change");
	reset();
	c = (struct stall_counter){ 0 };
	says(stall_counter_word(&c, 7, 1000), 1000, STALL_NONE, 0,
	     "counter: odd at attach is young");
	says(stall_counter_word(&c, 7, 1201), 1201, STALL_RAISE, 1001,
	     "counter: and is told in time");
	says(stall_counter_word(&c, 8, 1300), 1300, STALL_ENDED, 1001, "counter: and ends");
}

/*
 * A random life with a known truth: a section of every length, judged at the deadlines that the
 * machine asks for and at random times besides. Each section of the threshold is told exactly once,
 * none that is shorter.
 */
static void test_random_life(void)
{
	uint64_t now = 1000000, seed = 88172645463325252ULL, due = NEVER;
	int bad = 0, long_ones = 0, raised = 0, ended = 0;

	reset();
	for (int i = 0; i < 20000; i++) {
		uint64_t len, start = now | 1, end, next;
		int told = 0;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		len = seed % (2 * T);
		end = (start + len + 1) & ~1ULL;
		for (now = start; now < end; now = next) {
			enum stall_verdict v = judge(start, now);

			if (v == STALL_ENDED) {
				ended++;
				v = judge(start, now);
			}
			told += v == STALL_RAISE;
			bad += v == STALL_OVER;
			due = deadline;
			next = now + 1 + seed % 97;
			if (due > now && due < next)
				next = due;
		}
		now = end;
		if (judge(end, now) == STALL_ENDED)
			ended++;
		long_ones += end - 1 - start >= T;
		raised += told;
		bad += told != (end - 1 - start >= T);
		now += 1 + seed % 50;
	}
	is_int(bad, 0, "random: told if and only if it lasts, %d of 20000 sections", long_ones);
	is_int(ended, raised, "random: as many ends as stalls");
}

int main(void)
{
	plan(84);
	test_life();
	test_deadline();
	test_short_sections();
	test_over();
	test_seen_late();
	test_hostile();
	test_pause();
	test_pauses_add_up();
	test_over_and_pause();
	test_first_seen_after_pause();
	test_pause_clock();
	test_told_through_pause();
	test_counter();
	test_random_life();
	return done();
}
