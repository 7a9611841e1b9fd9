// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/asyncio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/asyncio_debug.h"
#include "py/collection.h"
#include "py/object.h"
#include "py/objects.h"
#include "py/python.h"

#define TASK_BYTES OBJECTS_BYTES /* of a task: all used fields lie within */
#define MAX_PROBES 8 /* tasks that are tried to find the fields */
#define MAX_SEARCHES 8 /* for the section .AsyncioDebug */
#define MAX_RUNNING 256 /* tasks that may run at the same time */
#define RUNNING_LOOP "__asyncio_running_event_loop__"
#define CHANGED "incomplete: the tasks of asyncio changed while they were read"

struct registry {
	uint64_t interp;
	uint64_t module_dict; /* of asyncio.tasks; 0 = not imported */
};

/* What the module asyncio.tasks has; 0 = it is not there. */
struct module {
	uint64_t weak, eager; /* sets of tasks; the first one is a WeakSet */
	uint64_t running; /* dict: loop, task */
};

struct asyncio {
	const struct py_target *target;
	struct kinds *kinds;
	struct registry registry[PY_MAX_INTERPRETERS];
	size_t nregistry;
	uint32_t coro, name, waiter; /* offsets in a Task; coro = 0: not found yet */
	size_t probes; /* of this walk */
	struct asyncio_debug debug; /* task_size = 0: not found */
	size_t searches;
	struct objects objects;
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
		aio->name = off + 8;
		aio->waiter = off - 8;
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

/* The task at ADDR, whose bytes are in B. */
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
		bytes_u64(b, aio->waiter, &task.waiter);
		bytes_u64(b, aio->coro, &task.coro);
		bytes_u64(b, aio->name, &task.name);
	} else {
		err = take_attributes(aio, &task);
		if (err)
			return is_final(err) ? err : 0;
		task.waiter = not_none(aio, task.waiter);
	}
	/* a task that is done may have given it back */
	return task.coro ? taskset__add(set, &task) : 0;
}

