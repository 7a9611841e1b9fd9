// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What the BPF backend costs, and how late it is. Built and run by tests/bench/bpf.sh; prints rows
 * of the table that tests/bench/run heads. Costs are the kernel's own statistics (run_time_ns /
 * run_cnt, which include about 70 ns of reading its clock twice), beside those of an empty program
 * at the same tracepoint in the same run: compare the ratios of what is left when the empty program
 * is subtracted, too.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bpf/slot_abi.h"
#include "source/slot.h"
#include "source/source.h"
#include "stall/threshold.h"

#define MS NSEC_PER_MSEC
#define THRESHOLD_NS (100 * MS)
#define MAX_SAMPLES 4096
#define SWITCH_NS (300 * MS) /* of each measurement of switches */
#define ROUNDS 7
#define MAX_FDS 256

/* columns of tests/bench/common.py */
#define ROW "%-54s%13s%13s%7s  %s\n"

struct samples {
	size_t cnt;
	double value[MAX_SAMPLES];
};

struct cost {
	uint64_t runs, ns;
};

static struct source *source;
static struct samples late, heard; /* ms: threshold to verdict, verdict to user space */

static void add_sample(struct samples *s, double value)
{
	if (s->cnt < MAX_SAMPLES)
		s->value[s->cnt++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double quantile(struct samples *s, double q)
{
	if (!s->cnt)
		return 0;
	qsort(s->value, s->cnt, sizeof(*s->value), by_value);
	return s->value[(size_t)(q * (double)(s->cnt - 1))];
}

static void print_row(const char *what, const char *unit, double ours, double baseline,
		      double ratio, const char *goal, bool missed)
{
	char value[32], base[32] = "", quotient[32] = "", wanted[64];

	snprintf(value, sizeof(value), "%.4g %s", ours, unit);
	if (baseline > 0)
		snprintf(base, sizeof(base), "%.4g %s", baseline, unit);
	if (ratio > 0)
		snprintf(quotient, sizeof(quotient), "%.2f", ratio);
	snprintf(wanted, sizeof(wanted), "%s%s", goal, missed ? "  MISSED" : "");
	printf(ROW, what, value, base, quotient, wanted);
}

static void on_event(void *ctx, const struct source_event *ev)
{
	(void)ctx;
	if (ev->type != SOURCE_STALL)
		return;
	add_sample(&late, (double)(int64_t)(ev->now_ns - ev->word - THRESHOLD_NS) / 1e6);
	add_sample(&heard, (double)(clock_monotonic_ns() - ev->now_ns) / 1e6);
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

static void open_source(void)
{
	static const struct thresholds thresholds = { .alert_ns = THRESHOLD_NS };
	struct source_opts opts = { .poll_ns = 50 * MS, .thresholds = &thresholds, .max_procs = 4 };
	struct err err = { "" };

	if (source_bpf.open(&opts, on_event, NULL, &source, &err))
		die("cannot open the BPF backend", err.text);
}

static struct slot_page *new_page(uint32_t in_use)
{
	struct slot_page *p =
		mmap(NULL, SLOT_MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	p->self = (uintptr_t)p;
	p->version = SLOT_V1;
	p->in_use = in_use;
	p->generation = 1;
	return p;
}

static void watch(pid_t pid, const struct slot_page *page)
{
	struct slot_page_info info = {
		.addr = (uintptr_t)page,
		.version = SLOT_V1,
		.nwords = SLOT_WORDS,
		.in_use = page->in_use,
		.generation = 1,
	};
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct err err = { "" };

	if (source_bpf.add(source, 0, pid, pidfd, 0, 0, &err) ||
	    source_bpf.set_pages(source, 0, &info, 1, &err))
		die("cannot watch", err.text);
	close(pidfd);
}

static void dispatch_for(uint64_t ns)
{
	uint64_t until = clock_monotonic_ns() + ns, now;

	while ((now = clock_monotonic_ns()) < until) {
		struct pollfd pfd = { .fd = source_bpf.fd(source), .events = POLLIN };

		if (poll(&pfd, 1, (int)((until - now) / MS) + 1) > 0)
			source_bpf.dispatch(source);
	}
}

/* ---- lateness ---- */

struct worker {
	volatile __u64 *word;
	bool spin;
	unsigned int seed;
};

static void pass_time(uint64_t ns, bool spin)
{
	uint64_t until = clock_monotonic_ns() + ns;

	if (!spin)
		usleep((useconds_t)(ns / 1000));
	while (spin && clock_monotonic_ns() < until)
		;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		*w->word = clock_monotonic_ns() | 1;
		pass_time(THRESHOLD_NS + 20 * MS, w->spin);
		*w->word = (clock_monotonic_ns() + 1) & ~1ULL;
		pass_time((uint64_t)(rand_r(&w->seed) % 30000) * 1000, false);
	}
	return NULL;
}

static void print_lateness(const char *name)
{
	char what[96];
	double p99 = quantile(&late, 0.99);

	snprintf(what, sizeof(what), "threshold to verdict, %s, p50 of %zu", name, late.cnt);
	print_row(what, "ms", quantile(&late, 0.5), 0, 0, "", false);
	snprintf(what, sizeof(what), "threshold to verdict, %s, p99", name);
	print_row(what, "ms", p99, 0, 0, "<= 1", !late.cnt || p99 > 1);
	snprintf(what, sizeof(what), "verdict to user space, %s, p50", name);
	print_row(what, "ms", quantile(&heard, 0.5), 0, 0, "", false);
	snprintf(what, sizeof(what), "verdict to user space, %s, p99", name);
	print_row(what, "ms", quantile(&heard, 0.99), 0, 0, "", false);
}

static void measure_lateness(const char *name, int threads, bool spin)
{
	struct slot_page *page = new_page((uint32_t)threads);
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < threads; i++) {
			struct worker *w = calloc(1, sizeof(*w));
			pthread_t thread;

			*w = (struct worker){ &page->word[i], spin, (unsigned int)i };
			pthread_create(&thread, NULL, worker_main, w);
		}
		for (;;)
			pause();
	}
	late.cnt = heard.cnt = 0;
	open_source();
	watch(child, page);
	dispatch_for(spin ? 30000 * MS : 10000 * MS); /* 200 stalls and more */
	print_lateness(name);
	source_bpf.free(source);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* ---- switches ---- */

static struct cost cost_of(int prog_fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	bpf_obj_get_info_by_fd(prog_fd, &info, &len);
	return (struct cost){ info.run_cnt, info.run_time_ns };
}

/* A descriptor of our own program of this name, or -1: others may be watching, too. */
static int find_program(const char *name)
{
	char path[64], what[64];

	for (int fd = 0; fd < MAX_FDS; fd++) {
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, what, sizeof(what) - 1);
		what[n < 0 ? 0 : n] = '\0';
		if (!strcmp(what, "anon_inode:bpf-prog") &&
		    !bpf_obj_get_info_by_fd(fd, &info, &len) && !strcmp(info.name, name))
			return dup(fd);
	}
	return -1;
}

static int attach_empty(int *link_fd)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP,
		    .attach_btf_id =
			    (uint32_t)libbpf_find_vmlinux_btf_id("sched_switch", BPF_TRACE_RAW_TP));
	int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "empty", "GPL", insns, 2, &opts);

	*link_fd = fd < 0 ? -1 : bpf_raw_tracepoint_open(NULL, fd);
	if (*link_fd < 0)
		die("cannot attach an empty program", strerror(errno));
	return fd;
}

