// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Records for people, in perpetuo's order. A stall:
 *
 *	[Warning] Stall detected (name: billing, pid: 1234, id: 1234-7) at
 *2026-11-21T13:42:24.123456+00:00 Duration (so far): 201.4 ms Started:
 *2026-11-21T13:42:23.922056+00:00 Command line: python3 -m billing --port 8080
 *	  -- This thread is probably responsible --
 *	    MainThread (tid 1240, blocked)
 *	        <module> (/srv/billing/__main__.py:80)
 *	        serve (/srv/billing/web.py:71)
 *	      > render (/srv/billing/report.py:42)
 *	  -- Other threads (probably not responsible) --
 *	    worker-1 (tid 1241, running, holds the GIL)
 *	        ... 3 outer frames are not shown
 *	      > run (/usr/lib/python3.11/threading.py:975)
 *	      (the stack moved while it was read)
 *
 *	[Warning] Stall ended (name: billing, pid: 1234, id: 1234-7) at
 *2026-11-21T13:42:29.001122+00:00 Duration (total): 5079.1 ms (5.1 s) Started:
 *2026-11-21T13:42:23.922056+00:00
 *
 * The innermost frame, the one that is stuck, stands last and is marked; a blank line ends the
 * record. To a pipe goes the same text without colours.
 */
#include "sink/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "sink/fold.h"
#include "sink/format.h"
#include "sink/lineup.h"

enum paint {
	PAINT_ALARM,
	PAINT_GOOD,
	PAINT_STUCK,
	PAINT_TITLE,
	PAINT_FAINT,
};

static const char *const paint_code[] = {
	[PAINT_ALARM] = "\033[1;31m", [PAINT_GOOD] = "\033[1;32m", [PAINT_STUCK] = "\033[1;33m",
	[PAINT_TITLE] = "\033[1m",    [PAINT_FAINT] = "\033[2m",
};

#define PAINT_END "\033[0m"

struct page {
	struct strbuf *out;
	const struct sink_style *style;
	size_t budget; /* format.h */
};

static void paint_begin(struct page *p, enum paint paint)
{
	if (p->style->colour)
		strbuf_adds(p->out, paint_code[paint]);
}

static void paint_end(struct page *p)
{
	if (p->style->colour)
		strbuf_adds(p->out, PAINT_END);
}

/* What comes from outside goes through here, whoever has looked at it before. */
static void add_text(struct page *p, const char *text)
{
	text_sanitize(p->out, text, strlen(text));
}

static void add_time(struct page *p, uint64_t wall_ns)
{
	char text[CLOCK_RFC3339_LEN];

	clock_rfc3339(wall_ns, text);
	strbuf_adds(p->out, text);
}

static void add_note(struct page *p, const char *title, const char *text)
{
	if (!*text)
		return;
	strbuf_addf(p->out, "  %s: ", title);
	add_text(p, text);
	strbuf_addc(p->out, '\n');
}

/* As a shell would take it, so that it can be copied. */
static void add_argument(struct page *p, const char *arg)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_./=:,+@%";

	if (*arg && !arg[strspn(arg, plain)]) {
		strbuf_adds(p->out, arg);
		return;
	}
	strbuf_addc(p->out, '\'');
	for (const char *quote; (quote = strchr(arg, '\'')); arg = quote + 1) {
		text_sanitize(p->out, arg, (size_t)(quote - arg));
		strbuf_adds(p->out, "'\\''");
	}
	add_text(p, arg);
	strbuf_addc(p->out, '\'');
}

static void add_cmdline(struct page *p, const char *const *cmdline, size_t n)
{
	if (!n)
		return;
	strbuf_adds(p->out, "  Command line:");
	for (size_t i = 0; i < n; i++) {
		strbuf_addc(p->out, ' ');
		add_argument(p, cmdline[i]);
	}
	strbuf_addc(p->out, '\n');
}

static void add_frame(struct page *p, const struct report_frame *f, bool innermost, bool stuck)
{
	bool painted = stuck || file_in_library(f->file);

	strbuf_adds(p->out, innermost ? "      " : "        ");
	if (painted)
		paint_begin(p, stuck ? PAINT_STUCK : PAINT_FAINT);
	if (innermost)
		strbuf_adds(p->out, "> ");
	add_text(p, f->name);
	strbuf_adds(p->out, " (");
	add_text(p, f->file);
	if (f->line > 0)
		strbuf_addf(p->out, ":%d)", f->line);
	else
		strbuf_adds(p->out, ":?)");
	if (painted)
		paint_end(p);
	strbuf_addc(p->out, '\n');
}

