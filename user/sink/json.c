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
 *			"cut":0,"cut_at":0,"task":"serve-17","native":[{"library":"libc.so.6",
 *				"function":"read","offset":13,"address":"0x7f3a12b4c5d0"}],
 *			"native_note":"","kernel":[{"function":"vfs_read","module":null,
 *				"offset":812}],"responsible":true,"same":false}],
 *		"tasks":[],"tasks_found":0,"tasks_note":""},
 *	 "stall_details":{"length_ms":201.4,
 *		"relevant_traces":[[{"name":"serve","filename":"web.py","line":71,"locals":null}]],
 *		"other_traces":[],"cmdline":["python3","-m","billing"],"rate_limited":false}}
 *
 * `stall.threads` runs parallel to relevant_traces, then other_traces. Frames run from the root to
 * the innermost one, as in perpetuo's.
 */
#include "sink/sink.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "sink/format.h"

/* Not known is null. */
static void known_text(struct json *j, const char *key, const char *s)
{
	if (s && *s)
		json__text(j, key, s);
	else
		json__null(j, key);
}

/* Unknown is null: 0 is a number like any other. */
static void known_tid(struct json *j, const char *key, pid_t tid)
{
	if (tid)
		json__int(j, key, tid);
	else
		json__null(j, key);
}

/* 0 is unknown; what is known counts from BASE on. */
static void known(struct json *j, const char *key, int n, int base)
{
	if (n > 0)
		json__int(j, key, n - base);
	else
		json__null(j, key);
}

static void address(struct json *j, const char *key, uint64_t addr)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%" PRIx64, addr);
	json__text(j, key, text);
}

static void known_futex(struct json *j, const char *key, uint64_t futex)
{
	if (futex)
		address(j, key, futex);
	else
		json__null(j, key);
}

/* The file that system call CALL is about. */
static void known_fd(struct json *j, const char *key, const char *call, int fd)
{
	if (call && *call && fd >= 0)
		json__int(j, key, fd);
	else
		json__null(j, key);
}

static void rfc3339(struct json *j, const char *key, uint64_t wall_ns)
{
	char s[CLOCK_RFC3339_LEN];

	clock_rfc3339(wall_ns, s);
	json__text(j, key, s);
}

static void pid_text(struct json *j, const char *key, pid_t pid)
{
	char s[16];

	snprintf(s, sizeof(s), "%d", (int)pid);
	json__text(j, key, s);
}

static void cmdline(struct json *j, const char *const *arg, size_t n)
{
	json__open(j, "cmdline", '[');
	for (size_t i = 0; i < n; i++)
		json__text(j, NULL, arg[i]);
	json__close(j, ']');
}

/* null: they were not read, or nobody wants them. The value of one that is not bound is null. */
static void locals(struct json *j, const struct sink_style *style, const struct report_frame *f)
{
	const struct report_local *local = f->local;

	if (!local || !style->locals) {
		json__null(j, "locals");
		return;
	}
	json__open(j, "locals", '[');
	for (size_t i = 0; i < f->nlocals; i++) {
		json__open(j, NULL, '{');
		json__text(j, "name", local[i].name);
		if (local[i].value)
			json__text(j, "value", local[i].value);
		else
			json__null(j, "value");
		json__close(j, '}');
	}
	json__close(j, ']');
}

static void frame(struct json *j, const struct sink_style *style, const struct report_frame *f)
{
	json__open(j, NULL, '{');
	json__text(j, "name", f->name);
	json__text(j, "filename", f->file);
	json__int(j, "line", f->line > 0 ? f->line : 0);
	known(j, "end_line", f->end_line, 0);
	known(j, "column", f->column, 1);
	known(j, "end_column", f->end_column, 1);
	known_text(j, "source", f->source);
	locals(j, style, f);
	if (style->locals && f->locals_cut)
		json__count(j, "locals_cut", f->locals_cut);
	json__close(j, '}');
}

/* The SHOWN innermost frames of T, from the root on. */
static void frames(struct json *j, const char *key, const struct sink_style *style,
		   const struct report_thread *t, size_t shown)
{
	json__open(j, key, '[');
	for (size_t i = shown; i-- > 0;)
		frame(j, style, &t->frame[i]);
	json__close(j, ']');
}

/* Below the Python frames, and as these from the root on. */
static void native(struct json *j, const struct report_thread *t)
{
	json__open(j, "native", '[');
	for (size_t i = t->nnative; i-- > 0;) {
		json__open(j, NULL, '{');
		known_text(j, "library", t->native[i].library);
		known_text(j, "function", t->native[i].function);
		json__count(j, "offset", t->native[i].offset);
		address(j, "address", t->native[i].addr);
		json__close(j, '}');
	}
	json__close(j, ']');
}

