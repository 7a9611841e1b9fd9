/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The names of classes, as repr() of their instances shows them. Kept during one walk. */
#ifndef PERPETUO_PY_CLASSES_H
#define PERPETUO_PY_CLASSES_H

#include <stdint.h>

#include "py/target.h"

#define CLASSES_MAX 256 /* that are looked up in one walk */
#define CLASSES_MAX_NAME 128 /* characters of a class name, and of a module name */

struct classes; /* opaque */

struct classes *classes__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void classes__free(struct classes *c); /* NULL is fine */

/* A new walk: the classes may be others. */
void classes__begin(struct classes *c);

/* "module.Class" (a builtin one without "builtins.") of the type object at ADDR: sanitised, good
 * until the next walk; NULL: no type object, or too many. */
const char *classes__name(struct classes *c, uint64_t addr);

#endif
