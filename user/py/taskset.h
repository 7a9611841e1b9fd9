/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The tasks of event loops as they were found, before anything of them is shown. */
#ifndef PERPETUO_PY_TASKSET_H
#define PERPETUO_PY_TASKSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TASKSET_MAX 100000 /* tasks of one process that are looked at */
#define TASKSET_NONE SIZE_MAX

enum task_library { TASK_ASYNCIO, TASK_TRIO };

struct coro_task {
	enum task_library library;
	uint64_t addr;
	uint64_t loop; /* its event loop, or Trio's runner */
	uint64_t coro;
	uint64_t name; /* str, or int: the number of a name that nobody has asked for yet */
	uint64_t waiter; /* asyncio: the future that it waits for; 0 = none */
	uint64_t callback; /* asyncio: who wants to know when it is done; 0 = nobody */
	uint64_t nursery; /* Trio: in which it was started; 0 = not known */
	bool idle; /* Trio: waits for something; else it is scheduled */
	size_t thread; /* of its loop: index of the snapshot's thread, TASKSET_NONE */
	size_t depth; /* of its coroutine on the stack of that thread, if it runs */
	bool current; /* it runs, and no other one further in */
	const char *shown_name; /* NULL: not read yet; in the arena */

	size_t parent; /* index of the task that waits for it or nurses it, TASKSET_NONE */
	size_t waits_for; /* asyncio: the task that it waits for itself */
	size_t gathers; /* asyncio: it waits for so many others at once */
};

struct taskset {
	struct coro_task *task; /* owned */
	size_t cnt, cap;
	const char *note; /* "" or a literal: what is missing */
};

/* A copy of TASK. 0, -E2BIG (NOTE says so), -ENOMEM. */
int taskset__add(struct taskset *set, const struct coro_task *task);
void taskset__free(struct taskset *set); /* content only; zeroed structs are fine */

/* Brings them into the order of their addresses, without those that were found twice. Only then
 * taskset__find() finds. */
void taskset__index(struct taskset *set);
size_t taskset__find(const struct taskset *set, uint64_t addr); /* TASKSET_NONE */

#endif
