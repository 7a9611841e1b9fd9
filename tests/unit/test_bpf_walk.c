// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Stacks taken by the tick. Without arguments: of a child of this program whose "frames" are built
 * here, so that each rule of pywalk.bpf.c can be met on purpose. And for the shell tests:
 *
 *	test_bpf_walk count PID N	N walks of tests/targets/walk_busy.py: how many stacks of
 *					running threads are exact, and how many of these wrong
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "kern/features.h"
#include "py/python.h"
#include "source/source.h"

#include "noperf.h"
#include "stall/threshold.h"
#include "tap.h"

#define DEPTH 10
#define TOO_DEEP (PYWALK_FRAMES + 50)
#define OWNER_GENERATOR 1
#define OWNER_ENTRY 3

struct fake_frame {
	uint64_t code, prev, instr;
	uint8_t owner, pad[7];
};

struct fake_cframe {
	uint64_t frame, prev;
};

/* What a thread state and all that hangs on it would be; lies at the same place in the child. */
struct fake {
	uint64_t current;
	uint64_t native_id;
	uint64_t thread_id; /* before 3.11: address of a struct that has it */
	uint32_t pad, pthread_tid;
	struct fake_cframe cframe[2];
	struct fake_frame frame[TOO_DEEP];
};

static const struct pywalk_layout plain = {
	.ts_frame = offsetof(struct fake, current),
	.ts_native_id = offsetof(struct fake, native_id),
	.cf_frame = PYWALK_NONE,
	.cf_prev = PYWALK_NONE,
	.f_size = sizeof(struct fake_frame),
	.f_prev = offsetof(struct fake_frame, prev),
	.f_code = offsetof(struct fake_frame, code),
	.f_instr = offsetof(struct fake_frame, instr),
	.f_owner = offsetof(struct fake_frame, owner),
	.f_mark = PYWALK_NONE,
	.gen_owner = PYWALK_NONE,
};

static struct source *source;
static struct pywalk_record record;

static void on_event(void *ctx, const struct source_event *ev)
{
	(void)ctx;
	(void)ev;
}

static int open_source(struct err *err)
{
	static const struct thresholds thresholds = { .alert_ns = 200 * NSEC_PER_MSEC };
	struct source_opts opts = {
		.poll_ns = 50 * NSEC_PER_MSEC,
		.thresholds = &thresholds,
		.max_procs = 1,
	};

	return source_bpf.open(&opts, on_event, NULL, &source, err);
}

static uint64_t addr_of(const void *p)
{
	return (uintptr_t)p;
}

/* A chain of N frames, innermost first. */
static void chain(struct fake *f, int n)
{
	memset(f, 0, sizeof(*f));
	f->current = n ? addr_of(&f->frame[0]) : 0;
	for (int i = 0; i < n; i++) {
		f->frame[i].code = 0x1000u + (unsigned)i;
		f->frame[i].instr = 0x2000u + (unsigned)i;
		f->frame[i].prev = i + 1 < n ? addr_of(&f->frame[i + 1]) : 0;
	}
}

/* Takes the stack of a child that computes, with F as it is now. */
static int capture_at(struct fake *f, uint64_t tstate, const struct pywalk_layout *layout,
		      bool other)
{
	int err = -EAGAIN, pipefd[2];
	pid_t child;
	char byte;

	if (pipe(pipefd))
		return -errno;
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* a fork does not map shared pages before they are touched */
		for (size_t i = 0; i < sizeof(*f); i += 4096)
			(void)*((volatile char *)f + i);
		f->native_id = (uint64_t)getpid() + other;
		f->thread_id = addr_of(&f->pad);
		f->pthread_tid = (uint32_t)f->native_id;
		if (write(pipefd[1], "", 1) == 1)
			for (;;)
				;
		_exit(1);
	}
	close(pipefd[1]);
	if (read(pipefd[0], &byte, 1) != 1)
		diag("the child is gone");
	memset(&record, 0xff, sizeof(record));
	/* where the machine is busy, the child may wait for a CPU as long as a capture does */
	for (int i = 0; i < 20; i++) {
		err = source_bpf.capture(source, child, tstate, layout, &record);
		if (err != -EAGAIN)
			break;
	}
	if (!err && record.tid != (uint32_t)child)
		diag("thread %u, want %d (this is a pid namespace?)", record.tid, (int)child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(pipefd[0]);
	return err;
}

static int capture(struct fake *f, const struct pywalk_layout *layout, bool other)
{
	return capture_at(f, addr_of(f), layout, other);
}

static void is_walk(int err, uint32_t flags, uint32_t nframes, const char *name)
{
	if (!ok(!err && record.flags == flags && record.nframes == nframes, "%s", name))
		diag("error %d, flags %#x, %u frames; want %#x, %u", err, record.flags,
		     record.nframes, flags, nframes);
}

