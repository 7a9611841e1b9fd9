/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the C module of asyncio says of itself from 3.14 on: struct Py_AsyncioModuleDebugOffsets, 13
 * words in the section .AsyncioDebug of the file that holds the module. Section headers are not
 * mapped and the file may be gone, so it is looked for in the writable memory of that file: the
 * size of the interpreter state, which _Py_DebugOffsets tells too, stands in the middle of it.
 */
#ifndef PERPETUO_PY_ASYNCIO_DEBUG_H
#define PERPETUO_PY_ASYNCIO_DEBUG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "py/target.h"

#define ASYNCIO_DEBUG_BYTES (13 * 8)

/* Offsets in bytes. Lists of tasks are circles of {next, previous}. */
struct asyncio_debug {
	uint32_t task_size, task_name, task_coro, task_node;
	uint32_t interp_tasks; /* those of threads that have ended */
	uint32_t ts_loop, ts_task, ts_tasks;
};

/* Are the words at OFF that struct, in a process whose interpreter state has INTERP_SIZE bytes? */
bool asyncio_debug__parse(const struct bytes *b, uint64_t off, uint64_t interp_size,
			  struct asyncio_debug *out);

/* 0, -ENOENT (the module is not loaded, or this version has no such section), -ENOMEM, -ESRCH,
 * -EPERM. */
int asyncio_debug__find(const struct py_target *t, struct asyncio_debug *out);

#endif
