// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/asyncio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/collection.h"
#include "py/object.h"
#include "py/python.h"

#define TASK_BYTES 256 /* of a task: all used fields lie within */
#define BATCH 512
#define MAX_PROBES 8 /* tasks that are tried to find the fields */
#define METHOD_BYTES (2 * 8 + 32) /* PyObject_HEAD, function, self */
#define GROUPS 256 /* that are remembered */

struct registry {
	uint64_t interp;
	uint64_t module_dict; /* of asyncio.tasks; 0 = not imported */
};

/* The task in which a TaskGroup was entered. */
struct group {
	uint64_t addr;
	size_t parent; /* TASKSET_NONE: not known, or no TaskGroup at all */
};

struct asyncio {
	const struct py_target *target;
	struct kinds *kinds;
	struct registry registry[PY_MAX_INTERPRETERS];
	size_t nregistry;
	uint32_t coro; /* offset in a Task; the name follows, the future stands before; 0 = not
			  found yet */
	size_t probes; /* of this walk */
	struct group group[GROUPS];
	uint64_t addr[BATCH];
	struct mem_range range[BATCH];
	uint8_t buf[BATCH][TASK_BYTES];
};

struct asyncio *asyncio__new(const struct py_target *t, struct kinds *kinds)
{
	struct asyncio *aio = calloc(1, sizeof(*aio));

	if (!aio)
		return NULL;
	aio->target = t;
	aio->kinds = kinds;
	return aio;
}

void asyncio__free(struct asyncio *aio)
{
	free(aio);
}

/* Ends everything: out of memory, or the target is gone. Other errors are of one object. */
static bool is_final(int err)
{
	return err == -ENOMEM || err == -ESRCH || err == -EPERM;
}

/* Reads LEN bytes at each of addr[0..CNT) into buf[]. What is not there has range[].err. */
static int read_all(struct asyncio *aio, size_t cnt, size_t len)
{
	int err;

	for (size_t i = 0; i < cnt; i++)
		aio->range[i] = (struct mem_range){ aio->addr[i], aio->buf[i], len, 0 };
	err = mem__readv(aio->target->mem, aio->range, cnt);
	return err == -EFAULT ? 0 : err;
}

/* ---- fields of a task ------------------------------------------------------------------------ */

static void calibrate(struct asyncio *aio, const struct bytes *b)
{
	const struct py_layout *l = &aio->target->layout;
	const struct kind *coro, *name;
	uint64_t at[2];

	if (aio->probes++ >= MAX_PROBES)
		return;
	for (uint32_t off = l->object.var_size + 16; !bytes_u64(b, off + 8, &at[1]); off += 8) {
		bytes_u64(b, off, &at[0]);
		if (!at[0] || at[0] % 8 || !at[1] || at[1] % 8)
			continue;
		coro = kinds__of(aio->kinds, at[0]);
		if (!coro || coro->class != KIND_COROUTINE)
			continue;
		name = kinds__of(aio->kinds, at[1]);
		if (!name || (name->class != KIND_STR && name->class != KIND_INT))
			continue;
		aio->coro = off;
		return;
	}
}

/* A task that is written in Python (asyncio.tasks._PyTask) has attributes. */
static int take_attributes(struct asyncio *aio, struct coro_task *task)
{
	int err = kinds__attribute(aio->kinds, task->addr, "_coro", &task->coro);

	if (!err)
		err = kinds__attribute(aio->kinds, task->addr, "_loop", &task->loop);
	if (err)
		return err;
	kinds__attribute(aio->kinds, task->addr, "_name", &task->name);
	kinds__attribute(aio->kinds, task->addr, "_fut_waiter", &task->waiter);
	return 0;
}

static uint64_t not_none(struct asyncio *aio, uint64_t addr)
{
	const struct kind *k = addr ? kinds__of(aio->kinds, addr) : NULL;

	return k && k->class == KIND_NONE ? 0 : addr;
}

/* The task at ADDR, whose bytes are in B (all zero: not readable in one piece). */
static int take_task(struct asyncio *aio, uint64_t addr, const struct bytes *b, struct taskset *set)
{
	const struct py_layout *l = &aio->target->layout;
	struct coro_task task = { .library = TASK_ASYNCIO, .addr = addr, .thread = TASKSET_NONE };
	uint32_t first = l->object.var_size;
	const struct kind *k;
	uint64_t type;
	int err;

	bytes_u64(b, l->object.type, &type);
	k = kinds__get(aio->kinds, type);
	if (!k || k->class != KIND_OTHER)
		return 0;
	if (!aio->coro)
		calibrate(aio, b);
	if (aio->coro && k->size >= aio->coro + 16) {
		bytes_u64(b, first, &task.loop);
		bytes_u64(b, first + 8, &task.callback);
		bytes_u64(b, aio->coro - 8, &task.waiter);
		bytes_u64(b, aio->coro, &task.coro);
		bytes_u64(b, aio->coro + 8, &task.name);
	} else {
		err = take_attributes(aio, &task);
		if (err)
			return is_final(err) ? err : 0;
		task.waiter = not_none(aio, task.waiter);
	}
	/* a task that is done may have given it back */
	return task.coro ? taskset__add(set, &task) : 0;
}