static void kernel(struct json *j, const struct report_thread *t)
{
	json__open(j, "kernel", '[');
	for (size_t i = t->nkernel; i-- > 0;) {
		json__open(j, NULL, '{');
		json__text(j, "function", t->kernel[i].function);
		known_text(j, "module", t->kernel[i].module);
		json__count(j, "offset", t->kernel[i].offset);
		json__close(j, '}');
	}
	json__close(j, ']');
}

static void position(struct json *j, const struct report_thread *t)
{
	if (t->native)
		native(j, t);
	else
		json__null(j, "native");
	json__text(j, "native_note", t->native_note ? t->native_note : "");
	if (t->native)
		kernel(j, t);
	else
		json__null(j, "kernel");
}

/* What is known of a thread beside its frames, of which SHOWN are told. */
static void thread(struct json *j, const struct report_thread *t, size_t shown)
{
	json__text(j, "name", t->name);
	known_tid(j, "tid", t->tid);
	json__count(j, "ident", t->ident);
	json__text(j, "state", t->state);
	json__bool(j, "uninterruptible", t->uninterruptible);
	known_text(j, "syscall", t->call);
	known_fd(j, "fd", t->call, t->fd);
	known_text(j, "file", t->about);
	known_futex(j, "futex", t->futex);
	json__bool(j, "holds_gil", t->holds_gil);
	json__bool(j, "waits_gil", t->waits_gil);
	json__bool(j, "exact", t->exact);
	json__text(j, "note", t->note);
	json__count(j, "cut", t->cut + (t->nframes - shown));
	json__count(j, "cut_at", format_cut_at(t, shown));
	known_text(j, "task", t->task);
	position(j, t);
}

static void task(struct json *j, const struct sink_style *style, const struct report_task *t,
		 size_t *budget)
{
	const struct report_thread chain = { .frame = t->frame, .nframes = t->nframes };
	size_t shown = format_task_frames(t, budget);

	json__open(j, NULL, '{');
	json__text(j, "name", t->name);
	json__text(j, "library", t->library);
	json__text(j, "state", t->state);
	json__count(j, "count", t->count);
	json__bool(j, "current", t->current);
	json__bool(j, "exact", t->exact);
	if (t->parent == REPORT_NO_INDEX)
		json__null(j, "parent");
	else
		json__count(j, "parent", t->parent);
	known_text(j, "thread", t->thread);
	known_tid(j, "tid", t->tid);
	known_text(j, "waits_for", t->waits_for);
	json__text(j, "note", t->note);
	json__count(j, "cut", t->nframes - shown);
	frames(j, "frames", style, &chain, shown);
	json__close(j, '}');
}

/* BUDGET: bytes of frames (format.h). */
static void tasks(struct json *j, const struct sink_style *style, const struct report_tasks *r,
		  size_t budget)
{
	json__open(j, "tasks", '[');
	for (size_t i = 0; i < r->cnt; i++)
		task(j, style, &r->list[i], &budget);
	json__close(j, ']');
	json__count(j, "tasks_found", r->found);
	json__text(j, "tasks_note", r->note ? r->note : "");
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
static const char *stalled_task(const struct report_stall *r)
{
	const struct report_thread *t = r->thread_list;

	return r->nthreads && t->responsible ? t->task : NULL;
}

static void gil(struct json *j, const struct report_stall *r)
{
	const struct report_gil *g = r->gil;

	if (!g) {
		json__null(j, "gil");
		return;
	}
	json__open(j, "gil", '{');
	json__text(j, "kind", g->kind);
	json__count(j, "switches", g->switches);
	json__count(j, "drops", g->drops);
	json__millis(j, "held_ms", g->held_ns);
	json__count(j, "waiting", g->waiting);
	known_text(j, "outcome", r->event == REPORT_ENDED ? g->outcome : NULL);
	json__close(j, '}');
}

/* What was not measured is null. */
static void measured(struct json *j, const char *key, const struct report_why *w, uint64_t ns)
{
	if (w->measured)
		json__millis(j, key, ns);
	else
		json__null(j, key);
}

static void why(struct json *j, const struct report_why *w)
{
	if (!w) {
		json__null(j, "why");
		return;
	}
	json__open(j, "why", '{');
	json__text(j, "kind", w->kind);
	measured(j, "on_cpu_ms", w, w->on_cpu_ns);
	measured(j, "run_queue_ms", w, w->run_queue_ns);
	measured(j, "throttled_ms", w, w->throttled_ns);
	measured(j, "blocked_ms", w, w->blocked_ns);
	measured(j, "stopped_ms", w, w->stopped_ns);
	measured(j, "gil_wait_ms", w, w->gil_wait_ns);
	measured(j, "page_fault_ms", w, w->page_fault_ns);
	if (w->measured)
		json__count(j, "major_faults", w->major_faults);
	else
		json__null(j, "major_faults");
	known_text(j, "syscall", w->call);
	known_fd(j, "fd", w->call, w->fd);
	known_text(j, "file", w->about);
	known_futex(j, "futex", w->futex);
	known_text(j, "library", w->library);
	known_tid(j, "gil_holder_tid", w->gil_holder);
	known_tid(j, "lock_holder_tid", w->lock_holder);
	json__bool(j, "gc", w->gc);
	json__text(j, "verdict", w->verdict);
	json__close(j, '}');
}

/* The responsible ones first. */
static void threads(struct json *j, const struct report_stall *r)
{
	size_t budget = FORMAT_MAX_FRAME_BYTES;

	json__open(j, "threads", '[');
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < r->nthreads; i++) {
			const struct report_thread *t = &r->thread_list[i];

			if (t->responsible != (turn == 0))
				continue;
			json__open(j, NULL, '{');
			thread(j, t, format_frames(t, &budget));
			json__bool(j, "responsible", t->responsible);
			json__bool(j, "same", t->same);
			json__close(j, '}');
		}
	}
	json__close(j, ']');
}

