// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/asyncio_debug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proc/maps.h"
#include "py/objects.h"

#define PIECE (64u << 10) /* read at once */
#define MAX_BYTES (8u << 20) /* of one mapping */
#define MAX_TSTATE (64u << 10)

/* The order of its words (Modules/_asynciomodule.c). */
enum word {
	TASK_SIZE,
	TASK_NAME,
	TASK_AWAITED_BY,
	TASK_IS_TASK,
	TASK_AWAITED_BY_IS_SET,
	TASK_CORO,
	TASK_NODE,
	INTERP_SIZE,
	INTERP_TASKS,
	TS_SIZE,
	TS_LOOP,
	TS_TASK,
	TS_TASKS,
	WORDS,
};

/* LEN bytes at OFF lie in a struct of SIZE bytes, where words do. */
static bool inside(uint64_t off, uint64_t len, uint64_t size)
{
	return off % 8 == 0 && size >= len && off <= size - len;
}

bool asyncio_debug__parse(const struct bytes *b, uint64_t off, uint64_t interp_size,
			  struct asyncio_debug *out)
{
	uint64_t w[WORDS];

	for (size_t i = 0; i < WORDS; i++)
		if (bytes_u64(b, off + 8 * i, &w[i]))
			return false;
	if (!interp_size || w[INTERP_SIZE] != interp_size || w[TASK_SIZE] > OBJECTS_BYTES ||
	    w[TS_SIZE] > MAX_TSTATE)
		return false;
	if (!inside(w[TASK_NAME], 8, w[TASK_SIZE]) || !inside(w[TASK_CORO], 8, w[TASK_SIZE]) ||
	    w[TASK_CORO] < 8 || !inside(w[TASK_NODE], 16, w[TASK_SIZE]) ||
	    !inside(w[INTERP_TASKS], 16, interp_size) || !inside(w[TS_LOOP], 8, w[TS_SIZE]) ||
	    !inside(w[TS_TASK], 8, w[TS_SIZE]) || !inside(w[TS_TASKS], 16, w[TS_SIZE]))
		return false;
	*out = (struct asyncio_debug){
		.task_size = (uint32_t)w[TASK_SIZE],
		.task_name = (uint32_t)w[TASK_NAME],
		.task_coro = (uint32_t)w[TASK_CORO],
		.task_node = (uint32_t)w[TASK_NODE],
		.interp_tasks = (uint32_t)w[INTERP_TASKS],
		.ts_loop = (uint32_t)w[TS_LOOP],
		.ts_task = (uint32_t)w[TS_TASK],
		.ts_tasks = (uint32_t)w[TS_TASKS],
	};
	return true;
}

static int search(const struct py_target *t, const struct map *map, uint8_t *buf,
		  struct asyncio_debug *out)
{
	uint64_t end = map->end - map->start > MAX_BYTES ? map->start + MAX_BYTES : map->end, len;
	struct bytes b = { buf, 0 };
	int err;

	/* pieces overlap, so that it is whole in one of them */
	for (uint64_t at = map->start; at + ASYNCIO_DEBUG_BYTES <= end;
	     at += PIECE - ASYNCIO_DEBUG_BYTES) {
		len = end - at < PIECE ? end - at : PIECE;
		err = mem__read(t->mem, at, buf, len);
		if (err)
			return err == -EFAULT ? -ENOENT : err;
		b.len = len;
		for (uint64_t off = 0; off + ASYNCIO_DEBUG_BYTES <= len; off += 8)
			if (asyncio_debug__parse(&b, off, t->layout.interp.size, out))
				return 0;
	}
	return -ENOENT;
}

/* A module of its own, or built into the file that has the interpreter. */
static bool may_hold(const struct map *map, const struct map *runtime)
{
	const char *name = strrchr(map->path, '/');

	if (!name || !map->readable || !map->writable || map->shared)
		return false;
	return !strncmp(name, "/_asyncio.", 10) ||
	       (runtime && map->inode == runtime->inode && !strcmp(map->path, runtime->path));
}

int asyncio_debug__find(const struct py_target *t, struct asyncio_debug *out)
{
	const struct maps *maps = t->recorded;
	const struct map *runtime;
	struct maps own = { 0 };
	uint8_t *buf = NULL;
	int err;

	if (!t->layout.interp.size)
		return -ENOENT;
	if (!maps) {
		err = maps__load(t->pid, &own, NULL);
		if (err)
			return err;
		maps = &own;
	}
	buf = malloc(PIECE);
	err = buf ? -ENOENT : -ENOMEM;
	runtime = maps__find(maps, t->runtime);
	for (size_t i = 0; err == -ENOENT && i < maps->cnt; i++)
		if (may_hold(&maps->map[i], runtime))
			err = search(t, &maps->map[i], buf, out);
	free(buf);
	maps__free(&own);
	return err;
}
