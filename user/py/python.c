// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/python.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/maps.h"
#include "proc/recording.h"
#include "py/arena.h"
#include "py/interp.h"
#include "py/kind.h"
#include "py/lock.h"
#include "py/loop.h"
#include "py/runtime.h"
#include "py/target.h"
#include "py/walk.h"

#define DEFAULT_TIMEOUT_NS NSEC_PER_SEC
#define TEST_TIMEOUT_NS (500 * NSEC_PER_MSEC)
#define WORLD_TIMEOUT_NS (100 * NSEC_PER_MSEC)
#define TEST_PAUSE_US 2000
#define TEST_ROUNDS 50

struct python {
	struct py_target target;
	struct runtime runtime;
	struct walker *walker;
	struct loops *loops;
	struct maps recorded; /* of a recording */
	struct kinds *kinds; /* made when locks are looked for */
	bool hurried;
	char description[PY_VERSION_LEN + 300];
};

struct snapshot {
	struct py_snapshot pub; /* first: what the caller sees */
	struct arena arena;
};

static void describe(struct python *py)
{
	char version[PY_VERSION_LEN];

	py_version__format(py->runtime.hex, version);
	snprintf(py->description, sizeof(py->description), "CPython %s (%s, %s)", version,
		 py->runtime.in_executable ? "static" : "shared", py->runtime.path);
}

/* What a process without a stack that proves the layout is to be told. TEST: the last one. */
static int unproven(const struct python *py, const struct walk_test *test, struct err *err)
{
	pid_t pid = py->target.pid;
	char version[PY_VERSION_LEN];

	if (!test->threads)
		return err_set(err, -ENOENT, "the Python in process %d is starting or ending", pid);
	if (py->target.layout.known_build) {
		log_msg(LOG_DEBUG, "python",
			"process %d: no stack of %zu threads proves the layout yet", pid,
			test->threads);
		return 0;
	}
	if (!test->with_frames)
		return err_set(err, -ENOENT, "no thread of process %d runs Python code yet", pid);
	if (!test->wrong || py->hurried)
		return err_set(err, -ENOENT, "no stack of process %d stood still for a look yet",
			       pid);
	py_version__format(py->runtime.hex, version);
	return err_set(err, -EOPNOTSUPP,
		       "the CPython %s in process %d is a build that is laid out in an unknown way",
		       version, pid);
}

/*
 * The layout is right if one chain of frames ends where its thread began and every code object in
 * it is one. A program that makes and leaves calls all the time may need several looks; one that is
 * idle in C code has no frame to look at. Then a build that was measured, or describes itself, is
 * handed out, and its walks go on with the test: until one succeeds they call no stack exact.
 */
static int self_test(struct python *py, struct err *err)
{
	struct walk_test test = { 0 };
	char version[PY_VERSION_LEN];
	pid_t pid = py->target.pid;
	int ret = 0, rounds = pid && !py->hurried ? TEST_ROUNDS : 1;

	py->target.deadline_ns = clock_monotonic_ns() + TEST_TIMEOUT_NS;
	for (int i = 0; i < rounds && !py_target__late(&py->target); i++) {
		ret = walker__test(py->walker, &test);
		if (ret == -ESRCH || ret == -EPERM)
			return err_set(err, ret, "cannot read the memory of process %d any more",
				       pid);
		if (ret == -ENOMEM)
			return err_set(err, ret, "no memory for reading process %d", pid);
		if (!ret && test.proven)
			return 0;
		/* nothing to prove it by, nothing to wait for */
		if (!ret && !test.with_frames && py->target.layout.known_build)
			break;
		if (rounds > 1) /* a recording does not change */
			usleep(TEST_PAUSE_US);
	}
	if (ret == -ENOENT)
		return err_set(err, ret, "the Python in process %d is starting or ending", pid);
	if (!ret)
		return unproven(py, &test, err);
	py_version__format(py->runtime.hex, version);
	return err_set(err, -EIO, "the memory of the CPython %s in process %d makes no sense",
		       version, pid);
}

/* With its memory and, if it lives, its pid; MAPS and EXE tell of a recording. */
static int open_python(struct python *py, const struct maps *maps, const char *exe, struct err *err)
{
	int ret = maps ? runtime__find_in(&py->target, maps, exe, &py->runtime, err)
		       : runtime__find(&py->target, &py->runtime, err);

	if (ret)
		return ret;
	describe(py);
	py->walker = walker__new(&py->target);
	py->loops = loops__new(&py->target);
	if (!py->walker || !py->loops)
		return err_set(err, -ENOMEM, "no memory for reading process %d", py->target.pid);
	return self_test(py, err);
}

/* REC may be NULL. */
static int open_process(struct python *py, struct recorder **rec, struct err *err)
{
	int ret = mem__open(py->target.pid, &py->target.mem, err);

	if (!ret && rec)
		ret = recorder__new(py->target.mem, &py->target.mem, rec);
	return ret ? ret : open_python(py, NULL, NULL, err);
}

static int open_recording(struct python *py, const struct recording *r, struct err *err)
{
	char *text = strdup(r->maps);

	if (!text || maps__from_text(text, strlen(text), &py->recorded))
		return err_set(err, -ENOMEM, "no memory for a recording");
	py->target.recorded = &py->recorded;
	return open_python(py, &py->recorded, r->exe, err);
}

static struct python *new_python(pid_t pid, struct err *err)
{
	struct python *py = calloc(1, sizeof(*py));

