// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/asyncio_relate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/collection.h"
#include "py/objects.h"

#define METHOD_BYTES (2 * 8 + 32) /* PyObject_HEAD, function, self */
#define GROUPS 256 /* that are remembered */

/* The task in which a TaskGroup was entered. */
struct group {
	uint64_t addr;
	size_t parent; /* TASKSET_NONE: not known, or no TaskGroup at all */
};

struct relation {
	const struct py_target *target;
	struct kinds *kinds;
	struct taskset *set;
	struct group group[GROUPS];
	size_t task[OBJECTS_MAX]; /* whose object is read */
	struct objects objects;
};

static bool is_final(int err)
{
	return err == -ENOMEM || err == -ESRCH || err == -EPERM;
}

static void set_parent(struct taskset *set, size_t child, size_t parent)
{
	if (child != TASKSET_NONE && child != parent && set->task[child].parent == TASKSET_NONE)
		set->task[child].parent = parent;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

/* The future of gather() keeps a list of what it gathers. */
static int relate_gather(struct relation *r, size_t parent)
{
	struct taskset *set = r->set;
	uint64_t list, *child;
	size_t cnt;
	int err = kinds__attribute(r->kinds, set->task[parent].waiter, "_children", &list);

	if (!err)
		err = list__items(r->target, list, &child, &cnt);
	if (err)
		return err;
	for (size_t i = 0; i < cnt; i++)
		set_parent(set, taskset__find(set, child[i]), parent);
	set->task[parent].gathers = cnt;
	free(child);
	return 0;
}

/* What the bytes of an object say of task I: its child, its parent. */
typedef int (*relate_fn)(struct relation *r, size_t i, const struct bytes *object);

/* Calls RELATE with LEN bytes of the object that each task of asyncio has at PICK(task). */
static int visit(struct relation *r, uint64_t (*pick)(const struct coro_task *), size_t len,
		 relate_fn relate)
{
	struct taskset *set = r->set;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; !err && i < set->cnt; i++) {
		if (set->task[i].library == TASK_ASYNCIO && pick(&set->task[i])) {
			r->objects.addr[n] = pick(&set->task[i]);
			r->task[n++] = i;
		}
		if (n < OBJECTS_MAX && i + 1 < set->cnt)
			continue;
		if (py_target__late(r->target)) {
			set->note = "incomplete: no time left to see which task waits for which";
			break;
		}
		err = objects__read(r->target, &r->objects, n, len);
		for (size_t k = 0; !err && k < n; k++) {
			struct bytes b = { r->objects.buf[k], len };

			if (!r->objects.range[k].err)
				err = relate(r, r->task[k], &b);
			err = is_final(err) ? err : 0;
		}
		n = 0;
	}
	return err;
}

/* A future that is no task: gather() has one. */
static uint64_t other_future(const struct coro_task *task)
{
	return task->waits_for == TASKSET_NONE ? task->waiter : 0;
}

static int relate_future(struct relation *r, size_t i, const struct bytes *future)
{
	const struct kind *k;
	uint64_t type;

	bytes_u64(future, r->target->layout.object.type, &type);
	k = kinds__get(r->kinds, type);
	return k && ends_with(k->name, "_GatheringFuture") ? relate_gather(r, i) : 0;
}

static uint64_t first_callback(const struct coro_task *task)
{
	return task->parent == TASKSET_NONE ? task->callback : 0;
}

/* A TaskGroup wants to know when its tasks are done: its method is their first callback. */
static int relate_group(struct relation *r, size_t i, const struct bytes *method)
{
	const struct py_layout *l = &r->target->layout;
	const struct kind *k;
	struct group *g;
	uint64_t type, self, parent;
	int err;

	bytes_u64(method, l->object.type, &type);
	bytes_u64(method, l->object.var_size + 8, &self);
	k = kinds__get(r->kinds, type);
	if (!k || k->class != KIND_METHOD || !self)
		return 0;
	g = &r->group[self / 16 % GROUPS];
	if (g->addr != self) {
		*g = (struct group){ self, TASKSET_NONE };
		k = kinds__of(r->kinds, self);
		if (!k || !ends_with(k->name, "TaskGroup"))
			return 0;
		err = kinds__attribute(r->kinds, self, "_parent_task", &parent);
		if (err)
			return err;
		g->parent = taskset__find(r->set, parent);
	}
	if (g->parent != TASKSET_NONE)
		set_parent(r->set, i, g->parent);
	return 0;
}

int asyncio__relate(const struct py_target *t, struct kinds *kinds, struct taskset *set)
{
	struct relation *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->target = t;
	r->kinds = kinds;
	r->set = set;
	for (size_t i = 0; i < set->cnt; i++) {
		struct coro_task *task = &set->task[i];

		if (task->library != TASK_ASYNCIO || !task->waiter)
			continue;
		task->waits_for = taskset__find(set, task->waiter);
		set_parent(set, task->waits_for, i);
	}
	err = visit(r, other_future, t->layout.object.type + 8, relate_future);
	if (!err)
		err = visit(r, first_callback, METHOD_BYTES, relate_group);
	free(r);
	return err;
}
