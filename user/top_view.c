// SPDX-License-Identifier: MIT OR Apache-2.0
#include "top_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"

#define MIN_COLUMNS 80
#define LINE_MAX_BYTES 1024
#define NAME_COLUMNS 15 /* of a thread */
#define LOOP_LINES 4 /* are kept for loops, where there are so many */

/* ---- one refresh ----------------------------------------------------------------------------- */

void top_view__begin(struct top_view *v)
{
	v->cut = 0;
	for (size_t i = 0; i < v->nrows; i++)
		v->row[i].seen = false;
}

struct top_row *top_view__find(struct top_view *v, pid_t pid, pid_t tid)
{
	for (size_t i = 0; i < v->nrows; i++)
		if (v->row[i].pid == pid && v->row[i].now.tid == tid)
			return &v->row[i];
	return NULL;
}

/* What is going on is in the counts as far as it was seen: the next count may be a little less. */
static uint64_t grown(uint64_t *now, uint64_t was)
{
	if (*now < was)
		*now = was;
	return *now - was;
}

void top_view__add(struct top_view *v, pid_t pid, const struct source_counts *c)
{
	struct top_row *r = top_view__find(v, pid, c->tid);
	struct source_counts was = { 0 };

	if (r && c->loop.moved >= r->now.loop.moved && c->waits >= r->now.waits) {
		was = r->now;
	} else if (!r) {
		if (v->nrows == TOP_MAX_ROWS) {
			v->cut++;
			return;
		}
		r = &v->row[v->nrows++];
		*r = (struct top_row){ .pid = pid };
	}
	r->seen = true;
	r->now = *c;
	r->change.held_ns = grown(&r->now.held_ns, was.held_ns);
	r->change.waited_ns = grown(&r->now.waited_ns, was.waited_ns);
	r->change.waits = c->waits - was.waits;
	r->change.steps = c->loop.moved / 2 - was.loop.moved / 2;
}

void top_row__describe(struct top_row *r, const char *name, const char *function, int line)
{
	char at_line[16];
	size_t len;

	text_copy(r->name, sizeof(r->name), name);
	r->at[0] = '\0';
	if (!function)
		return;
	/* a long name is cut, its line is not */
	len = (size_t)snprintf(at_line, sizeof(at_line), ":%d", line);
	text_copy(r->at, sizeof(r->at) - len, function);
	strcat(r->at, at_line);
}

static int by_held(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;

	if (x->change.held_ns != y->change.held_ns)
		return x->change.held_ns < y->change.held_ns ? 1 : -1;
	if (x->change.waited_ns != y->change.waited_ns)
		return x->change.waited_ns < y->change.waited_ns ? 1 : -1;
	return x->now.tid < y->now.tid ? -1 : x->now.tid > y->now.tid;
}

void top_view__end(struct top_view *v)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->nrows; i++)
		if (v->row[i].seen)
			v->row[kept++] = v->row[i];
	v->nrows = kept;
	qsort(v->row, v->nrows, sizeof(v->row[0]), by_held);
}

void top_view__stall(struct top_view *v, const char *id, const char *line)
{
	struct top_stall new = { { 0 }, { 0 } };
	size_t at = 0;

	while (at < v->nstalls && strcmp(v->stall[at].id, id))
		at++;
	if (at == TOP_MAX_STALLS)
		at--; /* the oldest goes */
	else if (at == v->nstalls)
		v->nstalls++;
	snprintf(new.id, sizeof(new.id), "%s", id);
	text_copy(new.line, sizeof(new.line), line);
	memmove(&v->stall[1], &v->stall[0], at * sizeof(v->stall[0]));
	v->stall[0] = new;
}

uint64_t top_quantile(const struct top_loop *l, unsigned int percent)
{
	uint64_t all = 0, below = 0, end;

	for (uint32_t i = 0; i < TOP_BUCKETS; i++)
		all += l->bucket[i];
	for (uint32_t i = 0; i < TOP_BUCKETS && all; i++) {
		below += l->bucket[i];
		if (below * 100 < all * percent)
			continue;
		end = top_bucket_end(i);
		return end < l->worst_ns ? end : l->worst_ns;
	}
	return 0;
}

/* ---- the page -------------------------------------------------------------------------------- */

struct page {
	struct strbuf *out;
	size_t lines; /* that are left */
	size_t columns;
};