static void test_chain(struct fake *f)
{
	bool right = true;

	chain(f, DEPTH);
	is_walk(capture(f, &plain, false), PYWALK_COMPLETE, DEPTH, "a chain that ends");
	for (unsigned int i = 0; i < record.nframes && i < DEPTH; i++)
		right &= record.frame[i].addr == addr_of(&f->frame[i]) &&
			 record.frame[i].code == 0x1000 + i && record.frame[i].instr == 0x2000 + i;
	ok(right && record.tstate == addr_of(f) && record.type, "with what stands in its frames");
	chain(f, 0);
	is_walk(capture(f, &plain, false), PYWALK_NOFRAME, 0, "no frame");
	chain(f, PYWALK_FRAMES);
	is_walk(capture(f, &plain, false), PYWALK_COMPLETE, PYWALK_FRAMES,
		"as many as there may be");
	chain(f, TOO_DEEP);
	is_walk(capture(f, &plain, false), PYWALK_LIMIT, PYWALK_FRAMES, "more");
	f->frame[4].prev = addr_of(&f->frame[4]);
	is_walk(capture(f, &plain, false), PYWALK_LIMIT, PYWALK_FRAMES, "a ring");
	chain(f, DEPTH);
	f->frame[4].prev = 8;
	is_walk(capture(f, &plain, false), PYWALK_FAULT, 5, "a frame that is not there");
	f->current = ~7ULL;
	is_walk(capture(f, &plain, false), PYWALK_FAULT, 0, "a first frame in the kernel's half");
	chain(f, DEPTH);
	is_walk(capture(f, &plain, true), PYWALK_OTHER, 0, "a thread state of another thread");
	is_walk(capture_at(f, 8, &plain, false), PYWALK_FAULT, 0,
		"a thread state that is not there");
}

/* Before 3.11: whose thread state it is, the C library's struct of the thread tells. */
static void test_pthread(struct fake *f)
{
	struct pywalk_layout layout = plain;

	layout.ts_native_id = PYWALK_NONE;
	layout.ts_thread_id = offsetof(struct fake, thread_id);
	layout.pthread_tid = offsetof(struct fake, pthread_tid) - offsetof(struct fake, pad);
	layout.f_owner = PYWALK_NONE;
	chain(f, DEPTH);
	f->frame[0].owner = OWNER_GENERATOR;
	is_walk(capture(f, &layout, false), PYWALK_COMPLETE, DEPTH, "the C library's tid");
	is_int((int)record.frame[0].owner, 0, "no owner");
	is_walk(capture(f, &layout, true), PYWALK_OTHER, 0, "the C library's tid of another");
	layout.pthread_tid = PYWALK_NONE;
	is_walk(capture(f, &layout, false), PYWALK_FAULT, 0, "a struct that is not there");
}

/* 3.12: a generator's frame never ends a chain. */
static void test_generator(struct fake *f)
{
	struct pywalk_layout layout = plain;

	layout.gen_owner = OWNER_GENERATOR;
	chain(f, DEPTH);
	f->frame[3].owner = OWNER_GENERATOR;
	is_walk(capture(f, &layout, false), PYWALK_COMPLETE, DEPTH, "a generator within");
	is_int((int)record.frame[3].owner, OWNER_GENERATOR, "its owner is told");
	f->frame[3].prev = 0;
	is_walk(capture(f, &layout, false), PYWALK_STALE, 3, "a generator that ends the chain");
}

/* 3.11, 3.12: the first entry frame leads to the current frame of the calling loop. */
static void test_entry(struct fake *f)
{
	struct pywalk_layout layout = plain;

	layout.cf_frame = offsetof(struct fake_cframe, frame);
	layout.cf_prev = offsetof(struct fake_cframe, prev);
	layout.f_mark = offsetof(struct fake_frame, owner);
	layout.mark_val = OWNER_ENTRY;
	chain(f, DEPTH);
	f->current = addr_of(&f->cframe[0]);
	f->cframe[0].frame = addr_of(&f->frame[0]);
	f->cframe[0].prev = addr_of(&f->cframe[1]);
	f->cframe[1].frame = addr_of(&f->frame[4]);
	f->frame[3].owner = OWNER_ENTRY;
	is_walk(capture(f, &layout, false), PYWALK_COMPLETE, DEPTH, "two loops");
	f->cframe[1].frame = addr_of(&f->frame[5]);
	is_walk(capture(f, &layout, false), PYWALK_STALE, 3, "an entry frame that leads elsewhere");
	f->frame[3].owner = 0;
	is_walk(capture(f, &layout, false), PYWALK_STALE, DEPTH, "no entry frame");
	f->cframe[0].prev = 0;
	f->frame[DEPTH - 1].owner = OWNER_ENTRY;
	is_walk(capture(f, &layout, false), PYWALK_COMPLETE, DEPTH, "one loop");
}