/* name = repr, as perpetuo has them; a value that is not there is "?" */
static void add_locals(struct page *p, const struct report_frame *f)
{
	if (!p->style->locals)
		return;
	for (size_t i = 0; i < f->nlocals; i++) {
		strbuf_adds(p->out, "            ");
		add_text(p, f->local[i].name);
		strbuf_adds(p->out, " = ");
		add_text(p, f->local[i].value ? f->local[i].value : "?");
		strbuf_addc(p->out, '\n');
	}
	if (f->locals_cut)
		strbuf_addf(p->out, "            ... %zu more local variables\n", f->locals_cut);
}

/* "        ... 5 frames of asyncio, selectors": what stands for frames that are not told */
static void add_folded(struct page *p, const struct fold *f, const struct fold_item *item)
{
	const char *s = item->cnt == 1 ? "" : "s";

	strbuf_adds(p->out, "        ");
	paint_begin(p, PAINT_FAINT);
	switch (item->kind) {
	case FOLD_LIBRARY:
		strbuf_addf(p->out, "... %zu frame%s of ", item->cnt, s);
		fold__add_libraries(f, item, p->out);
		break;
	case FOLD_AGAIN:
		strbuf_addf(p->out, "... the same frame %zu more time%s", item->cnt, s);
		break;
	case FOLD_CUT:
		strbuf_addf(p->out, "... %zu %sframe%s not shown", item->cnt,
			    f->left == f->shown ? "outer " : "", item->cnt == 1 ? " is" : "s are");
		break;
	case FOLD_FRAME:
		break;
	}
	paint_end(p);
	strbuf_addc(p->out, '\n');
}

static void add_source(struct page *p, const struct report_frame *f)
{
	if (!f->source || !*f->source)
		return;
	strbuf_adds(p->out, "            ");
	add_text(p, f->source);
	strbuf_addc(p->out, '\n');
}

static void add_frames(struct page *p, const struct report_thread *t, bool emphasis)
{
	struct fold_item item;
	struct fold fold;

	fold__init(&fold, t, format_frames(t, &p->budget), p->style->full);
	if (t->same)
		fold.cut = 0;
	while (fold__next(&fold, &item)) {
		if (item.kind != FOLD_FRAME) {
			add_folded(p, &fold, &item);
			continue;
		}
		add_frame(p, &t->frame[item.first], !item.first, !item.first && emphasis);
		add_source(p, &t->frame[item.first]);
		add_locals(p, &t->frame[item.first]);
	}
}

static void add_thread(struct page *p, const struct report_thread *t, bool emphasis)
{
	strbuf_adds(p->out, "    ");
	if (emphasis)
		paint_begin(p, PAINT_TITLE);
	add_text(p, *t->name ? t->name : "(no name)");
	if (emphasis)
		paint_end(p);
	strbuf_adds(p->out, " (");
	if (t->tid)
		strbuf_addf(p->out, "tid %d, ", t->tid);
	add_text(p, t->doing && *t->doing ? t->doing : t->state);
	if (t->task && *t->task) {
		strbuf_adds(p->out, ", runs task ");
		add_text(p, t->task);
	}
	strbuf_adds(p->out, t->holds_gil && !t->waits_gil ? ", holds the GIL)\n" : ")\n");

	add_frames(p, t, emphasis);
	if (t->same)
		strbuf_adds(p->out, "      (the stack is the same as before)\n");
	if (!t->nframes && !*t->note)
		strbuf_adds(p->out, "      (no Python frames)\n");
	if (*t->note || (t->nframes && !t->exact)) {
		strbuf_adds(p->out, "      (");
		add_text(p, *t->note ? t->note : "may have moved while it was read");
		strbuf_adds(p->out, ")\n");
	}
}

static void add_title(struct page *p, enum paint paint, const char *title)
{
	strbuf_adds(p->out, "  ");
	paint_begin(p, paint);
	strbuf_addf(p->out, "-- %s --", title);
	paint_end(p);
	strbuf_addc(p->out, '\n');
}

static void add_threads_that(struct page *p, const struct report_stall *r, bool responsible,
			     enum paint paint, const char *title)
{
	bool titled = false;

