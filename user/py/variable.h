/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One local variable of a frame, by its name: event loops are found through them. */
#ifndef PERPETUO_PY_VARIABLE_H
#define PERPETUO_PY_VARIABLE_H

#include <stdint.h>

#include "py/kind.h"
#include "py/target.h"

/* The object in the variable NAME of the frame at FRAME, through a cell if it is in one. 0 and
 * *OUT, -ENOENT (no such variable, or unbound), -EFAULT, -E2BIG, ... */
int variable__read(const struct py_target *t, struct kinds *kinds, uint64_t frame, const char *name,
		   uint64_t *out);

#endif
