// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The BPF backend on real processes: children of this program that publish a page and do as they
 * are told. Bounds on times are generous, since test machines are shared; speed is measured by
 * tests/bench.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bpf/slot_abi.h"
#include "kern/features.h"
#include "source/slot.h"
#include "source/source.h"

#include "noperf.h"
#include "stall/threshold.h"
#include "tap.h"

#define MS NSEC_PER_MSEC
#define THRESHOLD_NS (150 * MS)
#define LATE_NS (100 * MS) /* a verdict later than this after its deadline is a failure */
#define MANY 1100 /* slots: three segments */
#define MAX_EVENTS 256

enum kind { PAGE_V1, PAGE_V0 };

/* Shared with the child. */
struct control {
	volatile int command; /* a letter, 0 = done */
	volatile uint64_t slot;
	union {
		struct slot_page *volatile v1;
		struct slot_page_v0 *volatile v0;
	};
};

struct child {
	pid_t pid;
	int pidfd;
	enum kind kind;
	int pipe[2]; /* wakes it from its sleep */
	struct control *control;
};

static struct source_event event[MAX_EVENTS];
static size_t nevents;
static struct source *source;

static void on_event(void *ctx, const struct source_event *ev)
{
	(void)ctx;
	if (nevents < MAX_EVENTS)
		event[nevents++] = *ev;
}

static void run_for(uint64_t ns)
{
	uint64_t until = clock_monotonic_ns() + ns, now;

	while ((now = clock_monotonic_ns()) < until) {
		struct pollfd pfd = { .fd = source_bpf.fd(source), .events = POLLIN };

		if (poll(&pfd, 1, (int)((until - now) / MS) + 1) > 0)
			source_bpf.dispatch(source);
	}
}

static const struct source_event *find(enum source_event_type type, size_t from)
{
	for (size_t i = from; i < nevents; i++)
		if (event[i].type == type)
			return &event[i];
	return NULL;
}

static size_t cnt_of(enum source_event_type type)
{
	size_t cnt = 0;

	for (size_t i = 0; i < nevents; i++)
		cnt += event[i].type == type;
	return cnt;
}

/* Until an event of this type comes; a hang ends after five seconds. */
static const struct source_event *wait_event(enum source_event_type type)
{
	for (int i = 0; i < 500 && !find(type, 0); i++)
		run_for(10 * MS);
	return find(type, 0);
}

/* ---- in the child ---- */

static void put_word(struct control *c, uint64_t parity)
{
	uint64_t now = (clock_monotonic_ns() & ~1ULL) | parity;

	c->v1->word[c->slot] = now > c->v1->word[c->slot] ? now : c->v1->word[c->slot] + 1;
}

static void *exec_from_thread(void *arg)
{
	(void)arg;
	execl("/bin/sleep", "sleep", "1", (char *)NULL);
	return NULL;
}

#define RACERS 6
#define RACE_NS (100 * MS)

struct racer {
	struct control *control;
	unsigned int index;
};

/* Sections of some microseconds, and switches between and in them. */
static void *racer_main(void *arg)
{
	struct racer *r = arg;
	volatile __u64 *word = &r->control->v1->word[r->index];
	uint64_t until = clock_monotonic_ns() + RACE_NS, now;
	unsigned int turn = 0;

	while ((now = clock_monotonic_ns()) < until) {
		*word = now | 1;
		if (turn++ % 7 == r->index)
			sched_yield();
		*word = (clock_monotonic_ns() + 2) & ~1ULL;
		if (turn % 5 == r->index % 5)
			usleep(1);
	}
	if (r->index == r->control->slot)
		*word = clock_monotonic_ns() | 1;
	return NULL;
}

static void race(struct control *c)
{
	pthread_t thread[RACERS];
	struct racer racer[RACERS];

	for (unsigned int i = 0; i < RACERS; i++) {
		racer[i] = (struct racer){ c, i };
		pthread_create(&thread[i], NULL, racer_main, &racer[i]);
	}
	for (unsigned int i = 0; i < RACERS; i++)
		pthread_join(thread[i], NULL);
}