	for (size_t i = 0; i < r->nthreads; i++) {
		if (r->thread_list[i].responsible != responsible)
			continue;
		if (!titled)
			add_title(p, paint, title);
		titled = true;
		add_thread(p, &r->thread_list[i], responsible);
	}
}

static void add_headline(struct page *p, enum paint paint, const char *severity,
			 const char *message)
{
	paint_begin(p, paint);
	strbuf_addf(p->out, "[%s] ", severity);
	add_text(p, message);
	paint_end(p);
}

/* Long ones once more in units that a person reads at a glance. */
static void add_duration(struct page *p, const struct report_stall *r)
{
	uint64_t sec = r->duration_ns / NSEC_PER_SEC;

	strbuf_addf(p->out, "  Duration (%s): %.1f ms",
		    r->event == REPORT_ENDED ? "total" : "so far", (double)r->duration_ns / 1e6);
	if (sec >= 3600)
		strbuf_addf(p->out, " (%llu h %llu min)", (unsigned long long)(sec / 3600),
			    (unsigned long long)(sec / 60 % 60));
	else if (sec >= 60)
		strbuf_addf(p->out, " (%llu min %llu s)", (unsigned long long)(sec / 60),
			    (unsigned long long)(sec % 60));
	else if (sec >= 1)
		strbuf_addf(p->out, " (%.1f s)", (double)r->duration_ns / 1e9);
	if (r->event == REPORT_ENDED && !r->end_exact)
		strbuf_adds(p->out, ", its end was seen from outside");
	strbuf_addc(p->out, '\n');

	strbuf_adds(p->out, "  Started: ");
	add_time(p, format_start_wall_ns(r));
	if (!r->start_exact)
		strbuf_adds(p->out, " (first seen then, may have begun a little earlier)");
	strbuf_addc(p->out, '\n');
}

static void add_stacks(struct page *p, const struct report_stall *r)
{
	if (r->untold)
		strbuf_addf(p->out,
			    "  Not told: %llu stall%s of this tracker before, too many at once\n",
			    (unsigned long long)r->untold, r->untold == 1 ? "" : "s");
	if (r->suppressed)
		strbuf_addf(p->out, "  Suppressed: stacks of %llu record%s %s\n",
			    (unsigned long long)r->suppressed, r->suppressed == 1 ? "" : "s",
			    r->rate_limited ? "so far" : "since the last that has them");
	if (r->rate_limited)
		strbuf_adds(p->out, "  -- (no traceback because of rate limiting) --\n");
	if (r->nthreads && !r->stacks_consistent)
		strbuf_adds(p->out,
			    "  Stacks: the program may have moved on while they were read\n");
	add_threads_that(p, r, true, PAINT_ALARM, "This thread is probably responsible");
	add_threads_that(p, r, false, PAINT_FAINT, "Other threads (probably not responsible)");
}

static void text_stall(struct strbuf *out, const struct sink_style *style,
		       const struct report_stall *r)
{
	struct page page = { .out = out, .style = style, .budget = FORMAT_MAX_FRAME_BYTES };

	add_headline(&page, r->event == REPORT_ENDED ? PAINT_GOOD : PAINT_ALARM, "Warning",
		     format_message(r->event));
	strbuf_adds(out, " (name: ");
	add_text(&page, r->name);
	strbuf_addf(out, ", pid: %d, id: ", r->pid);
	add_text(&page, r->id);
	strbuf_adds(out, ") at ");
	add_time(&page, r->wall_ns);
	strbuf_addc(out, '\n');
	add_duration(&page, r);
	if (r->why)
		add_note(&page, "Why", r->why->verdict);
	add_cmdline(&page, r->cmdline, r->ncmdline);
	add_note(&page, "Note", r->note);
	add_stacks(&page, r);
	strbuf_addc(out, '\n');
}

/* [Info] Successfully monitoring pid 1234 (pid: 1234) at 2026-11-21T13:42:20.000000+00:00 */
static void text_info(struct strbuf *out, const struct sink_style *style,
		      const struct report_info *r)
{
	static const struct {
		const char *name;
		enum paint paint;
	} severity[] = {
		[REPORT_INFO] = { "Info", PAINT_TITLE },
		[REPORT_WARNING] = { "Warning", PAINT_ALARM },
		[REPORT_ERROR] = { "Error", PAINT_ALARM },
	};
	struct page page = { .out = out, .style = style };

	add_headline(&page, severity[r->severity].paint, severity[r->severity].name, r->message);
	if (r->pid)
		strbuf_addf(out, " (pid: %d)", r->pid);
	strbuf_adds(out, " at ");
	add_time(&page, r->wall_ns);
	strbuf_addc(out, '\n');
}

