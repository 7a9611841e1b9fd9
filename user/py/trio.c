// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/trio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/collection.h"
#include "py/trio_context.h"
#include "py/variable.h"

#define FILE_OF_RUN "trio/_core/_run.py"
#define BATCH 256
#define TASK_BYTES 256 /* of a task */
#define MAX_RUNNERS 64 /* of one process */

static bool is_final(int err)
{
	return err == -ENOMEM || err == -ESRCH || err == -EPERM;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

static bool is_function(const struct py_frame *f, const char *name)
{
	return f->addr && !strcmp(f->name, name) && ends_with(f->file, FILE_OF_RUN);
}

/* run() has it while the runner lives; a guest of another loop only while it takes a turn. */
static bool has_runner(const struct py_frame *f)
{
	return is_function(f, "run") || is_function(f, "unrolled_run");
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* Tasks that are read together. */
struct batch {
	struct kinds *kinds;
	const struct py_target *target;
	uint64_t runner;
	size_t thread;
	struct mem_range range[BATCH];
	uint8_t buf[BATCH][TASK_BYTES];
};

/* The attribute NAME of the I-th task: out of its bytes, if they are there. 0 = none. */
static uint64_t field(struct batch *b, size_t i, const char *name)
{
	struct bytes bytes = { b->buf[i], b->range[i].err ? 0 : TASK_BYTES };
	uint64_t type, offset, value;

	if (!bytes_u64(&bytes, b->target->layout.object.type, &type)) {
		offset = kinds__slot(b->kinds, type, name);
		if (offset && !bytes_u64(&bytes, offset, &value))
			return value;
	}
	return kinds__attribute(b->kinds, b->range[i].addr, name, &value) ? 0 : value;
}

static bool is_none(const struct batch *b, uint64_t addr)
{
	const struct kind *k;

	if (b->target->known.none)
		return addr == b->target->known.none;
	k = kinds__of(b->kinds, addr);
	return k && k->class == KIND_NONE;
}

static int take_task(struct batch *b, size_t i, struct taskset *set)
{
	struct bytes bytes = { b->buf[i], TASK_BYTES };
	struct coro_task task = {
		.library = TASK_TRIO,
		.addr = b->range[i].addr,
		.loop = b->runner,
		.thread = b->thread,
	};
	const struct kind *k;
	uint64_t type, abort;

	if (b->range[i].err &&
	    mem__read_u64(b->target->mem, task.addr + b->target->layout.object.type, &type))
		return 0;
	if (!b->range[i].err)
		bytes_u64(&bytes, b->target->layout.object.type, &type);
	/* the hash table marks what was taken out */
	k = kinds__get(b->kinds, type);
	if (!k || !ends_with(k->name, "Task"))
		return 0;
	task.coro = field(b, i, "coro");
	task.name = field(b, i, "name");
	task.nursery = field(b, i, "_parent_nursery");
	/* how to cancel what it waits for: there while it waits */
	abort = field(b, i, "_abort_func");
	task.idle = abort && !is_none(b, abort);
	return task.coro ? taskset__add(set, &task) : 0;
}

static int take_tasks(struct batch *b, const uint64_t *addr, size_t cnt, struct taskset *set)
{
	size_t n;
	int err = 0;

	for (size_t i = 0; !err && i < cnt; i += n) {
		n = cnt - i < BATCH ? cnt - i : BATCH;
		if (py_target__late(b->target)) {
			set->note = "incomplete: no time left for all tasks";
			break;
		}
		for (size_t k = 0; k < n; k++)
			b->range[k] = (struct mem_range){ addr[i + k], b->buf[k], TASK_BYTES, 0 };
		err = mem__readv(b->target->mem, b->range, n);
		if (err == -EFAULT)
			err = 0;
		for (size_t k = 0; !err && k < n; k++)
			err = take_task(b, k, set);
	}
	return err;
}

/* The tasks at ADDR[0..CNT), of the runner that THREAD runs. */
static int take_members(const struct py_target *t, struct kinds *kinds, uint64_t runner,
			size_t thread, const uint64_t *addr, size_t cnt, struct taskset *set)
{
	struct batch *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->target = t;
	b->kinds = kinds;
	b->runner = runner;
	b->thread = thread;
	err = take_tasks(b, addr, cnt, set);
	free(b);
	return err;
}

static int take_runner(const struct py_target *t, struct kinds *kinds, uint64_t runner,
		       size_t thread, struct taskset *set)
{
	uint64_t tasks, *member;
	size_t cnt;
	int err = kinds__attribute(kinds, runner, "tasks", &tasks);

	if (!err)
		err = set__members(t, tasks, &member, &cnt);
	if (err)
		return err;
	err = take_members(t, kinds, runner, thread, member, cnt, set);
	free(member);
	return err;
}

/* Runners, each once. */
struct runners {
	struct trio_context runner[MAX_RUNNERS];
	size_t cnt;
};

static void add_runner(struct runners *all, uint64_t runner, size_t thread)
{
	for (size_t i = 0; i < all->cnt; i++)
		if (all->runner[i].runner == runner)
			return;
	if (all->cnt < MAX_RUNNERS)
		all->runner[all->cnt++] = (struct trio_context){ runner, thread };
}

/* Those on stacks, whose threads are known for sure, then guests. */
static int find_runners(const struct py_target *t, struct kinds *kinds,
			const struct py_snapshot *snap, const struct thread_refs *refs,
			struct runners *all)
{
	struct trio_context context[MAX_RUNNERS];
	uint64_t runner;
	size_t cnt;
	int err;

	all->cnt = 0;
	for (size_t i = 0; i < snap->nthreads; i++) {
		for (size_t k = 0; k < snap->thread[i].nframes; k++) {
			const struct py_frame *f = &snap->thread[i].frame[k];

			if (has_runner(f) && !variable__read(t, kinds, f->addr, "runner", &runner))
				add_runner(all, runner, i);
		}
	}
	err = trio_contexts__find(t, kinds, refs, context, MAX_RUNNERS, &cnt);
	for (size_t i = 0; !err && i < cnt; i++)
		add_runner(all, context[i].runner, context[i].thread);
	return err;
}

int trio__list(const struct py_target *t, struct kinds *kinds, const struct py_snapshot *snap,
	       const struct thread_refs *refs, struct taskset *set)
{
	struct runners all;
	int err = find_runners(t, kinds, snap, refs, &all);

	for (size_t i = 0; !is_final(err) && i < all.cnt; i++) {
		err = take_runner(t, kinds, all.runner[i].runner, all.runner[i].thread, set);
		if (err && !is_final(err) && err != -E2BIG)
			set->note = "incomplete: Trio's tasks changed while they were read";
	}
	return is_final(err) ? err : 0;
}

int trio__list_running(const struct py_target *t, struct kinds *kinds,
		       const struct py_snapshot *snap, struct taskset *set)
{
	uint64_t runner, task;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < snap->nthreads && !is_final(err); i++) {
		for (size_t k = 0; k < snap->thread[i].nframes && n < MAX_RUNNERS; k++) {
			const struct py_frame *f = &snap->thread[i].frame[k];

			/* between two steps it still has the task of the first */
			if (!is_function(f, "unrolled_run") ||
			    variable__read(t, kinds, f->addr, "runner", &runner) ||
			    variable__read(t, kinds, f->addr, "task", &task))
				continue;
			n++;
			err = take_members(t, kinds, runner, i, &task, 1, set);
		}
	}
	return is_final(err) ? err : 0;
}

int trio__relate(const struct py_target *t, struct kinds *kinds, struct taskset *set)
{
	uint64_t last = 0, parent;
	size_t at = TASKSET_NONE;
	int err;

	for (size_t i = 0; i < set->cnt; i++) {
		struct coro_task *task = &set->task[i];

		if (!task->nursery)
			continue;
		if (task->nursery != last) {
			if (py_target__late(t)) {
				set->note =
					"incomplete: no time left to see which task nurses which";
				return 0;
			}
			last = task->nursery;
			err = kinds__attribute(kinds, last, "_parent_task", &parent);
			if (is_final(err))
				return err;
			at = err ? TASKSET_NONE : taskset__find(set, parent);
		}
		if (at != i)
			task->parent = at;
	}
	return 0;
}