static void obey(struct control *c, int command)
{
	uint8_t magic[] = SLOT_MAGIC_BYTES;
	pthread_t thread;

	switch (command) {
	case 'a': /* active, and asleep */
	case 's': /* active, and on CPU until the next command */
		put_word(c, 1);
		break;
	case 'i':
		put_word(c, 0);
		break;
	case 'c': /* a counter takes a step */
		c->v1->word[c->slot]++;
		break;
	case '0':
		c->v0->slot[c->slot].count++;
		break;
	case 'g':
		c->v1->in_use++;
		c->v1->generation++;
		break;
	case 'p': /* active, and the page after its word is not there when it falls asleep */
		madvise(c->v1, sizeof(*c->v1), MADV_DONTNEED);
		memcpy(c->v1->magic, magic, sizeof(magic));
		c->v1->generation = 1;
		put_word(c, 1);
		break;
	case 'e':
		execl("/bin/sleep", "sleep", "1", (char *)NULL);
		break;
	case 't':
		pthread_create(&thread, NULL, exec_from_thread, NULL);
		pause();
		break;
	case 'r': /* several threads at once, then one of them falls asleep with its slot active */
		race(c);
		break;
	case 'x':
		_exit(0);
	}
}

static void child_main(struct child *ch)
{
	struct control *c = ch->control;
	struct pollfd pfd = { .fd = ch->pipe[0], .events = POLLIN };
	int last = 0;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		if (last != 's' && poll(&pfd, 1, -1) == 1 && read(ch->pipe[0], &byte, 1) != 1)
			_exit(1);
		if (!c->command)
			continue;
		last = c->command;
		obey(c, last);
		c->command = 0;
	}
}

/* ---- in the test ---- */

static void tell(struct child *ch, int command)
{
	ch->control->command = command;
	if (write(ch->pipe[1], "", 1) != 1)
		diag("the child is gone");
	for (int i = 0;
	     i < 1000 && ch->control->command && command != 'e' && command != 't' && command != 'x';
	     i++)
		usleep(1000);
}

static struct child start_child(enum kind kind)
{
	struct child ch = { .kind = kind };
	uint8_t magic[] = SLOT_MAGIC_BYTES;
	size_t len = kind == PAGE_V1 ? SLOT_MAP_LEN : sizeof(struct slot_page_v0);
	void *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ch.control = mmap(NULL, sizeof(*ch.control), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pipe2(ch.pipe, O_CLOEXEC))
		diag("pipe: %s", strerror(errno));
	memcpy(page, magic, sizeof(magic));
	if (kind == PAGE_V1) {
		struct slot_page *p = page;

		p->self = (uintptr_t)p;
		p->version = SLOT_V1;
		p->word_cap = SLOT_WORDS;
		p->meta_off = SLOT_META_OFF;
		p->meta_len = sizeof(struct slot_meta);
		p->in_use = 2;
		p->generation = 1;
		ch.control->v1 = p;
	} else {
		struct slot_page_v0 *p = page;

		p->self = (uintptr_t)p;
		ch.control->v0 = p;
	}
	ch.pid = fork();
	if (!ch.pid)
		child_main(&ch);
	munmap(page, len);
	ch.pidfd = (int)syscall(SYS_pidfd_open, ch.pid, 0);
	nevents = 0;
	return ch;
}

static struct slot_page_info info_of(const struct child *ch, uint32_t in_use)
{
	struct slot_page_info info = {
		.addr = (uintptr_t)ch->control->v1,
		.version = ch->kind == PAGE_V1 ? SLOT_V1 : SLOT_V0,
		.nwords = ch->kind == PAGE_V1 ? SLOT_WORDS : SLOT_V0_SLOTS,
		.in_use = ch->kind == PAGE_V1 ? in_use : SLOT_V0_SLOTS,
		.generation = 1,
	};

	return info;
}

static void watch_info(const struct child *ch, const struct slot_page_info *info)
{
	struct err err = { "" };

	if (source_bpf.add(source, 0, ch->pid, ch->pidfd, 0, 0, &err) ||
	    source_bpf.set_pages(source, 0, info, 1, &err))
		diag("%s", err.text);
}

static void watch(const struct child *ch)
{
	struct slot_page_info info = info_of(ch, 2);

	watch_info(ch, &info);
}

static void end_child(struct child *ch)
{
	source_bpf.remove(source, 0);
	kill(ch->pid, SIGKILL);
	waitpid(ch->pid, NULL, 0);
	close(ch->pidfd);
	close(ch->pipe[0]);
	close(ch->pipe[1]);
	munmap(ch->control, sizeof(*ch->control));
}