static void test_refused(struct fake *f)
{
	struct pywalk_layout layout = plain;
	pid_t child;

	chain(f, DEPTH);
	layout.f_prev = 4;
	is_int(capture(f, &layout, false), -EOPNOTSUPP, "an offset that is not aligned");
	layout.f_prev = sizeof(struct fake_frame);
	is_int(capture(f, &layout, false), -EOPNOTSUPP, "an offset outside of the frame");
	layout = plain;
	layout.f_size = PYWALK_FRAME_BYTES + 1;
	is_int(capture(f, &layout, false), -EOPNOTSUPP, "a frame that is too large");
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	usleep(50000);
	is_int(source_bpf.capture(source, child, addr_of(f), &plain, &record), -EAGAIN,
	       "a thread that sleeps");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	is_int(source_bpf.capture(source, child, addr_of(f), &plain, &record), -EAGAIN,
	       "a thread that is gone");
}

static struct python *open_or_die(const char *pid)
{
	struct err err = { "" };
	struct python *py;

	if (open_source(&err) || python__open(atoi(pid), &py, &err)) {
		printf("error\t%s\n", err.text);
		exit(1);
	}
	return py;
}

/* f0 ... fN in the lines where they call the next, from `run` inwards. */
static bool is_busy_chain(const struct py_thread *t)
{
	size_t i = t->nframes, depth = 0;
	char name[24];

	/* threading's run() is another */
	while (i > 0 && (strcmp(t->frame[i - 1].name, "run") ||
			 !strstr(t->frame[i - 1].file, "walk_busy.py")))
		i--;
	for (i = i ? i - 1 : 0; i > 0 && !strcmp(t->frame[i - 1].file, "busy.py"); i--, depth++) {
		snprintf(name, sizeof(name), "f%zu", depth);
		if (strcmp(t->frame[i - 1].name, name))
			return false;
		if (i > 1 && !strcmp(t->frame[i - 2].file, "busy.py") &&
		    t->frame[i - 1].line != (int)(4 * depth + 3))
			return false;
	}
	/* what lies inside of the chain belongs to rest() or randrange(), and is no second chain */
	for (; i > 0; i--)
		if (!strcmp(t->frame[i - 1].file, "busy.py"))
			return false;
	return true;
}

static int count_wrong(const char *pid, long walks)
{
	struct python *py = open_or_die(pid);
	struct py_walk_opts opts = { .capture = source_bpf.capture, .capture_ctx = source };
	size_t running = 0, exact = 0, wrong = 0;

	for (long n = 0; n < walks; n++) {
		struct py_snapshot *snap;

		if (python__walk(py, &opts, &snap, NULL))
			break;
		for (size_t i = 0; i < snap->nthreads; i++) {
			const struct py_thread *t = &snap->thread[i];

			if (strcmp(t->name, "busy") || t->state != PY_RUNNING)
				continue;
			running++;
			exact += t->exact;
			wrong += t->exact && !is_busy_chain(t);
			for (size_t k = 0; t->exact && !is_busy_chain(t) && k < t->nframes; k++)
				printf("wrong\t%s\t%d\n", t->frame[k].name, t->frame[k].line);
		}
		py_snapshot__free(snap);
	}
	printf("running\t%zu\texact\t%zu\twrong\t%zu\n", running, exact, wrong);
	python__free(py);
	source_bpf.free(source);
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = { "" };
	struct fake *f;

	if (argc == 4 && !strcmp(argv[1], "count"))
		return count_wrong(argv[2], atol(argv[3]));
	if (features__bpf_usable(&err))
		skip_all("%s", err.text);
	plan(32);
	f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (open_source(&err)) {
		diag("%s", err.text);
		return 1;
	}
	test_chain(f);
	test_pthread(f);
	test_generator(f);
	test_entry(f);
	test_refused(f);
	/* as on kernels that want more for it than the loader keeps */
	ok(refuse_perf(), "perf_event_open is refused from now on");
	chain(f, DEPTH);
	is_walk(capture(f, &plain, false), PYWALK_COMPLETE, DEPTH,
		"the tick takes what the event may not");
	is_walk(capture(f, &plain, true), PYWALK_OTHER, 0, "another thread's state, by the tick");
	source_bpf.free(source);
	if (!ok(!open_source(&err), "without perf_event_open")) {
		diag("%s", err.text);
		return done();
	}
	chain(f, DEPTH);
	is_walk(capture(f, &plain, false), PYWALK_COMPLETE, DEPTH, "a chain that ends, other tick");
	is_walk(capture(f, &plain, true), PYWALK_OTHER, 0, "another thread's state, other tick");
	source_bpf.free(source);
	return done();
}
