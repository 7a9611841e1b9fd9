// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Records for machines: one JSON object a line, as tests/data/record.schema.json says. The four
 * keys of perpetuo's records keep their meaning, what is ours stands under `stall` (below, one
 * line):
 *
 *	{"time":"2026-11-21T13:42:24.123456+00:00","severity":"WARNING","message":"Stall detected",
 *	 "additional_info":{"name":"billing","pid":"1234"},
 *	 "stall":{"id":"1234-7","event":"detected","source":"slot","pid":1234,"tid":1240,
 *		"thread":"MainThread","start_time":"2026-11-21T13:42:23.922056+00:00",
 *		"start_monotonic_ns":88201400000,"reported_monotonic_ns":88402800000,
 *		"duration_ms":201.4,"start_exact":true,"end_exact":false,"stack_consistent":true,
 *		"suppressed":0,"untold":0,"note":"",
 *		"why":{"kind":"system_call","on_cpu_ms":0.3,"run_queue_ms":0.1,"throttled_ms":0.0,
 *			"blocked_ms":201.0,"stopped_ms":0.0,"gil_wait_ms":0.0,"page_fault_ms":0.0,
 *			"major_faults":0,"syscall":"read","fd":5,"file":"/srv/a","futex":null,
 *			"library":null,"gil_holder_tid":null,"lock_holder_tid":null,"gc":false,
 *			"verdict":"blocked for 201.0 of 201.4 ms in read(fd 5: /srv/a)"},
 *		"task":"serve-17","gil":null,
 *		"threads":[{"name":"MainThread","tid":1240,"ident":139872,"state":"blocked",
 *			"uninterruptible":false,"syscall":"read","fd":5,"file":"/srv/a",
 *			"futex":null,"holds_gil":false,"waits_gil":false,"exact":true,"note":"",
 *			"cut":0,"cut_at":0,"task":"serve-17","responsible":true,"same":false}],
 *		"tasks":[],"tasks_found":0,"tasks_note":""},
 *	 "stall_details":{"length_ms":201.4,
 *		"relevant_traces":[[{"name":"serve","filename":"web.py","line":71,"locals":null}]],
 *		"other_traces":[],"cmdline":["python3","-m","billing"],"rate_limited":false}}
 *
 * `stall.threads` runs parallel to relevant_traces, then other_traces. Frames run from the root to
 * the innermost one, as in perpetuo's.
 *
 * A value that could not be made (memory) is NULL; jansson lets that spoil all that holds it, so
 * that only the whole is tested.
 */
#include "sink/sink.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "sink/format.h"

/* Valid UTF-8 without control characters, whoever has looked at it before. */
static json_t *text(const char *s)
{
	struct strbuf clean = STRBUF_INIT;
	json_t *value = NULL;

	text_sanitize(&clean, s, strlen(s));
	if (strbuf_str(&clean))
		value = json_stringn_nocheck(clean.data ? clean.data : "", clean.len);
	strbuf_free(&clean);
	return value;
}

static json_t *count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

/* Unknown is null: 0 is a number like any other. */
static json_t *known_tid(pid_t tid)
{
	return tid ? json_integer(tid) : json_null();
}

/* Milliseconds with a resolution of a microsecond */
static json_t *millis(uint64_t ns)
{
	return json_real((double)(ns / NSEC_PER_USEC) / 1e3);
}

static json_t *rfc3339(uint64_t wall_ns)
{
	char s[CLOCK_RFC3339_LEN];

	clock_rfc3339(wall_ns, s);
	return json_string(s);
}

static json_t *pid_text(pid_t pid)
{
	return json_sprintf("%d", pid);
}

/* Appends VALUE (taken over) to ARRAY; frees ARRAY and returns NULL when one of them is NULL. */
static json_t *append(json_t *array, json_t *value)
{
	if (array && !json_array_append_new(array, value))
		return array;
	if (!array)
		json_decref(value);
	json_decref(array);
	return NULL;
}

