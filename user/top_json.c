// SPDX-License-Identifier: MIT OR Apache-2.0
#include "top_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define LINE_BYTES 2048 /* more than is shown: the view cuts it where a character ends */
#define TIME_AT 11 /* of the clock in "2026-11-21T13:42:24.123456+00:00" */

static const char *word(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* "13:42:23 GIL 312.0 ms ended: waited for the GIL, which hog held" */
static void note_stall(struct top_view *v, const json_t *record, const json_t *stall)
{
	const char *time = word(record, "time");
	char line[LINE_BYTES];

	snprintf(line, sizeof(line), "%.8s %s %s %.1f ms %s%s%s",
		 strlen(time) > TIME_AT ? time + TIME_AT : "", word(stall, "id"),
		 word(json_object_get(record, "additional_info"), "name"),
		 json_number_value(json_object_get(stall, "duration_ms")), word(stall, "event"),
		 *word(json_object_get(stall, "why"), "verdict") ? ": " : "",
		 word(json_object_get(stall, "why"), "verdict"));
	top_view__stall(v, word(stall, "id"), line);
}

json_t *top_json__stalls(const char *records, struct top_view *v)
{
	json_t *out = json_array(), *record, *stall;
	size_t len;

	for (const char *p = records; out && *p; p += len + (p[len] == '\n')) {
		len = strcspn(p, "\n");
		record = json_loadb(p, len, 0, NULL);
		stall = json_object_get(record, "stall");
		if (stall)
			note_stall(v, record, stall);
		if (stall && json_array_append(out, record)) {
			json_decref(out);
			out = NULL;
		}
		json_decref(record);
	}
	return out;
}

static json_t *count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *millis(uint64_t ns)
{
	return json_real((double)(ns / NSEC_PER_USEC) / 1e3);
}

/* null: it runs no loop. */
static json_t *loop(const struct top_row *r)
{
	const struct top_loop *l = &r->now.loop;

	if (!l->moved)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "steps", count(r->change.steps), "p99_ms",
			 millis(top_quantile(l, 99)), "worst_ms", millis(l->worst_ns));
}

static json_t *row(const struct top_row *r)
{
	return json_pack("{s:i, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "pid", (int)r->pid, "tid",
			 (int)r->now.tid, "thread", r->name, "in", r->at, "held_ms",
			 millis(r->change.held_ns), "waited_ms", millis(r->change.waited_ns),
			 "waits", count(r->change.waits), "worst_wait_ms",
			 millis(r->now.worst_wait_ns), "loop", loop(r));
}

void top_json__add(struct strbuf *out, const struct top_view *v, json_t *stalls)
{
	json_t *rows = json_array(), *record;
	char time[CLOCK_RFC3339_LEN];
	char *text = NULL;

	clock_rfc3339(v->wall_ns, time);
	for (size_t i = 0; i < v->nrows && rows; i++) {
		if (!json_array_append_new(rows, row(&v->row[i])))
			continue;
		json_decref(rows);
		rows = NULL;
	}
	record = json_pack("{s:s, s:s, s:s, s:{}, s:{s:o, s:o, s:o, s:o, s:O}}", "time", time,
			   "severity", "INFO", "message", "Top", "additional_info", "top",
			   "interval_ms", millis(v->span_ns), "processes", count(v->nprocs),
			   "threads_cut", count(v->cut), "threads", rows, "stalls", stalls);
	if (record)
		text = json_dumps(record, JSON_COMPACT);
	json_decref(record);
	if (!text) {
		out->failed = true;
		return;
	}
	strbuf_adds(out, text);
	strbuf_addc(out, '\n');
	free(text);
}
