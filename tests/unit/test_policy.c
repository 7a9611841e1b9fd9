// SPDX-License-Identifier: MIT OR Apache-2.0
/* The life of stalls, by an injected clock. */
#include "stall/policy.h"

#include <errno.h>

#include "tap.h"

#define SEC 1000000000ULL
#define LIMIT 200 /* ns, of these tests */

static const struct policy_opts opts = { .suppress_ns = 30 * SEC };

static struct stall_key key(uint32_t proc, uint32_t slot, uint64_t word)
{
	return (struct stall_key){
		.proc = proc, .page = 0x7f0000000000, .slot = slot, .word = word
	};
}

static void one_life(void)
{
	struct policy *p = policy__new(&opts);
	struct stall_key k = key(0, 1, 1001), later = key(0, 1, 2001);
	struct stall *s = policy__open(p, &k, 42, "db", 1001, 1201, LIMIT), *t;
	char first[32];

	is_str(s->id, "42-1", "the id has the pid and a number");
	is_str(s->name, "db", "it keeps the name of the tracker");
	snprintf(first, sizeof(first), "%s", s->id);
	errno = 0;
	ok(!policy__open(p, &k, 42, "db", 1001, 1301, LIMIT) && errno == EEXIST,
	   "the same section is not opened twice");
	ok(policy__find(p, &k) == s, "it is found by its section");
	ok(!policy__find(p, &later), "another section of the slot is another stall");
	t = policy__open(p, &later, 42, "db", 2001, 2201, LIMIT);
	ok(strcmp(t->id, first) != 0, "and has another id");
	policy__close(p, s);
	ok(!policy__find(p, &k) && policy__find(p, &later) == t, "closing one leaves the other");
	is_int(policy__counts(p).detected, 2, "two were detected");
	is_int(policy__counts(p).ended, 1, "one has ended");
	is_int(policy__counts(p).open, 1, "one is open");
	policy__free(p);
}

static void many(void)
{
	struct policy *p = policy__new(&opts);
	struct stall_key k;
	struct stall *s;
	int n = 0;

	for (uint32_t i = 0; i < POLICY_MAX_OPEN; i++) {
		k = key(i % 2, i, 1);
		n += policy__open(p, &k, 7, "x", 1, 2, LIMIT) != NULL;
	}
	is_int(n, POLICY_MAX_OPEN, "all up to the ceiling are opened");
	k = key(3, 0, 1);
	errno = 0;
	ok(!policy__open(p, &k, 7, "x", 1, 2, LIMIT) && errno == ENOSPC, "one more is not");
	is_int(policy__counts(p).overflow, 1, "and is counted");
	for (n = 0; (s = policy__find_proc(p, 1)); n++)
		policy__close(p, s);
	is_int(n, POLICY_MAX_OPEN / 2, "all of one process can be ended");
	ok(policy__find_proc(p, 0) != NULL, "those of the other stay");
	policy__free(p);
	policy__free(NULL);
}

/* Each time another stall. */
static bool takes(struct policy *p, pid_t pid, const char *name, uint64_t now, uint64_t *n)
{
	static uint64_t word = 1;
	struct stall_key k = key(0, 1, word += 2);

	return policy__take_stacks(p, policy__open(p, &k, pid, name, 1, 2, LIMIT), now, n);
}

static void rate(void)
{
	struct policy *p = policy__new(&opts);
	uint64_t n = 9;

	ok(takes(p, 42, "one", 100 * SEC, &n) && n == 0, "the first record has stacks");
	ok(!takes(p, 42, "one", 129 * SEC, &n) && n == 1, "29 s later it has none");
	ok(!takes(p, 42, "one", 129 * SEC, &n) && n == 2, "which is counted");
	ok(takes(p, 42, "two", 129 * SEC, &n), "another tracker has a budget of its own");
	ok(takes(p, 43, "one", 129 * SEC, &n), "and so has another process");
	ok(takes(p, 42, "one", 130 * SEC, &n) && n == 2,
	   "after 30 s there are stacks again, and the count is said");
	ok(!takes(p, 42, "one", 131 * SEC, &n) && n == 1, "the count begins anew");
	is_int(policy__counts(p).suppressed, 3, "all of them are counted");
	policy__free(p);
}

static void no_rate(void)
{
	static const struct policy_opts none = { .suppress_ns = 0 };
	struct policy *p = policy__new(&none);
	struct stall_key k = key(0, 1, 1);
	struct stall *s = policy__open(p, &k, 42, "one", 1, 2, LIMIT);
	uint64_t n;

	ok(policy__take_stacks(p, s, 5, &n) && policy__take_stacks(p, s, 5, &n),
	   "without a limit every record has stacks");
	ok(policy__set_thread(s, 17, "worker") == 0 && s->tid == 17, "the thread is kept");
	is_str(s->thread, "worker", "with its name");
	policy__free(p);
}

