// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The reader as a whole: against processes that are no Python, and for the shell tests
 *
 *	test_walk print PID		one walk: a line per thread, a line per frame
 *	test_walk count PID N		N walks of walk_busy.py: how many stacks are wrong
 *	test_walk time PID N		N walks: median and maximum in microseconds
 */
#include "py/python.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

static struct python *open_or_die(const char *pid)
{
	struct err err = { { 0 } };
	struct python *py;
	int ret = python__open(atoi(pid), &py, &err);

	if (ret) {
		printf("error\t%d\t%s\n", ret, err.text);
		exit(1);
	}
	return py;
}

static struct py_snapshot *walk_or_die(struct python *py)
{
	struct err err = { { 0 } };
	struct py_snapshot *snap;
	int ret = python__walk(py, NULL, &snap, &err);

	if (ret) {
		printf("error\t%d\t%s\n", ret, err.text);
		exit(1);
	}
	return snap;
}

static void print_frame(const struct py_thread *t, size_t k)
{
	const struct py_frame *f = &t->frame[k];
	const struct line_place *p = &f->place;

	printf("frame\t%" PRIu64 "\t%s\t%zu\t%s\t%s\t%d", t->ident, t->name, k, f->name, f->file,
	       f->line);
	if (p->end_line)
		printf("\t%d\t%d\t%d\n", p->end_line, p->column, p->end_column);
	else
		printf("\t?\t?\t?\n");
}

/*
 * thread	ident	tid	name	state	holds_gil	exact	frames	cut	note
 * frame	ident	name	position	function	file	line	end_line
 * column end_column
 */
static int print_walk(const char *pid)
{
	struct python *py = open_or_die(pid);
	struct py_snapshot *snap = walk_or_die(py);

	printf("python\t%s\t%s\n", python__describe(py), snap->note);
	for (size_t i = 0; i < snap->nthreads; i++) {
		const struct py_thread *t = &snap->thread[i];

		printf("thread\t%" PRIu64 "\t%d\t%s\t%d\t%d\t%d\t%zu\t%zu\t%s\n", t->ident, t->tid,
		       t->name, t->state, t->holds_gil, t->exact, t->nframes, t->cut, t->note);
		for (size_t k = 0; k < t->nframes; k++)
			print_frame(t, k);
	}
	py_snapshot__free(snap);
	python__free(py);
	return 0;
}

/* f0 ... fN from `run` inwards, each in the line where it calls the next; anything may lie inside.
 */
static bool busy_is_right(const struct py_thread *t)
{
	size_t i = t->nframes, depth = 0;
	char name[24];

	/* threading's run() is another */
	while (i > 0 && (strcmp(t->frame[i - 1].name, "run") ||
			 !strstr(t->frame[i - 1].file, "walk_busy.py")))
		i--;
	if (!i)
		return false;
	for (i--; i > 0 && !strcmp(t->frame[i - 1].file, "busy.py"); i--, depth++) {
		snprintf(name, sizeof(name), "f%zu", depth);
		if (strcmp(t->frame[i - 1].name, name))
			return false;
		if (i > 1 && !strcmp(t->frame[i - 2].file, "busy.py") &&
		    t->frame[i - 1].line != (int)(4 * depth + 3))
			return false;
	}
	/* what lies inside of the chain belongs to rest(), and is no second chain */
	for (; i > 0; i--)
		if (!strcmp(t->frame[i - 1].file, "busy.py"))
			return false;
	return true;
}