static json_t *cmdline(const char *const *arg, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n && out; i++)
		out = append(out, text(arg[i]));
	return out;
}

/* null: they were not read, or nobody wants them. The value of one that is not bound is null. */
static json_t *locals(const struct sink_style *style, const struct report_frame *f)
{
	const struct report_local *local = f->local;
	json_t *out;

	if (!local || !style->locals)
		return json_null();
	out = json_array();
	for (size_t i = 0; i < f->nlocals && out; i++)
		out = append(out, json_pack("{s:o, s:o}", "name", text(local[i].name), "value",
					    local[i].value ? text(local[i].value) : json_null()));
	return out;
}

/* Not known is null. */
static json_t *known_text(const char *s)
{
	return s && *s ? text(s) : json_null();
}

/* 0 is unknown; what is known counts from BASE on. */
static json_t *known(int n, int base)
{
	return n > 0 ? json_integer(n - base) : json_null();
}

static json_t *frame(const struct sink_style *style, const struct report_frame *f)
{
	json_t *out = json_pack("{s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o}", "name", text(f->name),
				"filename", text(f->file), "line", f->line > 0 ? f->line : 0,
				"end_line", known(f->end_line, 0), "column", known(f->column, 1),
				"end_column", known(f->end_column, 1), "source",
				known_text(f->source), "locals", locals(style, f));

	if (out && style->locals && f->locals_cut &&
	    json_object_set_new(out, "locals_cut", count(f->locals_cut))) {
		json_decref(out);
		return NULL;
	}
	return out;
}

/* The SHOWN innermost frames of T, from the root on. */
static json_t *frames(const struct sink_style *style, const struct report_thread *t, size_t shown)
{
	json_t *out = json_array();

	for (size_t i = shown; i-- > 0 && out;)
		out = append(out, frame(style, &t->frame[i]));
	return out;
}

/* What is known of a thread beside its frames, of which SHOWN are told. */
static json_t *thread(const struct report_thread *t, size_t shown)
{
	bool call = t->call && *t->call;

	return json_pack(
		"{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:o, s:o, s:o}",
		"name", text(t->name), "tid", known_tid(t->tid), "ident", count(t->ident), "state",
		text(t->state), "uninterruptible", t->uninterruptible, "syscall",
		known_text(t->call), "fd", call && t->fd >= 0 ? json_integer(t->fd) : json_null(),
		"file", known_text(t->about), "futex",
		t->futex ? json_sprintf("0x%" PRIx64, t->futex) : json_null(), "holds_gil",
		t->holds_gil, "waits_gil", t->waits_gil, "exact", t->exact, "note", text(t->note),
		"cut", count(t->cut + (t->nframes - shown)), "cut_at",
		count(format_cut_at(t, shown)), "task", known_text(t->task));
}

static json_t *task(const struct sink_style *style, const struct report_task *t, size_t *budget)
{
	const struct report_thread chain = { .frame = t->frame, .nframes = t->nframes };
	size_t shown = format_task_frames(t, budget);

	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "name", text(t->name), "library", text(t->library), "state",
			 text(t->state), "count", count(t->count), "current", t->current, "exact",
			 t->exact, "parent",
			 t->parent == REPORT_NO_INDEX ? json_null() : count(t->parent), "thread",
			 known_text(t->thread), "tid", known_tid(t->tid), "waits_for",
			 known_text(t->waits_for), "note", text(t->note), "cut",
			 count(t->nframes - shown), "frames", frames(style, &chain, shown));
}

/* BUDGET: bytes of frames (format.h). */
static json_t *tasks(const struct sink_style *style, const struct report_tasks *r, size_t budget)
{
	json_t *out = json_array();

	for (size_t i = 0; i < r->cnt && out; i++)
		out = append(out, task(style, &r->list[i], &budget));
	return out;
}

static json_t *tasks_note(const struct report_tasks *r)
{
	return text(r->note ? r->note : "");
}