/* A stall of 200 ns that began at 1000: due at 1400, 1800, 2600 ... */
static void schedule(void)
{
	struct policy *p = policy__new(&opts);
	struct stall_key k = key(0, 1, 1000), later = key(0, 2, 1000);
	struct stall *s = NULL, *late;

	is_int(policy__next(p), 0, "nothing is due while nothing is open");
	s = policy__open(p, &k, 42, "one", 1000, 1200, LIMIT);
	is_int(policy__next(p), 1400, "a stall continues at twice its threshold");
	ok(!policy__due(p, 1399) && policy__due(p, 1400) == s, "not before");
	stall__advance(s, 1401);
	is_int(policy__next(p), 1800, "then at four times");
	stall__advance(s, 2700);
	is_int(policy__next(p), 1000 + 16 * LIMIT, "who looks late says it once");
	late = policy__open(p, &later, 42, "two", 1000, 1000 + 50 * LIMIT, LIMIT);
	is_int(late->next_ns, 1000 + 64 * LIMIT, "so does who detects late");
	is_int(policy__next(p), 1000 + 16 * LIMIT, "the first of several counts");
	ok(stall__stopped(s, 500) && !stall__stopped(s, 500), "a stop is news once");
	is_int(s->next_ns, 1500 + 16 * LIMIT, "and puts off what is due");
	stall__advance(s, s->next_ns);
	is_int(s->next_ns, 1500 + 32 * LIMIT, "for good");
	stall__postpone(s, 9000);
	is_int(s->next_ns, 9000, "what cannot be said now comes later");
	stall__postpone(s, 8000);
	is_int(s->next_ns, 9000, "never earlier");
	policy__close(p, s);
	policy__close(p, late);
	is_int(policy__next(p), 0, "nothing is due when all have ended");
	s = policy__open(p, &k, 42, "one", 1000, 1ULL << 62, 1ULL << 60);
	ok(s->next_ns > 1ULL << 60, "no threshold and no age makes it turn for ever");
	policy__free(p);
}

static void goes_on_with_stacks(void)
{
	struct policy *p = policy__new(&opts);
	struct stall_key a = key(0, 1, 1), b = key(0, 2, 1);
	struct stall *s = policy__open(p, &a, 42, "one", 1, 2, LIMIT);
	struct stall *limited = policy__open(p, &b, 42, "one", 1, 2, LIMIT);
	uint64_t n;

	ok(policy__take_stacks(p, s, 100 * SEC, &n), "a stall whose record had stacks");
	ok(policy__take_stacks(p, s, 101 * SEC, &n) && !n, "has them when it continues");
	ok(!policy__take_stacks(p, limited, 101 * SEC, &n) && n == 1, "another of the tracker not");
	ok(policy__take_stacks(p, limited, 131 * SEC, &n) && n == 1, "until its time has come");
	policy__free(p);
}

static bool tells(struct policy *p, pid_t pid, const char *name, uint64_t now, uint64_t *untold)
{
	static uint64_t word = 1;
	struct stall_key k = key(0, 9, word += 2);
	struct stall *s = policy__open(p, &k, pid, name, 1, 2, LIMIT);
	bool may = policy__may_tell(p, s, now);

	*untold = may ? policy__tell(p, s, now) : 0;
	policy__close(p, s);
	return may;
}

static void few_at_once(void)
{
	struct policy *p = policy__new(&opts);
	struct stall_key k = key(0, 1, 1);
	uint64_t n, told = 0;
	struct stall *s;

	for (int i = 0; i < POLICY_TRACKER_BURST; i++)
		told += tells(p, 42, "one", 100 * SEC, &n) && !n;
	is_int(told, POLICY_TRACKER_BURST, "many stalls of a tracker at once are told");
	ok(!tells(p, 42, "one", 100 * SEC, &n), "one more is not");
	ok(tells(p, 42, "two", 100 * SEC, &n) && !n, "that of another tracker is");
	s = policy__open(p, &k, 42, "one", 1, 2, LIMIT);
	ok(!policy__may_tell(p, s, 100 * SEC) && !policy__may_tell(p, s, 100 * SEC) && s->limited,
	   "one that is not told can be asked for again");
	is_int(policy__counts(p).limited, 2, "and is counted once");
	ok(policy__may_tell(p, s, 101 * SEC), "a second later it is told");
	is_int(policy__tell(p, s, 101 * SEC), 1, "with the number of others that were not");
	for (int i = 0; i < 2 * POLICY_TRACKER_PER_S; i++)
		told += tells(p, 42, "one", 101 * SEC, &n);
	is_int(told, POLICY_TRACKER_BURST + POLICY_TRACKER_PER_S - 1, "so many in a second");
	ok(tells(p, 42, "one", 200 * SEC, &n) && n == POLICY_TRACKER_PER_S + 1,
	   "what was not told is said with the next");
	policy__free(p);
}

static void few_of_a_process(void)
{
	struct policy *p = policy__new(&opts);
	char name[16];
	uint64_t n, told = 0;

	for (int i = 0; i < 2 * POLICY_PROCESS_BURST; i++) {
		snprintf(name, sizeof(name), "%d", i);
		told += tells(p, 42, name, 100 * SEC, &n);
	}
	is_int(told, POLICY_PROCESS_BURST, "all trackers of a process have a limit together");
	ok(tells(p, 43, "one", 100 * SEC, &n), "another process has its own");
	for (pid_t pid = 100; pid < 100 + 2 * POLICY_MAX_PROCS; pid++)
		tells(p, pid, "one", 100 * SEC, &n);
	ok(tells(p, 43, "one", 100 * SEC, &n), "processes without number do not matter");
	policy__free(p);
}

int main(void)
{
	plan(56);
	one_life();
	many();
	rate();
	no_rate();
	schedule();
	goes_on_with_stacks();
	few_at_once();
	few_of_a_process();
	return done();
}