	if (py)
		py->target.pid = pid;
	else
		err_set(err, -ENOMEM, "no memory for reading process %d", pid);
	return py;
}

/* Hands out PY, or not if opening it gave RET. */
static int hand_out(struct python *py, int ret, struct python **out)
{
	*out = ret ? NULL : py;
	if (ret)
		python__free(py);
	return ret;
}

int python__open(pid_t pid, struct python **out, struct err *err)
{
	struct python *py = new_python(pid, err);

	return hand_out(py, py ? open_process(py, NULL, err) : -ENOMEM, out);
}

int python__open_now(pid_t pid, struct python **out, struct err *err)
{
	struct python *py = new_python(pid, err);

	if (py)
		py->hurried = true;
	return hand_out(py, py ? open_process(py, NULL, err) : -ENOMEM, out);
}

int python__record(pid_t pid, struct python **out, struct recorder **rec, struct err *err)
{
	struct python *py = new_python(pid, err);
	int ret;

	*rec = NULL;
	ret = hand_out(py, py ? open_process(py, rec, err) : -ENOMEM, out);
	if (!ret)
		return 0;
	recorder__free(*rec);
	*rec = NULL;
	return ret;
}

int python__open_recording(const struct recording *r, struct mem *mem, struct python **out,
			   struct err *err)
{
	struct python *py = new_python(0, err);

	if (py)
		py->target.mem = mem;
	else
		mem__free(mem);
	return hand_out(py, py ? open_recording(py, r, err) : -ENOMEM, out);
}

void python__free(struct python *py)
{
	if (!py)
		return;
	walker__free(py->walker);
	loops__free(py->loops);
	kinds__free(py->kinds);
	mem__free(py->target.mem);
	maps__free(&py->recorded);
	free(py);
}

const struct mem_stats *python__mem_stats(const struct python *py)
{
	return mem__stats(py->target.mem);
}

int python__locks(struct python *py, const struct py_snapshot *snap, struct py_lock *out)
{
	if (!py->kinds)
		py->kinds = kinds__new(&py->target);
	return py->kinds ? locks__find(&py->target, py->kinds, snap, out) : -ENOMEM;
}

const char *python__file(const struct python *py)
{
	return py->runtime.path;
}

const char *python__describe(const struct python *py)
{
	return py->description;
}

int python__gils(struct python *py, struct py_gils *out)
{
	int ret = mem__check(py->target.mem);

	*out = (struct py_gils){ 0 };
	return ret ? ret : interp__gils(&py->target, out);
}

int python__loop(struct python *py, const struct py_thread *th, struct py_loop *out)
{
	int ret = mem__check(py->target.mem);

	*out = (struct py_loop){ 0 };
	if (ret)
		return ret;
	return loops__look(py->loops, th, out);
}

int python__world(struct python *py, uint64_t at, struct py_world *out)
{
	py->target.deadline_ns = clock_monotonic_ns() + WORLD_TIMEOUT_NS;
	return interp__world(&py->target, at, out);
}

static int walk_error(const struct python *py, int ret, struct err *err)
{
	pid_t pid = py->target.pid;

	if (mem__check(py->target.mem) == -ESRCH)
		ret = -ESRCH;
	switch (ret) {
	case -ESRCH:
		return err_set(err, ret, "process %d has ended or runs another program", pid);
	case -EPERM:
		return err_set(err, ret, "may not read the memory of process %d any more", pid);
	case -ENOMEM:
		return err_set(err, ret, "no memory for the stacks of process %d", pid);
	case -ENOENT:
		return err_set(err, -EIO, "the Python in process %d is ending", pid);
	default:
		return err_set(err, -EIO, "the thread states of process %d make no sense", pid);
	}
}

/* By then all stacks are read: they do not wait for tasks. */
static void add_tasks(struct python *py, uint64_t timeout_ns, struct snapshot *snap)
{
	uint64_t until = clock_monotonic_ns() + timeout_ns;

	if (until < py->target.deadline_ns)
		py->target.deadline_ns = until;
	walker__add_tasks(py->walker, &snap->arena, &snap->pub);
}

int python__walk(struct python *py, const struct py_walk_opts *opts, struct py_snapshot **out,
		 struct err *err)
{
	uint64_t timeout = opts && opts->timeout_ns ? opts->timeout_ns : DEFAULT_TIMEOUT_NS;
	struct snapshot *snap;
	int ret;

	*out = NULL;
	if (mem__check(py->target.mem))
		return walk_error(py, -ESRCH, err);
	snap = calloc(1, sizeof(*snap));
	if (!snap)
		return walk_error(py, -ENOMEM, err);
	snap->pub.note = "";
	py->target.deadline_ns = clock_monotonic_ns() + timeout;
	ret = walker__run(py->walker, opts, &snap->arena, &snap->pub);
	if (!ret && opts && opts->tasks == PY_TASKS_BRIEF)
		add_tasks(py, opts->tasks_ns, snap);
	/* exec in the middle of it: what was read may be half of each program */
	if (!ret)
		ret = mem__check(py->target.mem);
	if (ret) {
		py_snapshot__free(&snap->pub);
		return walk_error(py, ret, err);
	}
	snap->pub.taken_ns = clock_monotonic_ns();
	*out = &snap->pub;
	return 0;
}

void py_snapshot__free(struct py_snapshot *pub)
{
	struct snapshot *snap = (struct snapshot *)pub;

	if (!snap)
		return;
	arena__free(&snap->arena);
	free(snap);
}