struct traces {
	json_t *relevant;
	json_t *other;
	json_t *threads;
};

static void add_traces(struct traces *out, const struct sink_style *style,
		       const struct report_stall *r, bool responsible, size_t *budget)
{
	json_t **traces = responsible ? &out->relevant : &out->other;
	const struct report_thread *t;
	json_t *about;
	size_t shown;

	for (size_t i = 0; i < r->nthreads; i++) {
		t = &r->thread_list[i];
		if (t->responsible != responsible)
			continue;
		shown = format_frames(t, budget);
		about = thread(t, shown);
		if (about &&
		    (json_object_set_new(about, "responsible", json_boolean(responsible)) ||
		     json_object_set_new(about, "same", json_boolean(t->same)))) {
			json_decref(about);
			about = NULL;
		}
		*traces = append(*traces, frames(style, t, shown));
		out->threads = append(out->threads, about);
	}
}

static struct traces make_traces(const struct sink_style *style, const struct report_stall *r)
{
	struct traces out = {
		.relevant = json_array(),
		.other = json_array(),
		.threads = json_array(),
	};
	size_t budget = FORMAT_MAX_FRAME_BYTES;

	add_traces(&out, style, r, true, &budget);
	add_traces(&out, style, r, false, &budget);
	return out;
}

static const char *event_name(enum report_event event)
{
	static const char *const names[] = {
		[REPORT_DETECTED] = "detected",
		[REPORT_CONTINUES] = "continues",
		[REPORT_ENDED] = "ended",
	};

	return names[event];
}

/* The task that the responsible thread runs: it is the one that does not let the others go on. */
static json_t *stalled_task(const struct report_stall *r)
{
	const struct report_thread *t = r->thread_list;

	return known_text(r->nthreads && t->responsible ? t->task : NULL);
}

static json_t *gil(const struct report_stall *r)
{
	const struct report_gil *g = r->gil;

	if (!g)
		return json_null();
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "kind", g->kind, "switches",
			 count(g->switches), "drops", count(g->drops), "held_ms",
			 millis(g->held_ns), "waiting", count(g->waiting), "outcome",
			 r->event == REPORT_ENDED ? known_text(g->outcome) : json_null());
}

/* What was not measured is null. */
static json_t *measured(const struct report_why *w, uint64_t ns)
{
	return w->measured ? millis(ns) : json_null();
}

static json_t *why(const struct report_why *w)
{
	bool call;

	if (!w)
		return json_null();
	call = *w->call;
	return json_pack(
		"{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
		" s:b, s:o}",
		"kind", w->kind, "on_cpu_ms", measured(w, w->on_cpu_ns), "run_queue_ms",
		measured(w, w->run_queue_ns), "throttled_ms", measured(w, w->throttled_ns),
		"blocked_ms", measured(w, w->blocked_ns), "stopped_ms", measured(w, w->stopped_ns),
		"gil_wait_ms", measured(w, w->gil_wait_ns), "page_fault_ms",
		measured(w, w->page_fault_ns), "major_faults",
		w->measured ? count(w->major_faults) : json_null(), "syscall", known_text(w->call),
		"fd", call && w->fd >= 0 ? json_integer(w->fd) : json_null(), "file",
		known_text(w->about), "futex",
		w->futex ? json_sprintf("0x%" PRIx64, w->futex) : json_null(), "library",
		known_text(w->library), "gil_holder_tid", known_tid(w->gil_holder),
		"lock_holder_tid", known_tid(w->lock_holder), "gc", w->gc, "verdict",
		text(w->verdict));
}

