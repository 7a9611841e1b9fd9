// SPDX-License-Identifier: MIT OR Apache-2.0
#include "sink/text_dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/fold.h"
#include "sink/format.h"
#include "sink/lineup.h"
#include "sink/page.h"
#include "sink/text_tasks.h"

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
	page__paint(p, PAINT_TITLE);
	page__text(p, g->type);
	page__unpaint(p);
	if (g->count > 1)
		strbuf_addf(p->out, " and %zu more", g->count - 1);
	if (*g->thread) {
		strbuf_adds(p->out, " (in ");
		page__text(p, g->thread);
		strbuf_addc(p->out, ')');
	}
	strbuf_addc(p->out, '\n');
	if (cut)
		strbuf_addf(p->out, "        ... %zu outer frame%s not shown\n", cut,
			    cut == 1 ? " is" : "s are");
	for (size_t i = shown; i-- > 0;)
		page__frame(p, &g->frame[i], i == 0, false);
	if (*g->note) {
		strbuf_adds(p->out, "      (");
		page__text(p, g->note);
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
	page__title(p, PAINT_FAINT, title);
	for (size_t i = 0; i < r->ngreenlets; i++)
		add_greenlet(p, &r->greenlet_list[i]);
	if (*r->greenlets_note) {
		strbuf_adds(p->out, "      (");
		page__text(p, r->greenlets_note);
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
	page__text(n->page, *t->name ? t->name : "(no name)");
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

	page__thread(p, place->thread, true);
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
void text_dump(struct strbuf *out, const struct sink_style *style, const struct report_dump *r)
{
	struct page page = { .out = out, .style = style, .budget = FORMAT_MAX_FRAME_BYTES };
	char title[48];

	page__headline(&page, PAINT_TITLE, "Info", "Dump");
	strbuf_addf(out, " (pid: %d) at ", r->pid);
	page__time(&page, r->wall_ns);
	strbuf_addc(out, '\n');
	page__note(&page, "Python", r->python);
	page__cmdline(&page, r->cmdline, r->ncmdline);
	add_gil(&page, r);
	page__note(&page, "Note", r->note);
	snprintf(title, sizeof(title), "%zu thread%s", r->nthreads, r->nthreads == 1 ? "" : "s");
	page__title(&page, PAINT_FAINT, title);
	add_lineup(&page, r);
	if (r->others)
		strbuf_addf(out, "    and %zu thread%s no Python\n", r->others,
			    r->others == 1 ? " that runs" : "s that run");
	text_tasks(&page, &r->tasks);
	add_greenlets(&page, r);
	strbuf_addc(out, '\n');
}