/* The tasks at addr[0..CNT). */
static int take_tasks(struct asyncio *aio, size_t cnt, struct taskset *set)
{
	struct bytes b = { .len = TASK_BYTES };
	int err = read_all(aio, cnt, TASK_BYTES);

	for (size_t i = 0; !err && i < cnt; i++) {
		b = (struct bytes){ aio->buf[i], TASK_BYTES };
		/* one at the end of a mapping: only what is surely there */
		if (aio->range[i].err)
			b.len = aio->coro ? aio->coro + 16
					  : aio->target->layout.object.var_size + 16;
		if (aio->range[i].err &&
		    mem__read(aio->target->mem, aio->addr[i], aio->buf[i], b.len))
			continue;
		err = take_task(aio, aio->addr[i], &b, set);
	}
	return err;
}

/* ---- sets ------------------------------------------------------------------------------------ */

/* Weak references at addr[0..CNT) become what they refer to; returns how many do. */
static ssize_t follow_weakrefs(struct asyncio *aio, size_t cnt)
{
	const struct py_layout *l = &aio->target->layout;
	const struct kind *k;
	uint64_t type, object;
	size_t kept = 0;
	int err = read_all(aio, cnt, l->weakref.object + 8);

	if (err)
		return err;
	for (size_t i = 0; i < cnt; i++) {
		struct bytes b = { aio->buf[i], l->weakref.object + 8 };

		if (aio->range[i].err)
			continue;
		bytes_u64(&b, l->object.type, &type);
		bytes_u64(&b, l->weakref.object, &object);
		k = kinds__get(aio->kinds, type);
		if (k && k->class == KIND_WEAKREF && object)
			aio->addr[kept++] = object;
	}
	return (ssize_t)kept;
}

static int take_batch(struct asyncio *aio, size_t cnt, bool weak, struct taskset *set)
{
	ssize_t n = weak ? follow_weakrefs(aio, cnt) : (ssize_t)cnt;

	return n > 0 ? take_tasks(aio, (size_t)n, set) : (int)n;
}

/* All members of a set of tasks, or (WEAK) of weak references to them. */
static int take_set(struct asyncio *aio, uint64_t addr, bool weak, struct taskset *set)
{
	uint64_t *member;
	size_t cnt, n;
	int err = set__members(aio->target, addr, &member, &cnt);

	for (size_t i = 0; !err && i < cnt; i += n) {
		if (py_target__late(aio->target)) {
			set->note = "incomplete: no time left for all tasks";
			break;
		}
		n = cnt - i < BATCH ? cnt - i : BATCH;
		memcpy(aio->addr, member + i, n * sizeof(*member));
		err = take_batch(aio, n, weak, set);
	}
	free(member);
	return err;
}

/* ---- the module ------------------------------------------------------------------------------ */

static struct registry *registry_of(struct asyncio *aio, uint64_t interp)
{
	size_t i;

	for (i = 0; i < aio->nregistry; i++)
		if (aio->registry[i].interp == interp)
			return &aio->registry[i];
	/* interpreters come and go: one of them makes room */
	i = aio->nregistry < PY_MAX_INTERPRETERS ? aio->nregistry++
						 : interp / 64 % PY_MAX_INTERPRETERS;
	aio->registry[i] = (struct registry){ .interp = interp };
	return &aio->registry[i];
}

/* The sets of tasks in the dict of asyncio.tasks: the weak one, and that of eager tasks (or 0). */
static int find_sets(const struct py_target *t, uint64_t dict, uint64_t *weak, uint64_t *eager)
{
	static const char *const names[] = { "_scheduled_tasks", "_all_tasks", "_eager_tasks" };
	uint64_t at[3] = { 0 };
	struct dict_entries entries;
	ssize_t found;
	int err = object__dict(t, dict, &entries);

	if (err)
		return err;
	for (size_t i = 0; i < 3; i++) {
		found = dict_entries__find(t, &entries, names[i]);
		if (found >= 0)
			at[i] = entries.entry[found].value;
	}
	dict_entries__free(&entries);
	*weak = at[0] ? at[0] : at[1];
	*eager = at[2];
	return *weak ? 0 : -ENOENT;
}

static int find_module_sets(struct asyncio *aio, uint64_t interp, uint64_t *weak, uint64_t *eager)
{
	struct registry *r = registry_of(aio, interp);
	const struct py_target *t = aio->target;
	int err = -ENOENT;

	if (r->module_dict)
		err = find_sets(t, r->module_dict, weak, eager);
	if (err && !is_final(err)) {
		r->module_dict = 0;
		err = module__dict(t, interp, "asyncio.tasks", &r->module_dict);
		if (!err)
			err = find_sets(t, r->module_dict, weak, eager);
	}
	return err;
}

