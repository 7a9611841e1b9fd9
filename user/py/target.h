/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What every part of the reader needs of the process that it reads. Owned by struct python. */
#ifndef PERPETUO_PY_TARGET_H
#define PERPETUO_PY_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "py/layout.h"
#include "proc/mem.h"

struct maps;

struct py_target {
	pid_t pid; /* 0: a recording, in which nothing moves, and whose mappings are these */
	const struct maps *recorded;
	struct mem *mem;
	struct py_layout layout;
	uint64_t runtime; /* address of _PyRuntime */
	uint64_t code_type; /* PyCode_Type: the one proof that a pointer is a code object */
	uint64_t str_type, dict_type; /* 0 = not exported */
	/* Objects that tell what a value is; 0 = not exported. */
	struct {
		uint64_t none, true_, false_; /* the only ones of their kind */
		uint64_t type, cell; /* from here on: classes */
		uint64_t integer, number, bytes, tuple, list, set, frozenset;
	} known;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC: when the walk that is under way must end */
};

/* The walk has used up its time. */
bool py_target__late(const struct py_target *t);

#endif
