/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finding the interpreter: any mapped file that exports _PyRuntime, whatever its name (Python may
 * be embedded); the executable first, then libpython, then the rest.
 */
#ifndef PERPETUO_PY_RUNTIME_H
#define PERPETUO_PY_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "py/target.h"

struct maps;

struct runtime {
	uint32_t hex; /* PY_VERSION_HEX */
	uint64_t size; /* of _PyRuntime */
	bool in_executable;
	char path[256]; /* of the file that exports it: sanitised, cut */
};

/*
 * Fills T (pid and mem are given) and *OUT. 0, or
 *	-ENOENT		no Python, or it is still starting	-ESRCH, -EPERM, -ENOMEM, -EIO
 *	-EOPNOTSUPP	a version that is not known
 * with one line in ERR.
 */
int runtime__find(struct py_target *t, struct runtime *out, struct err *err);

/* The same for a process that is told by its mappings and the name of its executable ("" = not
 * known). */
int runtime__find_in(struct py_target *t, const struct maps *maps, const char *exe,
		     struct runtime *out, struct err *err);

#endif
