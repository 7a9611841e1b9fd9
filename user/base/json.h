/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Writes JSON, compact, straight into a string: a record of 300 frames has thousands of values, and
 * whoever waits for it waits for each. The caller opens and closes in turn; KEY is that of a member
 * of an object, NULL for an element of an array and for the outermost value. Keys are the caller's
 * own words, which need no escape.
 *
 *	json__open(&j, NULL, '{');
 *	json__text(&j, "name", name);
 *	json__close(&j, '}');
 */
#ifndef PERPETUO_BASE_JSON_H
#define PERPETUO_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct json {
	struct strbuf *out; /* borrowed: out of memory spoils it */
	bool comma; /* something stands before the next value */
};

/* BRACKET: '{' or '[', and the other one. */
void json__open(struct json *j, const char *key, char bracket);
void json__close(struct json *j, char bracket);

/* What comes from a target: sanitised (text.h) and escaped. */
void json__text(struct json *j, const char *key, const char *value);
void json__int(struct json *j, const char *key, int64_t value);
void json__count(struct json *j, const char *key, uint64_t value); /* at most INT64_MAX */
void json__bool(struct json *j, const char *key, bool value);
void json__null(struct json *j, const char *key);

/* Milliseconds, to the microsecond: 201.4 */
void json__millis(struct json *j, const char *key, uint64_t ns);

#endif
