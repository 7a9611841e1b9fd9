/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Text that came from a target, made fit for a terminal, a log and a JSON string. */
#ifndef PERPETUO_BASE_TEXT_H
#define PERPETUO_BASE_TEXT_H

#include <stddef.h>

#include "base/strbuf.h"

/*
 * Adds LEN bytes as valid UTF-8 on one line: control characters (C0, DEL, C1), line and paragraph
 * separators and the bidirectional overrides become \xNN or \uNNNN; bytes that are no UTF-8 become
 * \xNN. What is shown can therefore not move the cursor, start a line or reorder its neighbours.
 * Sanitising twice changes nothing.
 */
void text_sanitize(struct strbuf *out, const char *text, size_t len);

/* Bytes of the longest prefix of at most MAX bytes that does not end inside a UTF-8 sequence. */
size_t text_utf8_cut(const char *text, size_t len, size_t max);

/* Copies TEXT into OUT of CAP bytes, its NUL included, as far as it fits by text_utf8_cut(). */
void text_copy(char *out, size_t cap, const char *text);

/* The same of LEN bytes that come from a target, sanitised. "" without memory. */
void text_copy_clean(char *out, size_t cap, const char *raw, size_t len);

#endif