static void pin(pid_t pid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(1, &set);
	sched_setaffinity(pid, sizeof(set), &set);
}

struct pipes {
	int there[2], back[2];
};

static void *pong_main(void *arg)
{
	struct pipes *p = arg;
	char byte;

	while (read(p->there[0], &byte, 1) == 1 && write(p->back[1], &byte, 1) == 1)
		;
	return NULL;
}

/* Two threads of a child that pass a byte to and fro on one CPU: *TURNS counts. PAGE is in memory,
 * as one that is in use is: shared memory is so in a child only once that has touched it. */
static pid_t start_ping_pong(volatile uint64_t *turns, struct slot_page *page)
{
	pid_t child = fork();
	struct pipes p;
	pthread_t thread;
	char byte = 0;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(0);
	for (size_t i = 0; i < SLOT_WORDS; i++)
		*(volatile __u64 *)&page->word[i] = 0;
	if (pipe(p.there) || pipe(p.back) || pthread_create(&thread, NULL, pong_main, &p))
		_exit(1);
	while (write(p.there[1], &byte, 1) == 1 && read(p.back[0], &byte, 1) == 1)
		++*turns;
	_exit(1);
}

/* ns per switch of the child, now */
static double ns_per_switch(volatile uint64_t *turns)
{
	uint64_t start = clock_monotonic_ns(), before = *turns;

	usleep((useconds_t)(SWITCH_NS / 1000));
	return (double)(clock_monotonic_ns() - start) / (double)(*turns - before) / 2;
}

static double run_cost(int fd, struct cost before)
{
	struct cost now = cost_of(fd);

	return now.runs == before.runs
		       ? 0
		       : (double)(now.ns - before.ns) / (double)(now.runs - before.runs);
}

/* What is measured by turns, so that all see the same moments of the machine. */
enum { NONE, EMPTY, UNWATCHED, WATCHED, KINDS };

static struct samples wall[KINDS], program[KINDS];