/* A section of the first slot that lasts: told once, in time, and its end. */
static void test_stall(int command, const char *how)
{
	struct child ch = start_child(PAGE_V1);
	const struct source_event *stall, *end;

	watch(&ch);
	run_for(20 * MS);
	tell(&ch, command);
	stall = wait_event(SOURCE_STALL);
	ok(stall && stall->word & 1 && stall->word == stall->word_now &&
		   stall->word == stall->value && !stall->slot &&
		   stall->page == (uintptr_t)ch.control->v1,
	   "%s: told, by its word", how);
	ok(stall && stall->now_ns - stall->word >= THRESHOLD_NS &&
		   stall->now_ns - stall->word < THRESHOLD_NS + LATE_NS,
	   "%s: told when it crosses the threshold", how);
	if (stall)
		diag("%s: %.3f ms late", how,
		     (double)(stall->now_ns - stall->word - THRESHOLD_NS) / 1e6);
	run_for(300 * MS);
	is_int((int)cnt_of(SOURCE_STALL), 1, "%s: told once", how);
	tell(&ch, 'i');
	end = wait_event(SOURCE_END);
	stall = find(SOURCE_STALL, 0);
	ok(end && stall && end->word == stall->word && !(end->word_now & 1), "%s: its end is told",
	   how);
	end_child(&ch);
}

static void test_short(void)
{
	struct child ch = start_child(PAGE_V1);
	size_t bad = 0, shorts = 0;

	watch(&ch);
	for (int i = 0; i < 5 || (!shorts && i < 50); i++) {
		uint64_t begun = clock_monotonic_ns();
		bool is_short;

		nevents = 0;
		tell(&ch, i % 2 ? 'a' : 's');
		run_for(THRESHOLD_NS / 2);
		tell(&ch, 'i');
		/* on a busy machine it may have lasted for longer than it was to */
		is_short = clock_monotonic_ns() - begun < THRESHOLD_NS;
		run_for(2 * THRESHOLD_NS);
		shorts += is_short;
		bad += is_short ? nevents : 0;
	}
	ok(shorts && !bad, "sections of half the threshold are not told");
	end_child(&ch);
}

static void test_attach_late(void)
{
	struct child ch = start_child(PAGE_V1);
	const struct source_event *stall;
	uint64_t attached;

	tell(&ch, 'a');
	run_for(3 * THRESHOLD_NS);
	attached = clock_monotonic_ns();
	watch(&ch);
	stall = wait_event(SOURCE_STALL);
	ok(stall && stall->now_ns - attached < LATE_NS &&
		   stall->now_ns - stall->word > 2 * THRESHOLD_NS,
	   "a section that was open at attach, of a thread that sleeps, is told at once");
	end_child(&ch);
}

static void test_counter(void)
{
	struct child ch = start_child(PAGE_V1);
	struct slot_page_info info = info_of(&ch, 2);
	const struct source_event *stall;

	info.counters[0] = 2;
	ch.control->slot = 1;
	watch_info(&ch, &info);
	for (int i = 0; i < 6; i++)
		tell(&ch, 'c');
	run_for(2 * THRESHOLD_NS);
	is_int((int)nevents, 0, "counter: even is idle");
	tell(&ch, 'c');
	stall = wait_event(SOURCE_STALL);
	ok(stall && stall->slot == 1 && stall->value == 7 && stall->word & 1 &&
		   stall->now_ns - stall->word < THRESHOLD_NS + LATE_NS,
	   "counter: odd for the threshold is told, with its count");
	tell(&ch, 'c');
	ok(wait_event(SOURCE_END), "counter: its end is told");
	end_child(&ch);
}

static void test_v0(void)
{
	struct child ch = start_child(PAGE_V0);
	const struct source_event *stall;

	ch.control->slot = SLOT_V0_SLOTS - 1;
	watch(&ch);
	tell(&ch, '0');
	stall = wait_event(SOURCE_STALL);
	ok(stall && stall->slot == SLOT_V0_SLOTS - 1 && stall->value == 1,
	   "v0: the last slot of the page is told, with its count");
	tell(&ch, '0');
	ok(wait_event(SOURCE_END), "v0: its end is told");
	is_int((int)cnt_of(SOURCE_STALL), 1, "v0: nothing else is");
	end_child(&ch);
}

/* Stops the child before its section crosses the threshold; where the machine is too slow, again.
 */
static void stop_in_section(struct child *ch, int command)
{
	uint64_t begun;

	for (int i = 0; i < 20; i++) {
		nevents = 0;
		begun = clock_monotonic_ns();
		tell(ch, command);
		run_for(THRESHOLD_NS / 3);
		kill(ch->pid, SIGSTOP);
		waitpid(ch->pid, NULL, WUNTRACED);
		if (clock_monotonic_ns() - begun < THRESHOLD_NS)
			return;
		diag("stopped too late, once more");
		kill(ch->pid, SIGCONT);
		tell(ch, 'i');
		run_for(50 * MS);
	}
}

