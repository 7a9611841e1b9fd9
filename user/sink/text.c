// SPDX-License-Identifier: MIT OR Apache-2.0
/* clang-format off */
/*
 * Records for people, in perpetuo's order. A stall:
 *
 *	[Warning] Stall detected (name: billing, pid: 1234, id: 1234-7) at 2026-11-21T13:42:24.123456+00:00
 *	  Duration (so far): 201.4 ms
 *	  Started: 2026-11-21T13:42:23.922056+00:00
 *	  Why: blocked in recvfrom(fd 7: TCP 10.0.0.2:41230 -> 10.0.0.9:5432, established)
 *	  Command line: python3 -m billing --port 8080
 *	  -- This thread is probably responsible --
 *	    MainThread (tid 1240, blocked in recvfrom(fd 7: TCP 10.0.0.2:41230 -> 10.0.0.9:5432, established))
 *	        <module> (/srv/billing/__main__.py:80)
 *	        serve (/srv/billing/web.py:71)
 *	      > render (/srv/billing/report.py:42)
 *	  -- Other threads (probably not responsible) --
 *	    worker-1 (tid 1241, running, holds the GIL)
 *	        ... 3 outer frames are not shown
 *	      > run (/usr/lib/python3.11/threading.py:975)
 *	      (the stack moved while it was read)
 *	  -- 26 tasks --
 *	  * serve-17 (asyncio, running, in MainThread)
 *	      retry-1 and 24 more (asyncio, waiting for sleep)
 *	        > retry (/srv/billing/web.py:12)
 *
 *	[Warning] Stall ended (name: billing, pid: 1234, id: 1234-7) at 2026-11-21T13:42:29.001122+00:00
 *	  Duration (total): 5079.1 ms (5.1 s)
 *	  Started: 2026-11-21T13:42:23.922056+00:00
 *
 * The innermost frame, the one that is stuck, stands last and is marked; a blank line ends the
 * record. To a pipe goes the same text without colours.
 */
/* clang-format on */
#include "sink/sink.h"

#include <stdio.h>

#include "base/clock.h"
#include "sink/format.h"
#include "sink/page.h"
#include "sink/text_dump.h"
#include "sink/text_tasks.h"

static void add_threads_that(struct page *p, const struct report_stall *r, bool responsible,
			     enum paint paint, const char *title)
{
	bool titled = false;

	for (size_t i = 0; i < r->nthreads; i++) {
		if (r->thread_list[i].responsible != responsible)
			continue;
		if (!titled)
			page__title(p, paint, title);
		titled = true;
		page__thread(p, &r->thread_list[i], responsible);
	}
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
	page__time(p, format_start_wall_ns(r));
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

	page__headline(&page, r->event == REPORT_ENDED ? PAINT_GOOD : PAINT_ALARM, "Warning",
		       format_message(r->event));
	strbuf_adds(out, " (name: ");
	page__text(&page, r->name);
	strbuf_addf(out, ", pid: %d, id: ", r->pid);
	page__text(&page, r->id);
	strbuf_adds(out, ") at ");
	page__time(&page, r->wall_ns);
	strbuf_addc(out, '\n');
	add_duration(&page, r);
	if (r->why)
		page__note(&page, "Why", r->why->verdict);
	page__cmdline(&page, r->cmdline, r->ncmdline);
	page__note(&page, "Note", r->note);
	add_stacks(&page, r);
	page.budget = FORMAT_MAX_TASK_BYTES;
	text_tasks(&page, &r->tasks);
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

	page__headline(&page, severity[r->severity].paint, severity[r->severity].name, r->message);
	if (r->pid)
		strbuf_addf(out, " (pid: %d)", r->pid);
	strbuf_adds(out, " at ");
	page__time(&page, r->wall_ns);
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
	page__headline(&page, PAINT_TITLE, "Info", title);
	strbuf_adds(out, " at ");
	page__time(&page, r->wall_ns);
	strbuf_addf(out, "\n  %8s %12s %12s %12s %12s  %s\n", "stalls", "total", "worst", "p50",
		    "p99", "tracker");
	for (size_t i = 0; i < r->ntrackers; i++) {
		const struct report_tracker *t = &r->tracker_list[i];

		strbuf_addf(out, "  %8llu %9.1f ms %9.1f ms %9.1f ms %9.1f ms  ",
			    (unsigned long long)t->cnt, (double)t->total_ns / 1e6,
			    (double)t->worst_ns / 1e6, (double)t->p50_ns / 1e6,
			    (double)t->p99_ns / 1e6);
		page__text(&page, t->name);
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

const struct sink_format sink_text = {
	.name = "text",
	.stall = text_stall,
	.info = text_info,
	.summary = text_summary,
	.dump = text_dump,
};