/* exact and wrong, shown as unstable and wrong, unstable without a stack */
static int count_wrong(const char *pid, long walks)
{
	struct python *py = open_or_die(pid);
	size_t exact = 0, exact_wrong = 0, shown = 0, shown_wrong = 0, none = 0;

	for (long n = 0; n < walks; n++) {
		struct py_snapshot *snap = walk_or_die(py);

		for (size_t i = 0; i < snap->nthreads; i++) {
			const struct py_thread *t = &snap->thread[i];
			bool right;

			if (strcmp(t->name, "busy"))
				continue;
			right = busy_is_right(t);
			exact += t->exact;
			exact_wrong += t->exact && !right;
			shown += !t->exact && t->nframes;
			shown_wrong += !t->exact && t->nframes && !right;
			none += !t->exact && !t->nframes;
			if (t->exact && !right)
				for (size_t k = 0; k < t->nframes; k++)
					printf("wrong\t%s\t%d\n", t->frame[k].name,
					       t->frame[k].line);
		}
		py_snapshot__free(snap);
	}
	printf("exact\t%zu\twrong\t%zu\tunstable\t%zu\twrong\t%zu\tnone\t%zu\n", exact, exact_wrong,
	       shown, shown_wrong, none);
	python__free(py);
	return 0;
}

/* The caller's line tells which cell it is. */
static bool cell_is_right(const struct py_frame *f)
{
	int n;

	return sscanf(f[0].file, "cell%d.py", &n) == 1 && !strcmp(f[1].name, "dispatch") &&
	       f[1].line == 2 * (n % 8) + 3;
}

static int count_reuse(const char *pid, long walks, bool anew)
{
	struct python *py = open_or_die(pid);
	size_t exact = 0, wrong = 0;

	for (long n = 0; n < walks; n++) {
		struct py_snapshot *snap;

		if (anew) {
			python__free(py);
			py = open_or_die(pid);
		}
		snap = walk_or_die(py);

		for (size_t i = 0; i < snap->nthreads; i++) {
			const struct py_thread *t = &snap->thread[i];

			/* between two cells it runs run() and the compiler */
			if (strcmp(t->name, "cells") || !t->exact || t->nframes < 5 ||
			    strncmp(t->frame[0].file, "cell", 4))
				continue;
			exact++;
			wrong += !cell_is_right(t->frame);
		}
		py_snapshot__free(snap);
		usleep(500);
	}
	printf("exact\t%zu\twrong\t%zu\n", exact, wrong);
	python__free(py);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int time_walks(const char *pid, long walks)
{
	struct python *py = open_or_die(pid);
	uint64_t *took = calloc((size_t)walks, sizeof(*took));

	if (!took || walks < 1)
		return 1;
	for (long n = 0; n < walks; n++) {
		uint64_t start = clock_monotonic_ns();

		py_snapshot__free(walk_or_die(py));
		took[n] = clock_monotonic_ns() - start;
	}
	qsort(took, (size_t)walks, sizeof(*took), by_value);
	printf("median_us\t%" PRIu64 "\tmax_us\t%" PRIu64 "\n", took[walks / 2] / 1000,
	       took[walks - 1] / 1000);
	free(took);
	python__free(py);
	return 0;
}

static void no_python(void)
{
	struct err err = { { 0 } };
	struct python *py;
	pid_t child;

	is_int(python__open(getpid(), &py, &err), -ENOENT, "this program is no Python");
	ok(strstr(err.text, "no Python"), "and the text says so: %s", err.text);
	ok(!py, "nothing is handed out");
	is_int(python__open(-1, &py, &err), -ESRCH, "a negative pid");
	is_int(python__open(0, &py, &err), -ESRCH, "pid 0");
	is_int(python__open(0x7fffffff, &py, NULL), -ESRCH, "a pid that cannot be, without err");

	child = fork();
	if (!child)
		_exit(0);
	siginfo_t info;
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	is_int(python__open(child, &py, &err), -ENOENT, "a zombie: %s", err.text);
	waitpid(child, NULL, 0);
	python__free(NULL);
	py_snapshot__free(NULL);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "print"))
		return print_walk(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "count"))
		return count_wrong(argv[2], atol(argv[3]));
	if (argc == 4 && (!strcmp(argv[1], "reuse") || !strcmp(argv[1], "reuse-anew")))
		return count_reuse(argv[2], atol(argv[3]), !strcmp(argv[1], "reuse-anew"));
	if (argc == 4 && !strcmp(argv[1], "time"))
		return time_walks(argv[2], atol(argv[3]));
	plan(7);
	no_python();
	return done();
}