/*
 * [Info] Summary: 12 stalls at 2026-11-21T13:42:20.000000+00:00
 *    stalls        total        worst          p50          p99  tracker
 *        10    2512.0 ms     809.3 ms     210.2 ms     809.3 ms  billing (slot)
 *         2     612.9 ms     402.1 ms     210.8 ms     402.1 ms  GIL (gil); 1 is open
 */
static void text_summary(struct strbuf *out, const struct sink_style *style,
			 const struct report_summary *r)
{
	struct page page = { .out = out, .style = style };
	char title[64];

	snprintf(title, sizeof(title), "Summary: %llu stall%s", (unsigned long long)r->stalls,
		 r->stalls == 1 ? "" : "s");
	add_headline(&page, PAINT_TITLE, "Info", title);
	strbuf_adds(out, " at ");
	add_time(&page, r->wall_ns);
	strbuf_addf(out, "\n  %8s %12s %12s %12s %12s  %s\n", "stalls", "total", "worst", "p50",
		    "p99", "tracker");
	for (size_t i = 0; i < r->ntrackers; i++) {
		const struct report_tracker *t = &r->tracker_list[i];

		strbuf_addf(out, "  %8llu %9.1f ms %9.1f ms %9.1f ms %9.1f ms  ",
			    (unsigned long long)t->cnt, (double)t->total_ns / 1e6,
			    (double)t->worst_ns / 1e6, (double)t->p50_ns / 1e6,
			    (double)t->p99_ns / 1e6);
		add_text(&page, t->name);
		if (*t->source)
			strbuf_addf(out, " (%s)", t->source);
		if (t->open)
			strbuf_addf(out, "; %llu still open", (unsigned long long)t->open);
		if (t->untold)
			strbuf_addf(out, "; %llu not told because of their rate",
				    (unsigned long long)t->untold);
		if (t->allowed)
			strbuf_addf(out, "; %llu more are known and allowed",
				    (unsigned long long)t->allowed);
		strbuf_addc(out, '\n');
	}
	strbuf_addc(out, '\n');
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* Levels of the tree that are told by how far a task is set in. */
#define MAX_INDENT 20

static void add_indent(struct page *p, size_t depth, const char *more)
{
	for (size_t i = 0; i < depth && i < MAX_INDENT; i++)
		strbuf_adds(p->out, "  ");
	strbuf_adds(p->out, more);
}

/* What it waits for is said: of the library's own frames that come to it none is shown. */
static size_t inner_frames(const struct report_task *t)
{
	size_t i = 0;

	if (!*t->waits_for)
		return 0;
	while (i < t->nframes && file_in_library(t->frame[i].file))
		i++;
	return i < t->nframes ? i : 0;
}

/* Its frames from the outermost on, as in a thread. */
static void add_task_frames(struct page *p, const struct report_task *t, size_t depth)
{
	size_t shown = format_task_frames(t, &p->budget), from = inner_frames(t);

	if (shown < t->nframes) {
		add_indent(p, depth, "        ");
		strbuf_addf(p->out, "... %zu outer frames are not shown\n", t->nframes - shown);
	}
	for (size_t i = shown; i-- > from;) {
		add_indent(p, depth, "");
		add_frame(p, &t->frame[i], i == from, false);
	}
}

/*
 *   * main (asyncio, running, in MainThread)
 *     fetch-1 and 24 more (asyncio, waiting for Lock.acquire, in MainThread)
 *       > fetch (/srv/billing/web.py:31)
 */
static void add_task(struct page *p, const struct report_task *t, size_t depth)
{
	add_indent(p, depth, t->current ? "  * " : "    ");
	paint_begin(p, PAINT_TITLE);
	add_text(p, *t->name ? t->name : "(no name)");
	paint_end(p);
	if (t->count > 1)
		strbuf_addf(p->out, " and %zu more", t->count - 1);
	strbuf_adds(p->out, " (");
	add_text(p, t->library);
	strbuf_adds(p->out, ", ");
	add_text(p, t->state);
	if (*t->waits_for) {
		strbuf_adds(p->out, " for ");
		add_text(p, t->waits_for);
	}
	if (*t->thread && (!depth || t->current)) {
		strbuf_adds(p->out, ", in ");
		add_text(p, t->thread);
	}
	strbuf_adds(p->out, ")\n");
	/* a running one is shown with its thread */
	if (strcmp(t->state, "running"))
		add_task_frames(p, t, depth);
	if (*t->note) {
		add_indent(p, depth, "      (");
		add_text(p, t->note);
		strbuf_adds(p->out, ")\n");
	}
}

static void add_tasks(struct page *p, const struct report_dump *r)
{
	size_t *depth;
	char title[64];

	if (!r->ntasks && (!r->tasks_note || !*r->tasks_note))
		return;
	depth = calloc(r->ntasks + 1, sizeof(*depth));
	snprintf(title, sizeof(title), "%zu task%s", r->tasks_found,
		 r->tasks_found == 1 ? "" : "s");
	add_title(p, PAINT_FAINT, title);
	for (size_t i = 0; i < r->ntasks; i++) {
		if (depth && r->task_list[i].parent < i)
			depth[i] = depth[r->task_list[i].parent] + 1;
		add_task(p, &r->task_list[i], depth ? depth[i] : 0);
	}
	free(depth);
	if (r->tasks_note && *r->tasks_note) {
		strbuf_adds(p->out, "      (");
		add_text(p, r->tasks_note);
		strbuf_adds(p->out, ")\n");
	}
}

/* ---- greenlets ------------------------------------------------------------------------------- */

/*
 *     greenlet and 9 more (in MainThread)
 *         work (/srv/billing/worker.py:12)
 *       > wait (/srv/billing/worker.py:31)
 */
static void add_greenlet(struct page *p, const struct report_greenlet *g)
{
	const struct report_thread chain = { .frame = g->frame, .nframes = g->nframes };
	size_t shown = format_frames(&chain, &p->budget), cut = g->cut + g->nframes - shown;

	strbuf_adds(p->out, "    ");
	paint_begin(p, PAINT_TITLE);
	add_text(p, g->type);
	paint_end(p);
	if (g->count > 1)
		strbuf_addf(p->out, " and %zu more", g->count - 1);
	if (*g->thread) {
		strbuf_adds(p->out, " (in ");
		add_text(p, g->thread);
		strbuf_addc(p->out, ')');
	}
	strbuf_addc(p->out, '\n');
	if (cut)
		strbuf_addf(p->out, "        ... %zu outer frame%s not shown\n", cut,
			    cut == 1 ? " is" : "s are");
	for (size_t i = shown; i-- > 0;)
		add_frame(p, &g->frame[i], i == 0, false);
	if (*g->note) {
		strbuf_adds(p->out, "      (");
		add_text(p, g->note);
		strbuf_adds(p->out, ")\n");
	}
}

static void add_greenlets(struct page *p, const struct report_dump *r)
{
	char title[64];

	if (!r->ngreenlets && (!r->greenlets_note || !*r->greenlets_note))
		return;
	snprintf(title, sizeof(title), "%zu suspended greenlet%s", r->greenlets_found,
		 r->greenlets_found == 1 ? "" : "s");
	add_title(p, PAINT_FAINT, title);
	for (size_t i = 0; i < r->ngreenlets; i++)
		add_greenlet(p, &r->greenlet_list[i]);
	if (*r->greenlets_note) {
		strbuf_adds(p->out, "      (");
		add_text(p, r->greenlets_note);
		strbuf_adds(p->out, ")\n");
	}
}

/* ---- a dump ---------------------------------------------------------------------------------- */

#define MAX_NAMES 8 /* of threads in one line */

/* "worker-1 (1241), worker-2 (1242) and 3 more" */
struct names {
	struct page *page;
	size_t cnt;
};

static void names__add(struct names *n, const struct report_thread *t)
{
	if (n->cnt++ >= MAX_NAMES)
		return;
	if (n->cnt > 1)
		strbuf_adds(n->page->out, ", ");
	add_text(n->page, *t->name ? t->name : "(no name)");
	if (t->tid)
		strbuf_addf(n->page->out, " (%d)", t->tid);
}

static void names__end(const struct names *n)
{
	if (n->cnt > MAX_NAMES)
		strbuf_addf(n->page->out, " and %zu more", n->cnt - MAX_NAMES);
}

static size_t count_waiters(const struct report_dump *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nthreads; i++)
		n += r->thread_list[i].waits_gil;
	return n;
}

