// SPDX-License-Identifier: MIT OR Apache-2.0
/* From where the time went, and what was seen, to one kind and one sentence. */
#include "stall/cause.h"

#include <string.h>

#include "proc/cgroup.h"
#include "tap.h"

#define MS 1000000ULL

static char verdict[CAUSE_VERDICT_MAX];

static struct report_why judge(const struct cause_facts *f, const struct cause_seen *seen)
{
	struct report_why w;

	cause__judge(f, seen, verdict, &w);
	return w;
}

static struct cause_facts facts(enum account_sum what, uint64_t ms)
{
	struct cause_facts f = {
		.duration_ns = 200 * MS, .measured = true, .load = 3.5, .cpus = 2
	};

	f.sum[what] = ms * MS;
	return f;
}

static void kinds(void)
{
	static const struct {
		enum account_sum sum;
		uint64_t ms; /* of 200 */
		const char *kind, *verdict;
	} each[] = {
		{ ACCOUNT_ON_CPU, 190, "python",
		  "its own Python code is on CPU for 190.0 of 200.0 ms, in f (a.py:1)" },
		{ ACCOUNT_RUN_QUEUE, 190, "run_queue",
		  "ready to run, but without a CPU for 190.0 of 200.0 ms: load 3.5 on 2 CPUs" },
		{ ACCOUNT_SUM_THROTTLED, 190, "throttled",
		  "its cgroup has used up its CPU quota for 190.0 of 200.0 ms" },
		{ ACCOUNT_SUM_GIL, 190, "gil",
		  "waits for 190.0 of 200.0 ms for the GIL, which hog (tid 7) holds" },
		{ ACCOUNT_SUM_FAULT, 190, "page_faults",
		  "waits for 190.0 of 200.0 ms for pages from swap or files (3 major faults), "
		  "in f (a.py:1)" },
		{ ACCOUNT_SUM_STOPPED, 190, "stopped",
		  "stopped for 190.0 of 200.0 ms (SIGSTOP, a debugger or the freezer)" },
		{ ACCOUNT_ON_CPU, 10, "system_call",
		  "blocked for 190.0 of 200.0 ms in read(fd 5: /a), called by f (a.py:1)" },
	};
	struct cause_seen seen = { .holder = 7, .holder_name = "hog", .place = "f (a.py:1)" };

	strcpy(seen.wait.call, "read");
	strcpy(seen.wait.about, "/a");
	seen.wait.fd = 5;
	for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++) {
		struct cause_facts f = facts(each[i].sum, each[i].ms);
		struct report_why w;
		uint64_t sum;

		f.faults = 3;
		w = judge(&f, &seen);
		sum = w.on_cpu_ns + w.run_queue_ns + w.throttled_ns + w.blocked_ns + w.stopped_ns +
		      w.gil_wait_ns;
		is_str(w.kind, each[i].kind, "kind %s", each[i].kind);
		is_str(verdict, each[i].verdict, "its sentence");
		is_int(sum, f.duration_ns, "it adds up to the duration");
	}
}

static void on_cpu(void)
{
	struct cause_facts f = facts(ACCOUNT_ON_CPU, 190);
	struct cause_seen seen = { .place = "f (a.py:1)", .library = "libz.so.1" };

	is_str(judge(&f, &seen).kind, "native", "code of a library is native");
	is_str(judge(&f, &seen).library, "libz.so.1", "which is named");
	seen.gc = true;
	is_str(judge(&f, &seen).kind, "gc", "while garbage is collected that is the cause");
	f.holds_gil = true;
	judge(&f, &seen);
	ok(!strncmp(verdict, "the holder of the GIL: garbage", 30), "of the holder it is said so");
}

/* Two threads on one CPU have half of it each: without the other the stall would be half as long.
 */
static void starved(void)
{
	struct cause_facts f = facts(ACCOUNT_RUN_QUEUE, 90);
	struct cause_seen seen = { 0 };

	f.sum[ACCOUNT_ON_CPU] = 110 * MS;
	is_str(judge(&f, &seen).kind, "run_queue", "nearly half without a CPU is starvation");
	ok(strstr(verdict, "; besides 110.0 ms on CPU"), "and the rest is mentioned");
	f.sum[ACCOUNT_RUN_QUEUE] = 30 * MS;
	f.sum[ACCOUNT_ON_CPU] = 170 * MS;
	is_str(judge(&f, &seen).kind, "python", "less is not");
}

static void locks(void)
{
	struct cause_facts f = facts(ACCOUNT_ON_CPU, 1);
	struct cause_seen seen = { .lock = "a threading.RLock that w (tid 9) holds",
				   .lock_holder = 9 };

	is_str(judge(&f, &seen).kind, "lock", "a lock");
	is_int(judge(&f, &seen).lock_holder, 9, "with who holds it");
	seen.deadlock = true;
	is_str(judge(&f, &seen).kind, "deadlock", "a cycle");
}

static void frozen(void)
{
	struct cause_facts f = facts(ACCOUNT_ON_CPU, 10);
	struct cause_seen seen = { 0 };
	struct report_why w;

	f.stopped_ns = 150 * MS;
	w = judge(&f, &seen);
	is_str(w.kind, "stopped", "frozen where it slept: the process knows it");
	is_int(w.blocked_ns, 40 * MS, "and so long it did not sleep");
	f.stopped_ns = 999 * MS;
	is_int(judge(&f, &seen).stopped_ns, 190 * MS, "never more than there is");
}

static void unmeasured(void)
{
	struct cause_facts f = { .duration_ns = 200 * MS, .load = -1 };
	struct cause_seen seen = { 0 };

	is_str(judge(&f, &seen).kind, "unknown", "nothing known");
	seen.looked = true;
	strcpy(seen.wait.call, "read");
	seen.wait.fd = 5;
	is_str(judge(&f, &seen).kind, "system_call", "by what was seen");
	is_str(verdict, "blocked in read(fd 5)", "without figures");
	seen.running = true;
	is_str(judge(&f, &seen).kind, "python", "it ran");
}

static void cgroups(void)
{
	char path[CGROUP_PATH_MAX];
	int v1;

	is_int(cgroup_path__parse("4:memory:/m\n3:cpu,cpuacct:/a/b\n0::/u\n", path, &v1), 0,
	       "version 1");
	is_str(path, "/a/b", "its path");
	ok(v1, "is known as such");
	is_int(cgroup_path__parse("5:cpuset:/s\n4:cpuacct:/c\n0::/u/v", path, &v1), 0, "version 2");
	is_str(path, "/u/v", "its path");
	ok(!v1, "cpuset and cpuacct are not cpu");
	ok(cgroup_path__parse("nonsense\n:\n1:cpu", path, &v1) < 0, "nonsense");
}

int main(void)
{
	plan(7 * 3 + 4 + 3 + 3 + 3 + 4 + 7);
	kinds();
	on_cpu();
	starved();
	locks();
	frozen();
	unmeasured();
	cgroups();
	return done();
}