/* THREADS is taken over. */
static json_t *stall(const struct sink_style *style, const struct report_stall *r, json_t *threads)
{
	return json_pack("{s:o, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o,"
			 " s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "id", text(r->id), "event", event_name(r->event), "source",
			 text(r->source), "pid", (int)r->pid, "tid", known_tid(r->tid), "thread",
			 *r->thread ? text(r->thread) : json_null(), "start_time",
			 rfc3339(format_start_wall_ns(r)), "start_monotonic_ns", count(r->start_ns),
			 "reported_monotonic_ns", count(r->reported_ns), "duration_ms",
			 millis(r->duration_ns), "start_exact", r->start_exact, "end_exact",
			 r->event == REPORT_ENDED && r->end_exact, "stack_consistent",
			 r->stacks_consistent, "suppressed", count(r->suppressed), "untold",
			 count(r->untold), "note", text(r->note), "why", why(r->why), "task",
			 stalled_task(r), "gil", gil(r), "threads", threads, "tasks",
			 tasks(style, &r->tasks, FORMAT_MAX_TASK_BYTES), "tasks_found",
			 count(r->tasks.found), "tasks_note", tasks_note(&r->tasks));
}

static int add_bytes(const char *data, size_t len, void *ctx)
{
	struct strbuf *out = ctx;

	strbuf_add(out, data, len);
	return out->failed ? -1 : 0;
}

/* Takes ROOT over. 15 digits: 201.4 is not told as 201.40000000000001. */
static void add_line(struct strbuf *out, json_t *root)
{
	if (!root ||
	    json_dump_callback(root, add_bytes, out, JSON_COMPACT | JSON_REAL_PRECISION(15)))
		out->failed = true;
	strbuf_addc(out, '\n');
	json_decref(root);
}

static void json_stall(struct strbuf *out, const struct sink_style *style,
		       const struct report_stall *r)
{
	struct traces traces = make_traces(style, r);

	add_line(out,
		 json_pack("{s:o, s:s, s:s, s:{s:o, s:o}, s:o, s:{s:o, s:o, s:o, s:o, s:b}}",
			   "time", rfc3339(r->wall_ns), "severity", "WARNING", "message",
			   format_message(r->event), "additional_info", "name", text(r->name),
			   "pid", pid_text(r->pid), "stall", stall(style, r, traces.threads),
			   "stall_details", "length_ms", millis(r->duration_ns), "relevant_traces",
			   traces.relevant, "other_traces", traces.other, "cmdline",
			   cmdline(r->cmdline, r->ncmdline), "rate_limited", r->rate_limited));
}

/* {"time":"...","severity":"INFO","message":"Process 1234 has exited",
 *  "additional_info":{"pid":"1234"}} */
static void json_info(struct strbuf *out, const struct sink_style *style,
		      const struct report_info *r)
{
	static const char *const severity[] = {
		[REPORT_INFO] = "INFO",
		[REPORT_WARNING] = "WARNING",
		[REPORT_ERROR] = "ERROR",
	};
	json_t *about = r->pid ? json_pack("{s:o}", "pid", pid_text(r->pid)) : json_object();

	(void)style;
	add_line(out, json_pack("{s:o, s:s, s:o, s:o}", "time", rfc3339(r->wall_ns), "severity",
				severity[r->severity], "message", text(r->message),
				"additional_info", about));
}

/* {"time":"...","severity":"INFO","message":"Summary","additional_info":{},
 *  "summary":{"stalls":1,"trackers":[{"source":"slot","name":"billing","stalls":1,"open":0,
 *	"total_ms":809.3,"worst_ms":809.3,"p50_ms":809.3,"p99_ms":809.3,"untold":0,
 *	"allowed":0}]}} */
static void json_summary(struct strbuf *out, const struct sink_style *style,
			 const struct report_summary *r)
{
	json_t *trackers = json_array();

	(void)style;
	for (size_t i = 0; i < r->ntrackers && trackers; i++) {
		const struct report_tracker *t = &r->tracker_list[i];

		trackers = append(trackers,
				  json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
					    "source", known_text(t->source), "name", text(t->name),
					    "stalls", count(t->cnt), "open", count(t->open),
					    "total_ms", millis(t->total_ns), "worst_ms",
					    millis(t->worst_ns), "p50_ms", millis(t->p50_ns),
					    "p99_ms", millis(t->p99_ns), "untold", count(t->untold),
					    "allowed", count(t->allowed)));
	}
	add_line(out, json_pack("{s:o, s:s, s:s, s:{}, s:{s:o, s:o}}", "time", rfc3339(r->wall_ns),
				"severity", "INFO", "message", "Summary", "additional_info",
				"summary", "stalls", count(r->stalls), "trackers", trackers));
}

