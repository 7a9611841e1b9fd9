/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What value.c reads and value_text.c shows: only they include it. */
#ifndef PERPETUO_PY_VALUE_BATCH_H
#define PERPETUO_PY_VALUE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "py/classes.h"
#include "py/value.h"

#define MAX_ITEMS_LOADED 4096 /* in all containers of a load */

enum value_kind {
	VALUE_NEW, /* not looked at yet */
	VALUE_NOTHING, /* there is no object */
	VALUE_UNREADABLE,
	VALUE_CHANGING, /* another thread is at work on it */
	VALUE_NONE,
	VALUE_TRUE,
	VALUE_FALSE,
	VALUE_INT,
	VALUE_FLOAT,
	VALUE_STR,
	VALUE_BYTES,
	VALUE_TUPLE,
	VALUE_LIST,
	VALUE_DICT,
	VALUE_SET,
	VALUE_FROZENSET,
	VALUE_CLASS,
	VALUE_CELL,
	VALUE_OBJECT, /* of any other class */
};

struct value {
	uint64_t addr, type;
	uint64_t cell; /* that holds it; 0 = none */
	enum value_kind kind;
	uint64_t len; /* digits, characters, bytes or items */
	uint32_t char_size; /* bytes of a character */
	bool negative;
	double number;
	uint64_t data_addr; /* where the content is */
	struct bytes data; /* as much of it as was read */
	struct bytes head; /* of a container that may change */
	uint64_t keys, values; /* of a dict: where its entries are */
	size_t words; /* of one entry */
	size_t peeked; /* bytes of the object that are in head[] */
	size_t item, nitems; /* in item[]; a dict's are key, value, key, value */
};

/* A range that is read, and whose it is. */
struct wanted {
	struct mem_range range[2 * MAX_ITEMS_LOADED];
	struct value *who[2 * MAX_ITEMS_LOADED];
	const void *was[2 * MAX_ITEMS_LOADED]; /* used by look_again() */
	size_t cnt;
};

struct value_reader {
	const struct py_target *target;
	const struct redact *redact;
	struct classes *classes;
	struct value value[VALUE_BATCH];
	size_t cnt;
	struct value item[MAX_ITEMS_LOADED];
	size_t nitems;
	uint8_t head[MAX_ITEMS_LOADED][PY_HEAD_BYTES];
	struct wanted wanted;
	uint8_t *content; /* CONTENT_BYTES + AGAIN_BYTES, owned */
	size_t used, limit;
};

#endif