/* The stacks, in the order of threads() and cut as it says. */
static void traces(struct json *j, const struct sink_style *style, const struct report_stall *r)
{
	size_t budget = FORMAT_MAX_FRAME_BYTES;

	for (int turn = 0; turn < 2; turn++) {
		json__open(j, turn == 0 ? "relevant_traces" : "other_traces", '[');
		for (size_t i = 0; i < r->nthreads; i++) {
			const struct report_thread *t = &r->thread_list[i];

			if (t->responsible == (turn == 0))
				frames(j, NULL, style, t, format_frames(t, &budget));
		}
		json__close(j, ']');
	}
}

static void stall(struct json *j, const struct sink_style *style, const struct report_stall *r)
{
	json__open(j, "stall", '{');
	json__text(j, "id", r->id);
	json__text(j, "event", event_name(r->event));
	json__text(j, "source", r->source);
	json__int(j, "pid", r->pid);
	known_tid(j, "tid", r->tid);
	known_text(j, "thread", r->thread);
	rfc3339(j, "start_time", format_start_wall_ns(r));
	json__count(j, "start_monotonic_ns", r->start_ns);
	json__count(j, "reported_monotonic_ns", r->reported_ns);
	json__millis(j, "duration_ms", r->duration_ns);
	json__bool(j, "start_exact", r->start_exact);
	json__bool(j, "end_exact", r->event == REPORT_ENDED && r->end_exact);
	json__bool(j, "stack_consistent", r->stacks_consistent);
	json__count(j, "suppressed", r->suppressed);
	json__count(j, "untold", r->untold);
	json__text(j, "note", r->note);
	why(j, r->why);
	known_text(j, "task", stalled_task(r));
	gil(j, r);
	threads(j, r);
	tasks(j, style, &r->tasks, FORMAT_MAX_TASK_BYTES);
	json__close(j, '}');
}

/* The three keys with which every record begins. */
static void begin(struct json *j, uint64_t wall_ns, const char *severity, const char *message)
{
	json__open(j, NULL, '{');
	rfc3339(j, "time", wall_ns);
	json__text(j, "severity", severity);
	json__text(j, "message", message);
}

static void end(struct json *j)
{
	json__close(j, '}');
	strbuf_addc(j->out, '\n');
}

static void json_stall(struct strbuf *out, const struct sink_style *style,
		       const struct report_stall *r)
{
	struct json j = { .out = out };

	begin(&j, r->wall_ns, "WARNING", format_message(r->event));
	json__open(&j, "additional_info", '{');
	json__text(&j, "name", r->name);
	pid_text(&j, "pid", r->pid);
	json__close(&j, '}');
	stall(&j, style, r);
	json__open(&j, "stall_details", '{');
	json__millis(&j, "length_ms", r->duration_ns);
	traces(&j, style, r);
	cmdline(&j, r->cmdline, r->ncmdline);
	json__bool(&j, "rate_limited", r->rate_limited);
	json__close(&j, '}');
	end(&j);
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
	struct json j = { .out = out };

	(void)style;
	begin(&j, r->wall_ns, severity[r->severity], r->message);
	json__open(&j, "additional_info", '{');
	if (r->pid)
		pid_text(&j, "pid", r->pid);
	json__close(&j, '}');
	end(&j);
}