/* The tasks at objects.addr[0..CNT). */
static int take_tasks(struct asyncio *aio, size_t cnt, struct taskset *set)
{
	struct objects *o = &aio->objects;
	struct bytes b = { .len = TASK_BYTES };
	int err = objects__read(aio->target, o, cnt, TASK_BYTES);

	for (size_t i = 0; !err && i < cnt; i++) {
		b = (struct bytes){ o->buf[i], TASK_BYTES };
		/* one at the end of a mapping: only what is surely there */
		if (o->range[i].err)
			b.len = aio->coro ? aio->coro + 16
					  : aio->target->layout.object.var_size + 16;
		if (o->range[i].err && mem__read(aio->target->mem, o->addr[i], o->buf[i], b.len))
			continue;
		err = take_task(aio, o->addr[i], &b, set);
	}
	return err;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* From 3.14 on the process says where things are, once the module is loaded. */
static int find_debug(struct asyncio *aio)
{
	int err;

	if (aio->debug.task_size)
		return 0;
	if (aio->searches >= MAX_SEARCHES)
		return -ENOENT;
	aio->searches++;
	err = asyncio_debug__find(aio->target, &aio->debug);
	if (err)
		return err;
	aio->coro = aio->debug.task_coro;
	aio->name = aio->debug.task_name;
	aio->waiter = aio->coro - 8;
	return 0;
}

/* The tasks in the circle at HEAD. It may change meanwhile: each must point back to the one before.
 */
static int take_list(struct asyncio *aio, uint64_t head, struct taskset *set)
{
	const uint32_t node = aio->debug.task_node;
	struct bytes b = { aio->objects.buf[0], aio->debug.task_size };
	uint64_t at, next, previous = head, back;
	int err = mem__read_u64(aio->target->mem, head, &at);

	for (; !err && at && at != head; previous = at, at = next) {
		if (py_target__late(aio->target)) {
			set->note = "incomplete: no time left for all tasks";
			return 0;
		}
		err = mem__read(aio->target->mem, at - node, aio->objects.buf[0], b.len);
		if (err)
			break;
		bytes_u64(&b, node, &next);
		bytes_u64(&b, node + 8, &back);
		if (back != previous) {
			set->note = CHANGED;
			return 0;
		}
		err = take_task(aio, at - node, &b, set);
	}
	if (err && !is_final(err) && err != -E2BIG) {
		set->note = CHANGED;
		err = 0;
	}
	return err;
}

static int take_lists(struct asyncio *aio, const struct thread_refs *refs, uint64_t interp,
		      struct taskset *set)
{
	int err = take_list(aio, interp + aio->debug.interp_tasks, set);

	for (size_t i = 0; !err && i < refs->cnt; i++)
		if (refs->ref[i].interp == interp)
			err = take_list(aio, refs->ref[i].tstate + aio->debug.ts_tasks, set);
	return err;
}

/* ---- sets ------------------------------------------------------------------------------------ */

/* Weak references at objects.addr[0..CNT) become what they refer to; returns how many do. */
static ssize_t follow_weakrefs(struct asyncio *aio, size_t cnt)
{
	const struct py_layout *l = &aio->target->layout;
	struct objects *o = &aio->objects;
	const struct kind *k;
	uint64_t type, object;
	size_t kept = 0;
	int err = objects__read(aio->target, o, cnt, l->weakref.object + 8);

	if (err)
		return err;
	for (size_t i = 0; i < cnt; i++) {
		struct bytes b = { o->buf[i], l->weakref.object + 8 };

		if (o->range[i].err)
			continue;
		bytes_u64(&b, l->object.type, &type);
		bytes_u64(&b, l->weakref.object, &object);
		k = kinds__get(aio->kinds, type);
		if (k && k->class == KIND_WEAKREF && object)
			o->addr[kept++] = object;
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
		n = cnt - i < OBJECTS_MAX ? cnt - i : OBJECTS_MAX;
		memcpy(aio->objects.addr, member + i, n * sizeof(*member));
		err = take_batch(aio, n, weak, set);
	}
	free(member);
	return err;
}

static int take_sets(struct asyncio *aio, const struct module *module, struct taskset *set)
{
	uint64_t data;
	int err = kinds__attribute(aio->kinds, module->weak, "data", &data);

	if (!err)
		err = take_set(aio, data, true, set);
	if (!err && module->eager)
		err = take_set(aio, module->eager, false, set);
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

static int read_module(const struct py_target *t, uint64_t dict, struct module *out)
{
	static const char *const names[] = { "_scheduled_tasks", "_all_tasks", "_eager_tasks",
					     "_current_tasks" };
	uint64_t at[4] = { 0 };
	struct dict_entries entries;
	ssize_t found;
	int err = object__dict(t, dict, &entries);

	if (err)
		return err;
	for (size_t i = 0; i < 4; i++) {
		found = dict_entries__find(t, &entries, names[i]);
		if (found >= 0)
			at[i] = entries.entry[found].value;
	}
	dict_entries__free(&entries);
	*out = (struct module){ at[0] ? at[0] : at[1], at[2], at[3] };
	return out->weak ? 0 : -ENOENT;
}

static int find_module(struct asyncio *aio, uint64_t interp, struct module *out)
{
	struct registry *r = registry_of(aio, interp);
	const struct py_target *t = aio->target;
	int err = -ENOENT;

	if (r->module_dict)
		err = read_module(t, r->module_dict, out);
	if (err && !is_final(err)) {
		r->module_dict = 0;
		err = module__dict(t, interp, "asyncio.tasks", &r->module_dict);
		if (!err)
			err = read_module(t, r->module_dict, out);
	}
	return err;
}

bool asyncio__is_imported(const struct asyncio *aio)
{
	for (size_t i = 0; i < aio->nregistry; i++)
		if (aio->registry[i].module_dict)
			return true;
	return false;
}

/* Calls TAKE for each interpreter that has imported the module. What is wrong with one is said. */
static int each_module(struct asyncio *aio, const struct thread_refs *refs, struct taskset *set,
		       int (*take)(struct asyncio *aio, const struct thread_refs *refs,
				   uint64_t interp, const struct module *module,
				   struct taskset *set))
{
	struct module module;
	int err = 0;

	aio->probes = 0;
	for (size_t i = 0; !err && i < refs->cnt; i++) {
		uint64_t interp = refs->ref[i].interp;

		if (i && interp == refs->ref[i - 1].interp)
			continue;
		err = find_module(aio, interp, &module);
		if (!err)
			err = take(aio, refs, interp, &module, set);
		else if (!is_final(err))
			err = 0; /* asyncio is not imported */
		/* what was read is there, and it is said */
		if (err == -E2BIG)
			return 0;
		if (err && !is_final(err)) {
			set->note = CHANGED;
			err = 0;
		}
	}
	return err;
}

/* Where lists are known but not where they are, nothing can be said of them. */
static int find_lists(struct asyncio *aio, struct taskset *set)
{
	int err;

	if (!aio->target->layout.interp.size)
		return -ENOENT;
	err = find_debug(aio);
	if (err && !is_final(err))
		set->note = "incomplete: the module _asyncio does not say where its tasks are";
	return err;
}

static int take_all(struct asyncio *aio, const struct thread_refs *refs, uint64_t interp,
		    const struct module *module, struct taskset *set)
{
	int err = find_lists(aio, set);

	if (!err)
		err = take_lists(aio, refs, interp, set);
	else if (!is_final(err))
		err = 0;
	return err ? err : take_sets(aio, module, set);
}

int asyncio__list(struct asyncio *aio, const struct thread_refs *refs, struct taskset *set)
{
	return each_module(aio, refs, set, take_all);
}

/* ---- what runs ------------------------------------------------------------------------------- */

/* The word at OFF in each thread state, 0 where it cannot be read; *OUT is the caller's. */
static int read_words(struct asyncio *aio, const struct thread_refs *refs, uint32_t off,
		      uint64_t *out)
{
	struct mem_range *range = calloc(refs->cnt + 1, sizeof(*range));
	int err;

	if (!range)
		return -ENOMEM;
	for (size_t i = 0; i < refs->cnt; i++)
		range[i] = (struct mem_range){ refs->ref[i].tstate + off, &out[i], 8, 0 };
	err = mem__readv(aio->target->mem, range, refs->cnt);
	for (size_t i = 0; i < refs->cnt; i++)
		if (range[i].err)
			out[i] = 0;
	free(range);
	return err == -EFAULT ? 0 : err;
}

/* From 3.14 on a thread state has the task that its thread runs. */
static int take_of_threads(struct asyncio *aio, const struct thread_refs *refs, uint64_t interp,
			   struct taskset *set)
{
	uint64_t *task = calloc(refs->cnt + 1, sizeof(*task));
	size_t n = 0;
	int err = -ENOMEM;

	if (task)
		err = read_words(aio, refs, aio->debug.ts_task, task);
	for (size_t i = 0; !err && i < refs->cnt && n < MAX_RUNNING; i++)
		if (refs->ref[i].interp == interp && task[i])
			aio->objects.addr[n++] = task[i];
	free(task);
	return err ? err : take_tasks(aio, n, set);
}

static int take_running(struct asyncio *aio, const struct thread_refs *refs, uint64_t interp,
			const struct module *module, struct taskset *set)
{
	struct dict_entries entries;
	size_t n = 0;
	int err = find_lists(aio, set);

	if (!err)
		err = take_of_threads(aio, refs, interp, set);
	if (is_final(err) || !module->running)
		return is_final(err) ? err : 0;
	err = object__dict(aio->target, module->running, &entries);
	if (err)
		return err;
	for (size_t i = 0; i < entries.cnt && n < MAX_RUNNING; i++)
		if (entries.entry[i].value)
			aio->objects.addr[n++] = entries.entry[i].value;
	dict_entries__free(&entries);
	return take_tasks(aio, n, set);
}

int asyncio__list_running(struct asyncio *aio, const struct thread_refs *refs, struct taskset *set)
{
	return each_module(aio, refs, set, take_running);
}

/* Up to 3.12 it is an item of the thread's dict: the loop (3.12), or an object that holds it. */
static int loop_in_dict(struct asyncio *aio, uint64_t dict, uint64_t *loop)
{
	const struct kind *k;
	int err = object__dict_get(aio->target, dict, RUNNING_LOOP, loop);

	k = err ? NULL : kinds__of(aio->kinds, *loop);
	if (k && strstr(k->name, "RunningLoopHolder"))
		err = mem__read_u64(aio->target->mem, *loop + aio->target->layout.object.var_size,
				    loop);
	if (err)
		*loop = 0;
	return is_final(err) ? err : 0;
}

int asyncio__running_loops(struct asyncio *aio, const struct thread_refs *refs, uint64_t *loop)
{
	const struct py_layout *l = &aio->target->layout;
	int err = l->interp.size ? find_debug(aio) : 0;
	uint32_t off = l->interp.size ? aio->debug.ts_loop : l->ts.running_loop;

	memset(loop, 0, refs->cnt * sizeof(*loop));
	if (is_final(err))
		return err;
	if (off || !l->ts.dict)
		return off ? read_words(aio, refs, off, loop) : 0;
	err = read_words(aio, refs, l->ts.dict, loop);
	for (size_t i = 0; !err && i < refs->cnt; i++)
		if (loop[i])
			err = loop_in_dict(aio, loop[i], &loop[i]);
	return err;
}
