/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* str objects of CPython: where the characters are, and the characters as text. */
#ifndef PERPETUO_PY_UNICODE_H
#define PERPETUO_PY_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/strbuf.h"
#include "py/layout.h"

struct py_str {
	uint64_t len; /* characters */
	uint32_t kind; /* bytes of a character: 1 (latin-1), 2 or 4 */
	bool compact; /* the characters follow the head, at `data`; else a pointer lies there */
	uint32_t data; /* offset from the object */
};

/* HEAD is the beginning of the object, at least str.compact_size long. 0, or -EINVAL: no str. */
int py_str__parse(const struct py_layout *layout, const struct bytes *head, struct py_str *out);

/*
 * Adds the characters in DATA, of KIND bytes each, as sanitised UTF-8 (base/text.h). Bytes that
 * Python smuggled through surrogates (PEP 383) are shown as the bytes that they were; what is no
 * character becomes \uNNNN or \UNNNNNNNN.
 */
void py_str__decode(struct strbuf *out, const struct bytes *data, uint32_t kind);

/* Adds the code point C (at most U+10FFFF). */
void utf8_add(struct strbuf *out, uint32_t c);

#endif
