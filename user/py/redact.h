/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which variables keep their value to themselves: chosen by name, before anything is read. */
#ifndef PERPETUO_PY_REDACT_H
#define PERPETUO_PY_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define REDACT_MAX_PATTERNS 16

struct redact; /* opaque */

/*
 * Hides names in which one of the N PATTERNS (POSIX extended, case does not matter) is found and,
 * unless SHOW_SECRETS, those that look like secrets. 0 and *OUT (redact__free); -EINVAL (ERR quotes
 * the pattern and says what is wrong with it), -ENOMEM.
 */
int redact__new(const char *const *patterns, size_t n, bool show_secrets, struct redact **out,
		struct err *err);
void redact__free(struct redact *r); /* NULL is fine */

/* Is the value of the variable, or of the key of a dict, NAME to be hidden? */
bool redact__hides(const struct redact *r, const char *name);

#endif