int asyncio__list(struct asyncio *aio, uint64_t interp, struct taskset *set)
{
	uint64_t weak, eager, data;
	int err;

	aio->probes = 0;
	err = find_module_sets(aio, interp, &weak, &eager);
	if (err)
		return is_final(err) ? err : 0; /* asyncio is not imported */
	err = kinds__attribute(aio->kinds, weak, "data", &data);
	if (!err)
		err = take_set(aio, data, true, set);
	if (!err && eager)
		err = take_set(aio, eager, false, set);
	if (err == -E2BIG)
		return 0; /* what was read is there, and it is said */
	if (err && !is_final(err)) {
		set->note = "incomplete: the set of asyncio's tasks changed while it was read";
		err = 0;
	}
	return err;
}

/* ---- who waits for whom ---------------------------------------------------------------------- */

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
static int relate_gather(struct asyncio *aio, struct taskset *set, size_t parent)
{
	uint64_t list, *child;
	size_t cnt;
	int err = kinds__attribute(aio->kinds, set->task[parent].waiter, "_children", &list);

	if (!err)
		err = list__items(aio->target, list, &child, &cnt);
	if (err)
		return err;
	for (size_t i = 0; i < cnt; i++)
		set_parent(set, taskset__find(set, child[i]), parent);
	set->task[parent].gathers = cnt;
	free(child);
	return 0;
}

/* Its child, its parent, or what else the bytes of an object say of task I. */
typedef int (*relate_fn)(struct asyncio *aio, struct taskset *set, size_t i,
			 const struct bytes *object);

/* Calls RELATE with LEN bytes of the object that each task of asyncio has at PICK(task). */
static int visit(struct asyncio *aio, struct taskset *set,
		 uint64_t (*pick)(const struct coro_task *), size_t len, relate_fn relate)
{
	size_t task[BATCH], n = 0;
	int err = 0;

	for (size_t i = 0; !err && i < set->cnt; i++) {
		if (set->task[i].library == TASK_ASYNCIO && pick(&set->task[i])) {
			aio->addr[n] = pick(&set->task[i]);
			task[n++] = i;
		}
		if (n < BATCH && i + 1 < set->cnt)
			continue;
		if (py_target__late(aio->target)) {
			set->note = "incomplete: no time left to see which task waits for which";
			break;
		}
		err = read_all(aio, n, len);
		for (size_t k = 0; !err && k < n; k++) {
			struct bytes b = { aio->buf[k], len };

			if (!aio->range[k].err)
				err = relate(aio, set, task[k], &b);
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

static int relate_future(struct asyncio *aio, struct taskset *set, size_t i,
			 const struct bytes *future)
{
	const struct kind *k;
	uint64_t type;

	bytes_u64(future, aio->target->layout.object.type, &type);
	k = kinds__get(aio->kinds, type);
	return k && ends_with(k->name, "_GatheringFuture") ? relate_gather(aio, set, i) : 0;
}

static uint64_t first_callback(const struct coro_task *task)
{
	return task->parent == TASKSET_NONE ? task->callback : 0;
}

/* A TaskGroup wants to know when its tasks are done: its method is their first callback. */
static int relate_group(struct asyncio *aio, struct taskset *set, size_t i,
			const struct bytes *method)
{
	const struct py_layout *l = &aio->target->layout;
	const struct kind *k;
	struct group *g;
	uint64_t type, self, parent;
	int err;

	bytes_u64(method, l->object.type, &type);
	bytes_u64(method, l->object.var_size + 8, &self);
	k = kinds__get(aio->kinds, type);
	if (!k || k->class != KIND_METHOD || !self)
		return 0;
	g = &aio->group[self / 16 % GROUPS];
	if (g->addr != self) {
		*g = (struct group){ self, TASKSET_NONE };
		k = kinds__of(aio->kinds, self);
		if (!k || !ends_with(k->name, "TaskGroup"))
			return 0;
		err = kinds__attribute(aio->kinds, self, "_parent_task", &parent);
		if (err)
			return err;
		g->parent = taskset__find(set, parent);
	}
	if (g->parent != TASKSET_NONE)
		set_parent(set, i, g->parent);
	return 0;
}

int asyncio__relate(struct asyncio *aio, struct taskset *set)
{
	int err;

	memset(aio->group, 0, sizeof(aio->group));
	for (size_t i = 0; i < set->cnt; i++) {
		struct coro_task *task = &set->task[i];

		if (task->library != TASK_ASYNCIO || !task->waiter)
			continue;
		task->waits_for = taskset__find(set, task->waiter);
		set_parent(set, task->waits_for, i);
	}
	err = visit(aio, set, other_future, aio->target->layout.object.type + 8, relate_future);
	return err ? err : visit(aio, set, first_callback, METHOD_BYTES, relate_group);
}

uint64_t asyncio__thread(struct asyncio *aio, uint64_t loop)
{
	uint64_t number, ident;

	if (kinds__attribute(aio->kinds, loop, "_thread_id", &number) || !not_none(aio, number) ||
	    object__u64(aio->target, number, &ident))
		return 0;
	return ident;
}
