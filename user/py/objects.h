/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The first bytes of many objects of the target, read together. */
#ifndef PERPETUO_PY_OBJECTS_H
#define PERPETUO_PY_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include "py/target.h"

#define OBJECTS_MAX 512
#define OBJECTS_BYTES 256 /* of one object */

struct objects {
	uint64_t addr[OBJECTS_MAX]; /* given by the caller */
	struct mem_range range[OBJECTS_MAX]; /* err says what is not there */
	uint8_t buf[OBJECTS_MAX][OBJECTS_BYTES];
};

/* Reads LEN bytes at each of addr[0..CNT). 0, -ESRCH, -EPERM. */
int objects__read(const struct py_target *t, struct objects *o, size_t cnt, size_t len);

#endif