static void test_stopped(int command, const char *how)
{
	struct child ch = start_child(PAGE_V1);
	uint64_t went_on;
	int soon = 0;

	watch(&ch);
	stop_in_section(&ch, command);
	run_for(5 * THRESHOLD_NS);
	for (size_t i = 0; i < nevents; i++)
		diag("event %d, %.3f ms after its start", (int)event[i].type,
		     (double)(event[i].now_ns - event[i].word) / 1e6);
	is_int((int)nevents, 0, "%s: nothing is told of a stopped target", how);
	went_on = clock_monotonic_ns();
	kill(ch.pid, SIGCONT);
	run_for(THRESHOLD_NS / 4);
	/* on a busy machine we may be back only when it has truly stalled */
	for (size_t i = 0; i < nevents; i++)
		soon += event[i].now_ns < went_on + THRESHOLD_NS / 4;
	is_int(soon, 0, "%s: nor right after it went on", how);
	wait_event(SOURCE_STALL);
	ok(nevents && event[0].paused, "%s: but when it stalls on, and that it was paused", how);
	tell(&ch, 'i');
	ok(wait_event(SOURCE_END), "%s: and its end", how);
	end_child(&ch);
}

static void test_exec(int command, const char *how)
{
	struct child ch = start_child(PAGE_V1);
	struct slot_page_info info = info_of(&ch, 2);
	struct err err = { "" };

	watch(&ch);
	tell(&ch, 'a');
	run_for(20 * MS);
	tell(&ch, command);
	ok(wait_event(SOURCE_EXEC), "%s: told", how);
	run_for(2 * THRESHOLD_NS);
	is_int((int)cnt_of(SOURCE_STALL), 0, "%s: the section that was open is void", how);
	is_int(source_bpf.set_pages(source, 0, &info, 1, &err), 0,
	       "%s: and the process takes pages again", how);
	end_child(&ch);
}

static void test_exit(void)
{
	struct child ch = start_child(PAGE_V1);

	watch(&ch);
	tell(&ch, 'a');
	run_for(20 * MS);
	tell(&ch, 'x');
	run_for(2 * THRESHOLD_NS);
	is_int((int)nevents, 0, "nothing is told of a process that has ended");
	end_child(&ch);
}

static void test_generation(void)
{
	struct child ch = start_child(PAGE_V1);
	const struct source_event *gen;

	watch(&ch);
	tell(&ch, 'g');
	gen = wait_event(SOURCE_GENERATION);
	ok(gen && gen->page == (uintptr_t)ch.control->v1, "a new generation is told");
	run_for(500 * MS);
	is_int((int)cnt_of(SOURCE_GENERATION), 1, "once");
	tell(&ch, 'a');
	ok(wait_event(SOURCE_STALL), "a stall is told also when nobody has read the facts again");
	end_child(&ch);
}

static void test_many(void)
{
	struct child ch = start_child(PAGE_V1);
	struct slot_page_info info = info_of(&ch, MANY);
	struct err err = { "" };
	const struct source_event *stall;

	ch.control->slot = MANY - 1;
	watch(&ch);
	is_int(source_bpf.set_pages(source, 0, &info, 1, &err), 0, "a page grows to %d slots",
	       MANY);
	tell(&ch, 'a');
	stall = wait_event(SOURCE_STALL);
	ok(stall && stall->slot == MANY - 1, "the last of them is told");
	info = info_of(&ch, SLOT_WORDS);
	is_int(source_bpf.set_pages(source, 0, &info, 1, &err), 0, "and to all there can be");
	ch.control->slot = SLOT_WORDS - 1;
	nevents = 0;
	tell(&ch, 'a');
	stall = wait_event(SOURCE_STALL);
	ok(stall && stall->slot == SLOT_WORDS - 1 && cnt_of(SOURCE_STALL) == 1,
	   "what was told before is not told again");
	end_child(&ch);
}

static void test_not_present(void)
{
	struct child ch = start_child(PAGE_V1);
	struct slot_page_info info = info_of(&ch, MANY);

	watch_info(&ch, &info);
	run_for(20 * MS);
	tell(&ch, 'p');
	ok(wait_event(SOURCE_STALL),
	   "a page that could not be read in the kernel is read by the loader");
	end_child(&ch);
}

/* Many CPUs read the same words at once; what was true when all fell asleep must be what is kept.
 */