static void tracker(struct json *j, const struct report_tracker *t)
{
	json__open(j, NULL, '{');
	known_text(j, "source", t->source);
	json__text(j, "name", t->name);
	json__count(j, "stalls", t->cnt);
	json__count(j, "open", t->open);
	json__millis(j, "total_ms", t->total_ns);
	json__millis(j, "worst_ms", t->worst_ns);
	json__millis(j, "p50_ms", t->p50_ns);
	json__millis(j, "p99_ms", t->p99_ns);
	json__count(j, "untold", t->untold);
	json__count(j, "allowed", t->allowed);
	json__close(j, '}');
}

/* {"time":"...","severity":"INFO","message":"Summary","additional_info":{},
 *  "summary":{"stalls":1,"trackers":[{"source":"slot","name":"billing","stalls":1,"open":0,
 *	"total_ms":809.3,"worst_ms":809.3,"p50_ms":809.3,"p99_ms":809.3,"untold":0,
 *	"allowed":0}]}} */
static void json_summary(struct strbuf *out, const struct sink_style *style,
			 const struct report_summary *r)
{
	struct json j = { .out = out };

	(void)style;
	begin(&j, r->wall_ns, "INFO", "Summary");
	json__open(&j, "additional_info", '{');
	json__close(&j, '}');
	json__open(&j, "summary", '{');
	json__count(&j, "stalls", r->stalls);
	json__open(&j, "trackers", '[');
	for (size_t i = 0; i < r->ntrackers; i++)
		tracker(&j, &r->tracker_list[i]);
	json__close(&j, ']');
	json__close(&j, '}');
	end(&j);
}

static void dump_threads(struct json *j, const struct sink_style *style,
			 const struct report_dump *r)
{
	size_t budget = FORMAT_MAX_FRAME_BYTES, shown;

	json__open(j, "threads", '[');
	for (size_t i = 0; i < r->nthreads; i++) {
		shown = format_frames(&r->thread_list[i], &budget);
		json__open(j, NULL, '{');
		thread(j, &r->thread_list[i], shown);
		frames(j, "frames", style, &r->thread_list[i], shown);
		json__close(j, '}');
	}
	json__close(j, ']');
	json__count(j, "other_threads", r->others);
}

static void greenlet(struct json *j, const struct sink_style *style,
		     const struct report_greenlet *g, size_t *budget)
{
	const struct report_thread chain = { .frame = g->frame, .nframes = g->nframes };
	size_t shown = format_frames(&chain, budget);

	json__open(j, NULL, '{');
	json__text(j, "type", g->type);
	json__count(j, "count", g->count);
	known_text(j, "thread", g->thread);
	known_tid(j, "tid", g->tid);
	json__bool(j, "exact", g->exact);
	json__text(j, "note", g->note);
	json__count(j, "cut", g->cut + g->nframes - shown);
	frames(j, "frames", style, &chain, shown);
	json__close(j, '}');
}

static void dump_greenlets(struct json *j, const struct sink_style *style,
			   const struct report_dump *r)
{
	size_t budget = FORMAT_MAX_FRAME_BYTES;

	json__open(j, "greenlets", '[');
	for (size_t i = 0; i < r->ngreenlets; i++)
		greenlet(j, style, &r->greenlet_list[i], &budget);
	json__close(j, ']');
	json__count(j, "greenlets_found", r->greenlets_found);
	json__text(j, "greenlets_note", r->greenlets_note ? r->greenlets_note : "");
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
	struct json j = { .out = out };

	begin(&j, r->wall_ns, "INFO", "Dump");
	json__open(&j, "additional_info", '{');
	pid_text(&j, "pid", r->pid);
	json__close(&j, '}');
	json__open(&j, "dump", '{');
	json__text(&j, "python", r->python);
	json__text(&j, "note", r->note);
	cmdline(&j, r->cmdline, r->ncmdline);
	dump_threads(&j, style, r);
	tasks(&j, style, &r->tasks, FORMAT_MAX_FRAME_BYTES);
	dump_greenlets(&j, style, r);
	json__close(&j, '}');
	end(&j);
}

const struct sink_format sink_json = {
	.name = "json",
	.stall = json_stall,
	.info = json_info,
	.summary = json_summary,
	.dump = json_dump,
};
