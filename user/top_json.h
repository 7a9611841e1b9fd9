/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The records of a watch as `perpetuo-bpf top` takes them, and its own. */
#ifndef PERPETUO_TOP_JSON_H
#define PERPETUO_TOP_JSON_H

#include <jansson.h>

#include "base/strbuf.h"
#include "top_view.h"

/* Of RECORDS, lines of JSON, those of stalls, in an array (json_decref it); V gets a line of each.
 * What is no whole record is skipped. NULL: out of memory. */
json_t *top_json__stalls(const char *records, struct top_view *v);

/* One line, as tests/data/record.schema.json says. STALLS is borrowed. Out of memory spoils OUT. */
void top_json__add(struct strbuf *out, const struct top_view *v, json_t *stalls);

#endif