static void add_line(struct page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_line(struct page *p, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	if (!p->lines)
		return;
	p->lines--;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	strbuf_add(p->out, line, text_utf8_cut(line, strlen(line), p->columns));
	strbuf_addc(p->out, '\n');
}

static const char *length(uint64_t ns, char buf[16])
{
	double ms = (double)ns / NSEC_PER_MSEC;

	if (ms < 10000)
		snprintf(buf, 16, "%.1fms", ms);
	else
		snprintf(buf, 16, "%.1fs", ms / 1e3);
	return buf;
}

static double percent(const struct top_view *v, uint64_t ns)
{
	double share = 100.0 * (double)ns / (double)v->span_ns;

	return share < 100 ? share : 100;
}

/* Bytes of the name of a thread that fit into its column. */
static int name_len(const struct top_row *r)
{
	return (int)text_utf8_cut(r->name, strlen(r->name), NAME_COLUMNS);
}

static void add_threads(const struct top_view *v, struct page *p, size_t most)
{
	char worst[16];

	add_line(p, "    PID     TID THREAD             HELD  WAITED  WAITS    WORST IN");
	for (size_t i = 0; i < v->nrows && i < most; i++) {
		const struct top_row *r = &v->row[i];

		add_line(p, "%7d %7d %-*.*s %6.1f%% %6.1f%% %6llu %8s %s", (int)r->pid,
			 (int)r->now.tid, NAME_COLUMNS, name_len(r), r->name,
			 percent(v, r->change.held_ns), percent(v, r->change.waited_ns),
			 (unsigned long long)r->change.waits, length(r->now.worst_wait_ns, worst),
			 r->at);
	}
}

static int by_worst(const void *a, const void *b)
{
	const struct top_row *x = *(const struct top_row *const *)a;
	const struct top_row *y = *(const struct top_row *const *)b;

	if (x->now.loop.worst_ns != y->now.loop.worst_ns)
		return x->now.loop.worst_ns < y->now.loop.worst_ns ? 1 : -1;
	return x->now.tid < y->now.tid ? -1 : x->now.tid > y->now.tid;
}

/* The threads that run loops, the one with the longest step first. */
static size_t loops_of(const struct top_view *v, const struct top_row *loop[TOP_MAX_ROWS])
{
	size_t n = 0;

	for (size_t i = 0; i < v->nrows; i++)
		if (v->row[i].now.loop.moved)
			loop[n++] = &v->row[i];
	qsort(loop, n, sizeof(loop[0]), by_worst);
	return n;
}

static void add_loops(const struct top_row *const *loop, size_t n, struct page *p)
{
	char p99[16], worst[16];

	add_line(p, "    PID     TID LOOP               STEPS      P99    WORST IN");
	for (size_t i = 0; i < n; i++)
		add_line(p, "%7d %7d %-*.*s %9llu %8s %8s %s", (int)loop[i]->pid,
			 (int)loop[i]->now.tid, NAME_COLUMNS, name_len(loop[i]), loop[i]->name,
			 (unsigned long long)loop[i]->change.steps,
			 length(top_quantile(&loop[i]->now.loop, 99), p99),
			 length(loop[i]->now.loop.worst_ns, worst), loop[i]->at);
}

static void add_head(const struct top_view *v, struct page *p)
{
	time_t now = (time_t)(v->wall_ns / NSEC_PER_SEC);
	char clock[16] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	add_line(p, "perpetuo-bpf top  %s  %zu process%s  %zu thread%s", clock, v->nprocs,
		 v->nprocs == 1 ? "" : "es", v->nrows + v->cut, v->nrows + v->cut == 1 ? "" : "s");
}

void top_view__page(const struct top_view *v, size_t lines, size_t columns, struct strbuf *out)
{
	struct page p = { .out = out, .lines = lines, .columns = columns };
	const struct top_row *loop[TOP_MAX_ROWS];
	size_t nloops = loops_of(v, loop), rest = 0;

	if (p.columns < MIN_COLUMNS)
		p.columns = MIN_COLUMNS;
	if (nloops)
		rest = 1 + (nloops < LOOP_LINES ? nloops : LOOP_LINES);
	if (v->nstalls)
		rest += 1 + v->nstalls;
	add_head(v, &p);
	add_threads(v, &p, p.lines > rest + 2 ? p.lines - rest - 1 : 1);
	if (nloops)
		add_loops(loop, nloops < LOOP_LINES ? nloops : LOOP_LINES, &p);
	if (v->nstalls)
		add_line(&p, "STALLS");
	for (size_t i = 0; i < v->nstalls; i++)
		add_line(&p, "%s", v->stall[i].line);
}