/*   GIL: held by regex (1241); 2 threads wait for it: MainThread (1240), worker-1 (1242) */
static void add_gil(struct page *p, const struct report_dump *r)
{
	struct names holders = { .page = p }, waiters = { .page = p };
	size_t n = count_waiters(r);

	if (!r->has_gil)
		return;
	strbuf_adds(p->out, "  GIL: held by ");
	for (size_t i = 0; i < r->nthreads; i++)
		if (r->thread_list[i].holds_gil && !r->thread_list[i].waits_gil)
			names__add(&holders, &r->thread_list[i]);
	names__end(&holders);
	if (!holders.cnt)
		strbuf_adds(p->out, "nobody");
	if (n)
		strbuf_addf(p->out, "; %zu thread%s for it: ", n, n == 1 ? " waits" : "s wait");
	for (size_t i = 0; i < r->nthreads; i++)
		if (r->thread_list[i].waits_gil)
			names__add(&waiters, &r->thread_list[i]);
	names__end(&waiters);
	strbuf_addc(p->out, '\n');
}

/* PLACE and those behind it for whom it stands; returns how many they are. */
static size_t add_place(struct page *p, const struct lineup_place *place, size_t left)
{
	struct names others = { .page = p };
	size_t n = 1;

	add_thread(p, place->thread, true);
	while (n < left && place[n].merged)
		n++;
	if (n == 1)
		return n;
	strbuf_addf(p->out, "      and %zu more thread%s in the same place: ", n - 1,
		    n == 2 ? "" : "s");
	for (size_t i = 1; i < n; i++)
		names__add(&others, place[i].thread);
	names__end(&others);
	strbuf_addc(p->out, '\n');
	return n;
}

