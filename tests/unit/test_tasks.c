// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The set of tasks; and for shell tests and benchmarks
 *
 *	test_tasks running PID		a line for each task that runs
 *	test_tasks reads PID		reads of a warm walk: running tasks, what a report reads
 *	test_tasks time PID N		N walks each with all tasks, the running ones, what a
 *					report reads: medians
 */
#include "py/taskset.h"

#include <errno.h>

#include "base/clock.h"
#include "proc/mem.h"
#include "py/python.h"
#include "tap.h"

static struct py_snapshot *walk(struct python *py, enum py_tasks tasks)
{
	struct py_walk_opts opts = { .tasks = tasks, .tasks_ns = NSEC_PER_SEC };
	struct err err = { { 0 } };
	struct py_snapshot *snap;

	if (!py || python__walk(py, &opts, &snap, &err)) {
		printf("error\t%s\n", err.text);
		exit(1);
	}
	return snap;
}

static struct python *open_or_die(const char *pid)
{
	struct err err = { { 0 } };
	struct python *py;

	if (python__open(atoi(pid), &py, &err)) {
		printf("error\t%s\n", err.text);
		exit(1);
	}
	return py;
}

/* thread	library	name	current	frames */
static int print_running(const char *pid)
{
	struct python *py = open_or_die(pid);
	struct py_snapshot *snap = walk(py, PY_TASKS_CURRENT);

	for (size_t i = 0; i < snap->ntasks; i++) {
		const struct py_task *t = &snap->task[i];

		printf("%s\t%s\t%s\t%d\t%zu\n",
		       t->thread < snap->nthreads ? snap->thread[t->thread].name : "?", t->library,
		       t->name, t->current, t->nframes);
	}
	py_snapshot__free(snap);
	python__free(py);
	return 0;
}

static uint64_t warm_reads(struct python *py, enum py_tasks tasks)
{
	uint64_t before;

	for (int i = 0; i < 2; i++)
		py_snapshot__free(walk(py, tasks));
	before = python__mem_stats(py)->calls;
	py_snapshot__free(walk(py, tasks));
	return python__mem_stats(py)->calls - before;
}

static int print_reads(const char *pid)
{
	struct python *py = open_or_die(pid);
	uint64_t running = warm_reads(py, PY_TASKS_CURRENT);

	printf("%" PRIu64 "\t%" PRIu64 "\n", running, warm_reads(py, PY_TASKS_BRIEF));
	python__free(py);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median_us(struct python *py, enum py_tasks tasks, size_t walks, size_t *found)
{
	uint64_t *took = calloc(walks, sizeof(*took)), median;
	struct py_snapshot *snap;

	if (!took)
		exit(1);
	for (size_t i = 0; i < walks; i++) {
		uint64_t start = clock_monotonic_ns();

		snap = walk(py, tasks);
		took[i] = clock_monotonic_ns() - start;
		*found = snap->tasks_found;
		py_snapshot__free(snap);
	}
	qsort(took, walks, sizeof(*took), by_value);
	median = took[walks / 2] / 1000;
	free(took);
	return median;
}

static int time_walks(const char *pid, long walks)
{
	struct python *py = open_or_die(pid);
	uint64_t none, running, brief, all;
	size_t found;

	if (walks < 1)
		return 1;
	none = median_us(py, PY_TASKS_NONE, (size_t)walks, &found);
	running = median_us(py, PY_TASKS_CURRENT, (size_t)walks, &found);
	brief = median_us(py, PY_TASKS_BRIEF, (size_t)walks, &found);
	all = median_us(py, PY_TASKS_ALL, (size_t)walks, &found);
	printf("tasks\t%zu\tnone_us\t%" PRIu64 "\trunning_us\t%" PRIu64 "\tbrief_us\t%" PRIu64
	       "\tall_us\t%" PRIu64 "\n",
	       found, none, running, brief, all);
	python__free(py);
	return 0;
}

static void test_set(void)
{
	struct taskset set = { .note = "" };
	struct coro_task task = { .loop = 1 };
	int err = 0;

	for (uint64_t addr = 100; addr > 0; addr--) {
		task.addr = addr / 2;
		err = err ?: taskset__add(&set, &task);
	}
	is_int(err, 0, "tasks are added");
	is_int(set.task[7].parent, TASKSET_NONE, "nobody waits for a new one");
	taskset__index(&set);
	is_int(set.cnt, 51, "what was found twice is there once");
	is_int(taskset__find(&set, 0), 0, "the lowest address comes first");
	is_int(taskset__find(&set, 50), 50, "the highest last");
	is_int(taskset__find(&set, 51), TASKSET_NONE, "another is not found");
	while (!(err = taskset__add(&set, &task)))
		;
	is_int(err, -E2BIG, "there is an end");
	is_int(set.cnt, TASKSET_MAX, "at the ceiling");
	ok(*set.note, "and it is said: %s", set.note);
	taskset__free(&set);
	is_int(taskset__find(&set, 1), TASKSET_NONE, "in an empty set nothing is found");
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "running"))
		return print_running(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "reads"))
		return print_reads(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "time"))
		return time_walks(argv[2], atol(argv[3]));
	plan(10);
	test_set();
	return done();
}
