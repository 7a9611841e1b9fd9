// SPDX-License-Identifier: MIT OR Apache-2.0
#include "sink/text_tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/fold.h"
#include "sink/format.h"
#include "sink/page.h"

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
		page__frame(p, &t->frame[i], i == from, false);
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
	page__paint(p, PAINT_TITLE);
	page__text(p, *t->name ? t->name : "(no name)");
	page__unpaint(p);
	if (t->count > 1)
		strbuf_addf(p->out, " and %zu more", t->count - 1);
	strbuf_adds(p->out, " (");
	page__text(p, t->library);
	strbuf_adds(p->out, ", ");
	page__text(p, t->state);
	if (*t->waits_for) {
		strbuf_adds(p->out, " for ");
		page__text(p, t->waits_for);
	}
	if (*t->thread && (!depth || t->current)) {
		strbuf_adds(p->out, ", in ");
		page__text(p, t->thread);
	}
	strbuf_adds(p->out, ")\n");
	/* a running one is shown with its thread */
	if (strcmp(t->state, "running"))
		add_task_frames(p, t, depth);
	if (*t->note) {
		add_indent(p, depth, "      (");
		page__text(p, t->note);
		strbuf_adds(p->out, ")\n");
	}
}

void text_tasks(struct page *p, const struct report_tasks *r)
{
	size_t *depth;
	char title[64];

	if (!r->cnt && (!r->note || !*r->note))
		return;
	depth = calloc(r->cnt + 1, sizeof(*depth));
	snprintf(title, sizeof(title), "%zu task%s", r->found, r->found == 1 ? "" : "s");
	page__title(p, PAINT_FAINT, title);
	for (size_t i = 0; i < r->cnt; i++) {
		if (depth && r->list[i].parent < i)
			depth[i] = depth[r->list[i].parent] + 1;
		add_task(p, &r->list[i], depth ? depth[i] : 0);
	}
	free(depth);
	if (r->note && *r->note) {
		strbuf_adds(p->out, "      (");
		page__text(p, r->note);
		strbuf_adds(p->out, ")\n");
	}
}
