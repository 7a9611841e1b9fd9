/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Objects of the target as text: those that Python code is made of exactly as repr() writes them,
 * containers one level deep, everything else by its class. Many are read at once, in about a dozen
 * calls.
 *
 * The caller makes sure that the objects themselves stay (a frame that stands still holds them).
 * What is in a list, a dict, a set or a cell may be changed by other threads meanwhile: these are
 * read a second time at the end, and one that has changed is not shown.
 */
#ifndef PERPETUO_PY_VALUE_H
#define PERPETUO_PY_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "py/redact.h"
#include "py/target.h"

#define VALUE_BATCH 2048 /* values that are read at once */
#define VALUE_MAX_ITEMS 10 /* of a container that are shown */

struct value_reader; /* opaque */

struct value_reader *value_reader__new(const struct py_target *t); /* T borrowed; NULL: no memory */
void value_reader__free(struct value_reader *r); /* NULL is fine */

/* A new walk. REDACT (borrowed until the next one) hides entries of dicts by their key. */
void value_reader__begin(struct value_reader *r, const struct redact *redact);

/* Reads the objects at ADDR[0..CNT), CNT at most VALUE_BATCH. 0, -ESRCH, -EPERM. */
int value_reader__load(struct value_reader *r, const uint64_t *addr, size_t cnt);

/* Adds the text of value I of the last load; false: there is none (address 0, an empty cell). */
bool value_reader__show(struct value_reader *r, size_t i, struct strbuf *out);

#endif