static void add_lineup(struct page *p, const struct report_dump *r)
{
	struct lineup_place *place = calloc(r->nthreads + 1, sizeof(*place));

	if (!place) {
		p->out->failed = true;
		return;
	}
	lineup__make(r, !p->style->full, place);
	for (size_t i = 0; i < r->nthreads;)
		i += add_place(p, place + i, r->nthreads - i);
	free(place);
}

/*
 * [Info] Dump (pid: 1234) at 2026-11-21T13:42:20.000000+00:00
 *   Python: CPython 3.11.7 (static, /usr/bin/python3.11)
 *   Command line: python3 -m billing --port 8080
 *   GIL: held by nobody
 *   -- 6 threads --
 *     MainThread (tid 1240, blocked in epoll_wait(fd 3: epoll of 12 files))
 *         <module> (/srv/billing/__main__.py:80)
 *             asyncio.run(serve())
 *         ... 5 frames of asyncio
 *       > EpollSelector.select (/usr/lib/python3.11/selectors.py:468)
 *     pool_0 (tid 1241, blocked in futex 0x7f12a4001c20)
 *         ... 3 frames of threading
 *       > _worker (/usr/lib/python3.11/concurrent/futures/thread.py:81)
 *       and 4 more threads in the same place: pool_1 (1242), pool_2 (1243), ...
 */
static void text_dump(struct strbuf *out, const struct sink_style *style,
		      const struct report_dump *r)
{
	struct page page = { .out = out, .style = style, .budget = FORMAT_MAX_FRAME_BYTES };
	char title[48];

	add_headline(&page, PAINT_TITLE, "Info", "Dump");
	strbuf_addf(out, " (pid: %d) at ", r->pid);
	add_time(&page, r->wall_ns);
	strbuf_addc(out, '\n');
	add_note(&page, "Python", r->python);
	add_cmdline(&page, r->cmdline, r->ncmdline);
	add_gil(&page, r);
	add_note(&page, "Note", r->note);
	snprintf(title, sizeof(title), "%zu thread%s", r->nthreads, r->nthreads == 1 ? "" : "s");
	add_title(&page, PAINT_FAINT, title);
	add_lineup(&page, r);
	add_tasks(&page, r);
	add_greenlets(&page, r);
	strbuf_addc(out, '\n');
}

const struct sink_format sink_text = {
	.name = "text",
	.stall = text_stall,
	.info = text_info,
	.summary = text_summary,
	.dump = text_dump,
};