static void test_race(void)
{
	struct child ch = start_child(PAGE_V1);
	struct slot_page_info info = info_of(&ch, RACERS);
	int bad = 0;

	watch_info(&ch, &info);
	for (unsigned int round = 0; round < 12; round++) {
		const struct source_event *stall;

		nevents = 0;
		ch.control->slot = round % (RACERS + 1); /* the last time nobody */
		tell(&ch, 'r');
		run_for(2 * THRESHOLD_NS);
		stall = find(SOURCE_STALL, 0);
		if (round % (RACERS + 1) == RACERS)
			bad += stall != NULL;
		else
			bad += !stall || stall->slot != ch.control->slot ||
			       cnt_of(SOURCE_STALL) != 1;
	}
	is_int(bad, 0, "threads that run at once: the last words are those that are kept");
	end_child(&ch);
}

static bool write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	bool done_well = f && fputs(text, f) >= 0;

	return f && !fclose(f) && done_well;
}

/*
 * The event of a CPU that was offline is dead for good. Only where PERPETUO_TEST_HOTPLUG is set: it
 * takes a CPU from all others on this machine.
 */
static void test_hotplug(void)
{
	const char *cpu1 = "/sys/devices/system/cpu/cpu1/online";
	struct child ch;
	cpu_set_t set;

	if (!getenv("PERPETUO_TEST_HOTPLUG")) {
		skip(1, "PERPETUO_TEST_HOTPLUG is not set");
		return;
	}
	if (!write_file(cpu1, "0") || !write_file(cpu1, "1"))
		diag("cannot switch CPU 1: %s", strerror(errno));
	run_for(100 * MS);
	ch = start_child(PAGE_V1);
	CPU_ZERO(&set);
	CPU_SET(1, &set);
	sched_setaffinity(ch.pid, sizeof(set), &set);
	watch(&ch);
	run_for(100 * MS);
	tell(&ch, 's');
	ok(wait_event(SOURCE_STALL), "a CPU that comes back has a tick again");
	end_child(&ch);
}

static void test_removed(void)
{
	struct child ch = start_child(PAGE_V1);

	watch(&ch);
	tell(&ch, 'a');
	usleep((useconds_t)(2 * THRESHOLD_NS / 1000)); /* the record waits in the ring */
	source_bpf.remove(source, 0);
	run_for(50 * MS);
	is_int((int)nevents, 0, "nothing is told of a process that is no longer watched");
	end_child(&ch);
}

static void test_stats(void)
{
	struct strbuf out = STRBUF_INIT;

	source_bpf.stats(source, &out);
	ok(strstr(strbuf_str(&out), "bpf.passes ") && strstr(strbuf_str(&out), "bpf.read_fault "),
	   "counts have names");
	ok(strstr(strbuf_str(&out), "bpf.no_segment 0\n") &&
		   strstr(strbuf_str(&out), "bpf.bad_len 0\n") &&
		   strstr(strbuf_str(&out), "bpf.timer_gone 0\n") &&
		   strstr(strbuf_str(&out), "bpf.events_full 0\n"),
	   "and nothing went wrong");
	for (char *save = NULL, *line = strtok_r(out.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		diag("%s", line);
	strbuf_free(&out);
}

int main(void)
{
	static const struct thresholds thresholds = { .alert_ns = THRESHOLD_NS };
	struct source_opts opts = {
		.poll_ns = 50 * MS,
		.thresholds = &thresholds,
		.max_procs = 4,
	};
	struct err err = { "" };

	if (features__bpf_usable(&err))
		skip_all("%s", err.text);
	plan(57);
	if (!ok(!source_bpf.open(&opts, on_event, NULL, &source, &err), "the backend opens")) {
		diag("%s", err.text);
		return done();
	}
	test_stall('a', "asleep");
	test_stall('s', "on CPU");
	test_short();
	test_attach_late();
	test_counter();
	test_v0();
	test_stopped('a', "asleep and stopped");
	test_stopped('s', "on CPU and stopped");
	test_exec('e', "exec");
	test_exec('t', "exec by another thread");
	test_exit();
	test_generation();
	test_many();
	test_not_present();
	test_race();
	test_hotplug();
	test_removed();
	test_stats();
	source_bpf.free(source);
	if (!ok(refuse_perf() && !source_bpf.open(&opts, on_event, NULL, &source, &err),
		"the backend opens without perf_event_open")) {
		diag("%s", err.text);
		return done();
	}
	test_stall('a', "asleep, other tick");
	test_stall('s', "on CPU, other tick");
	test_short();
	test_stats();
	source_bpf.free(source);
	return done();
}
