// SPDX-License-Identifier: MIT OR Apache-2.0
/* The poll backend on pages of this very process. Bounds in time are generous: it may not run at
 * once. */
#include "source/source.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "source/slot.h"
#include "stall/threshold.h"
#include "tap.h"

#define MS NSEC_PER_MSEC
#define THRESHOLD (30 * MS)

static struct source_event got[16];
static int ngot;
static struct source *src;
static struct slot_page *page;
static struct slot_page_info info;

static void on_event(void *ctx, const struct source_event *ev)
{
	(void)ctx;
	if (ngot < 16)
		got[ngot++] = *ev;
}

/* Until something is told, or MS milliseconds have passed. How many events came. */
static int wait_events(int ms)
{
	uint64_t end = clock_monotonic_ns() + (uint64_t)ms * MS;
	struct pollfd pfd = { .fd = source_poll.fd(src), .events = POLLIN };

	ngot = 0;
	while (!ngot && clock_monotonic_ns() < end) {
		poll(&pfd, 1, 5);
		source_poll.dispatch(src);
	}
	return ngot;
}

static uint64_t active(void)
{
	return (clock_monotonic_ns() - 1) | 1;
}

static void lives(void)
{
	uint64_t start = active();

	page->word[1] = start;
	is_int(wait_events(5000), 1, "a section that lasts is told");
	ok(got[0].type == SOURCE_STALL && got[0].slot == 1 && got[0].word == start &&
		   got[0].proc == 3 && got[0].page == info.addr,
	   "which one, and since when");
	ok(got[0].now_ns - start >= THRESHOLD, "not before the threshold");
	is_int(wait_events(200), 0, "once");
	page->word[1] = start + 500 * MS + 1;
	is_int(wait_events(5000), 1, "and its end");
	ok(got[0].type == SOURCE_END && got[0].word == start && got[0].word_now == page->word[1],
	   "with the word that followed");
}

static void counters(void)
{
	page->word[2] = 41;
	info.counters[0] = 4;
	source_poll.set_pages(src, 3, &info, 1, NULL);
	is_int(wait_events(5000), 1, "a counter that rests at an odd value is told");
	ok(got[0].type == SOURCE_STALL && got[0].slot == 2 && got[0].value == 41, "with its value");
	page->word[2] = 42;
	ok(wait_events(5000) == 1 && got[0].type == SOURCE_END, "and its end");
	for (int i = 0; i < 20; i++) {
		page->word[2] += 2;
		page->word[2] |= 1;
		usleep(5000);
	}
	page->word[2]++;
	is_int(wait_events(200), 0, "one that moves is not");
}

static void generation(void)
{
	page->generation++;
	ok(wait_events(5000) == 1 && got[0].type == SOURCE_GENERATION, "a new generation is told");
	is_int(wait_events(200), 0, "once");
	info.in_use = 100;
	info.generation = page->generation;
	page->in_use = 100;
	source_poll.set_pages(src, 3, &info, 1, NULL);
	page->word[99] = active();
	ok(wait_events(5000) == 1 && got[0].type == SOURCE_STALL && got[0].slot == 99,
	   "slots that came later are watched");
	source_poll.remove(src, 3);
	page->word[99]++;
	is_int(wait_events(200), 0, "a process that was removed is not");
}

static uint64_t count[2]; /* of steps, of two loops */
static int waits_fd; /* on which it waits */
static pid_t waits_tid; /* its thread */

static void *wait_in_epoll(void *unused)
{
	struct epoll_event ev;

	(void)unused;
	__atomic_store_n(&waits_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	epoll_wait(waits_fd, &ev, 1, -1);
	return NULL;
}

static void set_loop(pid_t tid, int fd, const uint64_t *steps)
{
	struct source_loop loop = {
		.tid = tid,
		.ver_addr = (uintptr_t)steps,
		.ver = *steps,
		.fd = fd,
	};

	is_int(source_poll.set_loop(src, 3, &loop), 0, "it takes an event loop");
}

static void loop_runs(void)
{
	uint64_t before = clock_monotonic_ns();

	count[0] = 10;
	set_loop((pid_t)syscall(SYS_gettid), -1, &count[0]);
	is_int(wait_events(100), 0, "one that has not moved yet waits");
	count[0]++;
	is_int(wait_events(5000), 1, "a step that lasts is told");
	ok(got[0].type == SOURCE_LOOP_STALL && got[0].loop.ver_addr == (uintptr_t)&count[0] &&
		   got[0].loop.ver == 11 && !got[0].loop.start_exact,
	   "which one");
	ok(got[0].loop.start_ns > before && got[0].now_ns - got[0].loop.start_ns >= THRESHOLD,
	   "since when, not before the threshold");
	before = got[0].loop.start_ns;
	is_int(wait_events(200), 0, "once");
	count[0]++;
	is_int(wait_events(5000), 1, "and its end");
	ok(got[0].type == SOURCE_LOOP_END && got[0].loop.start_ns == before &&
		   got[0].loop.end_ns > before + 200 * MS && got[0].loop.is_long &&
		   !got[0].loop.end_exact,
	   "when, about");
	ok(wait_events(5000) == 1 && got[0].type == SOURCE_LOOP_STALL && got[0].loop.ver == 12,
	   "so is the next step");
}

static void loop_waits(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	pthread_t thread;
	int fds[2], refused = 0;

	is_int(pipe(fds), 0, "there is a pipe");
	waits_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(waits_fd, EPOLL_CTL_ADD, fds[0], &ev);
	pthread_create(&thread, NULL, wait_in_epoll, NULL);
	while (!__atomic_load_n(&waits_tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	usleep(20000);
	set_loop(waits_tid, waits_fd, &count[1]);
	count[1]++;
	is_int(wait_events(300), 0, "while it waits where its loop does, nothing is told");
	set_loop(waits_tid, waits_fd + 1, &count[1]);
	count[1]++;
	ok(wait_events(5000) == 1 && got[0].type == SOURCE_LOOP_STALL &&
		   got[0].loop.tid == waits_tid,
	   "while it waits elsewhere, it is in a step");
	is_int(write(fds[1], "", 1), 1, "it is woken");
	pthread_join(thread, NULL);
	ok(wait_events(5000) == 1 && got[0].type == SOURCE_LOOP_END, "a step ends with its thread");
	count[1]++;
	is_int(wait_events(200), 0, "which is then forgotten");
	for (int i = 0; i < 200; i++) {
		struct source_loop loop = { waits_tid, (uintptr_t)&page->word[i], 0, -1, 0, false };

		refused += source_poll.set_loop(src, 3, &loop) != 0;
	}
	is_int(refused, 0, "loops of threads that have ended make room for others");
}

int main(void)
{
	static const struct thresholds thresholds = { .alert_ns = THRESHOLD };
	struct source_opts opts = { .poll_ns = 20 * MS, .thresholds = &thresholds, .max_procs = 4 };
	struct err err;

	plan(34);
	page = mmap(NULL, SLOT_MAP_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page->in_use = 3;
	page->generation = 1;
	info.addr = (uintptr_t)page;
	info.version = SLOT_V1;
	info.nwords = SLOT_WORDS;
	info.in_use = 3;
	info.generation = 1;
	is_int(source_poll.open(&opts, on_event, NULL, &src, &err), 0, "it opens");
	source_poll.add(src, 3, getpid(), -1, 0, 1, &err);
	is_int(source_poll.set_pages(src, 3, &info, 1, &err), 0, "it takes a page");
	lives();
	counters();
	loop_runs();
	loop_waits();
	generation();
	source_poll.free(src);
	return done();
}
