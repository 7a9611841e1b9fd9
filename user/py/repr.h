/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Values as repr() writes them, from their bytes. Pure: bytes in, text out. The text may hold any
 * printable character of Unicode; what acts on a terminal is escaped, as Python does.
 */
#ifndef PERPETUO_PY_REPR_H
#define PERPETUO_PY_REPR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/strbuf.h"

#define REPR_MAX_CHARS 1280 /* of one value: perpetuo's limit */
#define REPR_DIGIT_BITS 30 /* of one digit of an int */
#define REPR_MAX_DIGITS 141 /* an int with more of them has more than REPR_MAX_CHARS */

/* DIGITS: 32-bit words, the lowest first, at most REPR_MAX_DIGITS. -EINVAL: no digits of an int. */
int repr__int(struct strbuf *out, const struct bytes *digits, bool negative);

void repr__float(struct strbuf *out, double value);

/* CHARS: characters of KIND bytes each (1, 2 or 4). */
void repr__str(struct strbuf *out, const struct bytes *chars, uint32_t kind);

void repr__bytes(struct strbuf *out, const struct bytes *data);

#endif
