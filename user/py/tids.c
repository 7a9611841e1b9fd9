// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/tids.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "proc/task.h"

void tids__load(struct tids *tids, const struct py_target *t)
{
	bool inner = false;
	struct task_status status;
	struct task_list list;

	tids__free(tids);
	if (task_list__load(t->pid, &list))
		return;
	if (!task_status__load(t->pid, list.tid[0], &status))
		inner = status.ns_levels > 1;
	tids->pair = calloc(list.cnt, sizeof(*tids->pair));
	for (size_t i = 0; tids->pair && i < list.cnt && !py_target__late(t); i++) {
		status.ns_tid = list.tid[i];
		if (!inner || !task_status__load(t->pid, list.tid[i], &status))
			tids->pair[tids->cnt++] = (struct tid_pair){ status.ns_tid, list.tid[i] };
	}
	task_list__free(&list);
}

void tids__free(struct tids *tids)
{
	free(tids->pair);
	*tids = (struct tids){ 0 };
}

static pid_t map_tid(const struct tids *tids, pid_t ns_tid)
{
	if (!tids->pair)
		return ns_tid;
	for (size_t i = 0; i < tids->cnt; i++)
		if (tids->pair[i].ns_tid == ns_tid)
			return tids->pair[i].tid;
	return 0;
}

/*
 * After a fork of which Python was not told (uWSGI) the thread states keep the ids of the parent's
 * threads; those of the C library are right.
 */
pid_t tids__of(const struct tids *tids, const struct py_target *t, struct thread_ref *ref)
{
	pid_t tid = map_tid(tids, ref->ns_tid);
	uint32_t own;

	if (tid || t->layout.ts.native_id == PY_NONE)
		return tid;
	if (!mem__read_u32(t->mem, ref->ident + t->layout.ts.pthread_tid, &own) && own <= INT32_MAX)
		tid = map_tid(tids, (pid_t)own);
	ref->stale_id = tid != 0;
	return tid;
}