/* KIND, as it is attached now: first without the statistics, which cost something themselves */
static void sample_switches(int kind, int prog, volatile uint64_t *turns)
{
	struct cost before;
	int stats;

	add_sample(&wall[kind], ns_per_switch(turns));
	if (prog < 0)
		return;
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	before = cost_of(prog);
	ns_per_switch(turns);
	add_sample(&program[kind], run_cost(prog, before));
	close(stats);
}

/* Medians of the quotients of each round. */
static double ratio_of(const struct samples *a, const struct samples *b)
{
	static struct samples ratios;

	ratios.cnt = 0;
	for (size_t i = 0; i < a->cnt; i++)
		add_sample(&ratios, a->value[i] / b->value[i]);
	return quantile(&ratios, 0.5);
}

static void print_switches(const char *name, int kind, double most)
{
	double ratio = ratio_of(&program[kind], &program[EMPTY]);
	double whole = ratio_of(&wall[kind], &wall[EMPTY]);
	char what[96], goal[32];

	snprintf(what, sizeof(what), "program at a switch, %s", name);
	snprintf(goal, sizeof(goal), "ratio <= %g", most);
	print_row(what, "ns", quantile(&program[kind], 0.5), quantile(&program[EMPTY], 0.5), ratio,
		  goal, ratio > most);
	snprintf(what, sizeof(what), "switch, end to end, %s", name);
	print_row(what, "ns", quantile(&wall[kind], 0.5), quantile(&wall[EMPTY], 0.5), whole, "",
		  false);
}

static void measure_switches(uint32_t in_use)
{
	volatile uint64_t *turns =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct slot_page *page = new_page(in_use);
	pid_t child = start_ping_pong(turns, page);
	char name[64];
	int fd, link;

	memset(wall, 0, sizeof(wall));
	memset(program, 0, sizeof(program));
	usleep(100000);
	for (int i = 0; i < ROUNDS; i++) {
		sample_switches(NONE, -1, turns);
		fd = attach_empty(&link);
		sample_switches(EMPTY, fd, turns);
		close(link);
		close(fd);

		open_source();
		fd = find_program("slots_switch");
		sample_switches(UNWATCHED, fd, turns);
		watch(child, page);
		sample_switches(WATCHED, fd, turns);
		close(fd);
		source_bpf.free(source);
	}
	if (in_use == 1) {
		print_row("switch, end to end, no program", "ns", quantile(&wall[NONE], 0.5), 0, 0,
			  "", false);
		print_switches("not watched", UNWATCHED, 1.2);
	}
	snprintf(name, sizeof(name), "watched, %u slot%s", in_use, in_use == 1 ? "" : "s");
	print_switches(name, WATCHED, 3);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* ---- programs, memory, quiet ---- */

static void print_programs(void)
{
	static const char *const name[] = { "slots_switch", "slots_tick", "judge_kick",
					    "life_exec",    "life_exit",  "pywalk_once" };

	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++) {
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);
		int fd = find_program(name[i]);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
			continue;
		printf("# %s: %u instructions verified, %zu translated\n", name[i],
		       info.verified_insns, info.xlated_prog_len / sizeof(struct bpf_insn));
		close(fd);
	}
}

/* What the kernel holds for the maps that this process has open. */
static uint64_t map_memory(void)
{
	uint64_t sum = 0, len;
	char path[64], text[256];

	for (int fd = 0; fd < MAX_FDS; fd++) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		f = fopen(path, "re");
		if (!f)
			continue;
		while (fgets(text, sizeof(text), f))
			if (sscanf(text, "memlock: %lu", &len) == 1)
				sum += len;
		fclose(f);
	}
	return sum;
}

static void measure_quiet(void)
{
	struct slot_page *page = new_page(8);
	struct rusage before, after;
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned int i = 0;; i++) {
			page->word[i % 8] = clock_monotonic_ns() | 1;
			usleep(2000);
			page->word[i % 8] = (clock_monotonic_ns() + 1) & ~1ULL;
			usleep(2000);
		}
	}
	open_source();
	watch(child, page);
	print_programs();
	usleep(100000);
	getrusage(RUSAGE_SELF, &before);
	struct pollfd pfd = { .fd = source_bpf.fd(source), .events = POLLIN };
	int woken = poll(&pfd, 1, 10000);
	getrusage(RUSAGE_SELF, &after);
	print_row("wake-ups of user space, 10 s, healthy target", "", woken, 0, 0, "<= 0",
		  woken > 0 || after.ru_nvcsw - before.ru_nvcsw > 1);
	print_row("memory of the maps", "MiB", (double)map_memory() / (1 << 20), 0, 0, "", false);
	source_bpf.free(source);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	measure_lateness("8 asleep", 8, false);
	measure_lateness("1 on CPU", 1, true);
	measure_switches(1);
	measure_switches(200);
	measure_quiet();
	return 0;
}
