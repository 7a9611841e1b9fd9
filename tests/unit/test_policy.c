// SPDX-License-Identifier: MIT OR Apache-2.0
/* The life of stalls, by an injected clock. */
#include "stall/policy.h"

#include <errno.h>

#include "tap.h"

#define SEC 1000000000ULL

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
	struct stall *s = policy__open(p, &k, 42, "db", 1001, 1201), *t;
	char first[32];

	is_str(s->id, "42-1", "the id has the pid and a number");
	is_str(s->name, "db", "it keeps the name of the tracker");
	snprintf(first, sizeof(first), "%s", s->id);
	errno = 0;
	ok(!policy__open(p, &k, 42, "db", 1001, 1301) && errno == EEXIST,
	   "the same section is not opened twice");
	ok(policy__find(p, &k) == s, "it is found by its section");
	ok(!policy__find(p, &later), "another section of the slot is another stall");
	t = policy__open(p, &later, 42, "db", 2001, 2201);
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
		n += policy__open(p, &k, 7, "x", 1, 2) != NULL;
	}
	is_int(n, POLICY_MAX_OPEN, "all up to the ceiling are opened");
	k = key(3, 0, 1);
	errno = 0;
	ok(!policy__open(p, &k, 7, "x", 1, 2) && errno == ENOSPC, "one more is not");
	is_int(policy__counts(p).overflow, 1, "and is counted");
	for (n = 0; (s = policy__find_proc(p, 1)); n++)
		policy__close(p, s);
	is_int(n, POLICY_MAX_OPEN / 2, "all of one process can be ended");
	ok(policy__find_proc(p, 0) != NULL, "those of the other stay");
	policy__free(p);
	policy__free(NULL);
}

static void rate(void)
{
	struct policy *p = policy__new(&opts);
	struct stall_key a = key(0, 1, 1), b = key(0, 2, 1), c = key(1, 1, 1);
	struct stall *one = policy__open(p, &a, 42, "one", 1, 2);
	struct stall *two = policy__open(p, &b, 42, "two", 1, 2);
	struct stall *other = policy__open(p, &c, 43, "one", 1, 2);
	uint64_t n = 9;

	ok(policy__take_stacks(p, one, 100 * SEC, &n) && n == 0, "the first record has stacks");
	ok(!policy__take_stacks(p, one, 129 * SEC, &n) && n == 1, "29 s later it has none");
	ok(!policy__take_stacks(p, one, 129 * SEC, &n) && n == 2, "which is counted");
	ok(policy__take_stacks(p, two, 129 * SEC, &n), "another tracker has a budget of its own");
	ok(policy__take_stacks(p, other, 129 * SEC, &n), "and so has another process");
	ok(policy__take_stacks(p, one, 130 * SEC, &n) && n == 2,
	   "after 30 s there are stacks again, and the count is said");
	ok(!policy__take_stacks(p, one, 131 * SEC, &n) && n == 1, "the count begins anew");
	is_int(policy__counts(p).suppressed, 3, "all of them are counted");
	policy__free(p);
}

static void no_rate(void)
{
	static const struct policy_opts none = { .suppress_ns = 0 };
	struct policy *p = policy__new(&none);
	struct stall_key k = key(0, 1, 1);
	struct stall *s = policy__open(p, &k, 42, "one", 1, 2);
	uint64_t n;

	ok(policy__take_stacks(p, s, 5, &n) && policy__take_stacks(p, s, 5, &n),
	   "without a limit every record has stacks");
	ok(policy__set_thread(s, 17, "worker") == 0 && s->tid == 17, "the thread is kept");
	is_str(s->thread, "worker", "with its name");
	policy__free(p);
}

int main(void)
{
	plan(26);
	one_life();
	many();
	rate();
	no_rate();
	return done();
}