static json_t *dump_threads(const struct sink_style *style, const struct report_dump *r)
{
	size_t budget = FORMAT_MAX_FRAME_BYTES;
	json_t *out = json_array();
	json_t *one;
	size_t shown;

	for (size_t i = 0; i < r->nthreads && out; i++) {
		shown = format_frames(&r->thread_list[i], &budget);
		one = thread(&r->thread_list[i], shown);
		if (one &&
		    json_object_set_new(one, "frames", frames(style, &r->thread_list[i], shown))) {
			json_decref(one);
			one = NULL;
		}
		out = append(out, one);
	}
	return out;
}

static json_t *greenlet(const struct sink_style *style, const struct report_greenlet *g,
			size_t *budget)
{
	const struct report_thread chain = { .frame = g->frame, .nframes = g->nframes };
	size_t shown = format_frames(&chain, budget);

	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "type", text(g->type), "count",
			 count(g->count), "thread", known_text(g->thread), "tid", known_tid(g->tid),
			 "exact", g->exact, "note", text(g->note), "cut",
			 count(g->cut + g->nframes - shown), "frames",
			 frames(style, &chain, shown));
}

static json_t *dump_greenlets(const struct sink_style *style, const struct report_dump *r)
{
	size_t budget = FORMAT_MAX_FRAME_BYTES;
	json_t *out = json_array();

	for (size_t i = 0; i < r->ngreenlets && out; i++)
		out = append(out, greenlet(style, &r->greenlet_list[i], &budget));
	return out;
}

/* {"time":"...","severity":"INFO","message":"Dump","additional_info":{"pid":"1234"},
 *  "dump":{"python":"CPython 3.11.7","note":"","cmdline":[...],
 *	"threads":[{"name":"MainThread","tid":1234,...,"task":"main","frames":[...]}],
 *	"tasks":[{"name":"main","library":"asyncio","state":"running","count":1,"current":true,
 *		"exact":true,"parent":null,"thread":"MainThread","tid":1234,"waits_for":null,
 *		"note":"","cut":0,"frames":[...]}],"tasks_found":1,"tasks_note":"",
 *	"greenlets":[{"type":"greenlet","count":1,"thread":"MainThread","tid":1234,"exact":true,
 *		"note":"","cut":0,"frames":[...]}],"greenlets_found":1,"greenlets_note":""}} */
static void json_dump(struct strbuf *out, const struct sink_style *style,
		      const struct report_dump *r)
{
	add_line(
		out,
		json_pack(
			"{s:o, s:s, s:s, s:{s:o}, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}}",
			"time", rfc3339(r->wall_ns), "severity", "INFO", "message", "Dump",
			"additional_info", "pid", pid_text(r->pid), "dump", "python",
			text(r->python), "note", text(r->note), "cmdline",
			cmdline(r->cmdline, r->ncmdline), "threads", dump_threads(style, r),
			"other_threads", count(r->others), "tasks",
			tasks(style, &r->tasks, FORMAT_MAX_FRAME_BYTES), "tasks_found",
			count(r->tasks.found), "tasks_note", tasks_note(&r->tasks), "greenlets",
			dump_greenlets(style, r), "greenlets_found", count(r->greenlets_found),
			"greenlets_note", text(r->greenlets_note ? r->greenlets_note : "")));
}

const struct sink_format sink_json = {
	.name = "json",
	.stall = json_stall,
	.info = json_info,
	.summary = json_summary,
	.dump = json_dump,
};
