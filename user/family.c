// SPDX-License-Identifier: MIT OR Apache-2.0
#include "family.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "lookout.h"
#include "proc/process.h"
#include "proc/task.h"
#include "target.h"

#define MODULE "family"

#define MAX_WAITING 4096 /* told and not looked at yet; those that do not fit are searched for */
#define DELAY_NS (10 * NSEC_PER_MSEC)
#define SLICE_NS (5 * NSEC_PER_MSEC) /* a stall of the parent is not kept waiting for longer */
#define LOOKS 5 /* for a Python in a child, in about 3 s */

/* Searches of /proc: so often, but never for more than this part of a CPU. */
#define SEARCH_NS (100 * NSEC_PER_MSEC)
#define SEARCH_PART 50

/* Of each kind of news so many are told in one window. */
#define NEWS_MAX 20
#define NEWS_WINDOW_NS (60 * NSEC_PER_SEC)

struct child {
	pid_t pid, parent;
	bool told; /* by the kernel, which follows it already */
	uint64_t due_ns;
};

struct news {
	uint64_t since_ns;
	unsigned int told;
	uint64_t untold; /* since the last one that was told */
};

struct family {
	const struct source_ops *ops;
	struct source *source;
	struct family_house house;
	struct child waiting[MAX_WAITING]; /* a ring */
	size_t first, cnt;
	uint64_t next_search_ns; /* 0 = there is no need */
	struct news taken_up, left_out;
	struct {
		uint64_t followed, short_lived, no_python, left_out, untold, searches;
	} count;
};

struct family *family__new(const struct source_ops *ops, struct source *source,
			   const struct family_house *house)
{
	struct family *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->ops = ops;
	f->source = source;
	f->house = *house;
	if (!ops->follow)
		log_msg(LOG_INFO, MODULE,
			"backend %s looks for children about every %llu ms: those that live for less are not seen",
			ops->name, SEARCH_NS / NSEC_PER_MSEC);
	return f;
}

void family__free(struct family *f)
{
	free(f);
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* May one more be told? *UNTOLD: so many were not since the last one. */
static bool is_news(struct family *f, struct news *n, uint64_t *untold)
{
	uint64_t now = clock_monotonic_ns();

	if (!n->since_ns || now - n->since_ns >= NEWS_WINDOW_NS) {
		n->since_ns = now;
		n->told = 0;
	}
	*untold = n->untold;
	if (n->told == NEWS_MAX) {
		n->untold++;
		f->count.untold++;
		return false;
	}
	n->told++;
	n->untold = 0;
	return true;
}

/* "Following pid 1240 (child of 1234); 52 more were followed since the last record of this kind" */
static void tell_followed(struct family *f, const struct target *t)
{
	char text[160], more[96] = "";
	uint64_t untold;

	f->count.followed++;
	if (!is_news(f, &f->taken_up, &untold))
		return;
	if (untold)
		snprintf(more, sizeof(more),
			 "; %" PRIu64 " more were followed since the last record of this kind",
			 untold);
	snprintf(text, sizeof(text), "Following pid %d (child of %d)%s", (int)t->pid,
		 (int)t->parent, more);
	f->house.tell(f->house.ctx, REPORT_INFO, t->pid, text);
}

static void tell_left_out(struct family *f, const struct child *c, const struct err *why)
{
	uint64_t untold;
	struct err text;

	f->count.left_out++;
	if (!is_news(f, &f->left_out, &untold))
		return;
	err_set(&text, 0, "Not following pid %d (child of %d): %s", (int)c->pid, (int)c->parent,
		why->text);
	if (untold)
		err_set(&text, 0,
			"Not following pid %d (child of %d) and %" PRIu64 " before it: %s",
			(int)c->pid, (int)c->parent, untold, why->text);
	f->house.tell(f->house.ctx, REPORT_WARNING, c->pid, text.text);
}

/* ---- who waits ------------------------------------------------------------------------------- */

static void search_by(struct family *f, uint64_t when)
{
	if (!f->next_search_ns || when < f->next_search_ns)
		f->next_search_ns = when;
}

static void wait_for(struct family *f, const struct child *c)
{
	if (f->cnt == MAX_WAITING)
		search_by(f, c->due_ns + SEARCH_NS);
	else
		f->waiting[(f->first + f->cnt++) % MAX_WAITING] = *c;
}

void family__told(struct family *f, const struct source_event *ev)
{
	struct child c = {
		.pid = ev->child.pid,
		.parent = ev->child.parent,
		.told = true,
		.due_ns = ev->now_ns + DELAY_NS,
	};

	if (c.pid)
		wait_for(f, &c);
	else
		search_by(f, ev->now_ns + SEARCH_NS);
}

struct search {
	struct family *f;
	uint64_t now_ns;
};

static void consider(void *ctx, const struct task_stat *stat)
{
	struct search *s = ctx;
	const struct family_house *h = &s->f->house;
	struct child c = { .pid = stat->pid, .parent = stat->ppid, .due_ns = s->now_ns };

	if (stat->state != 'Z' && h->find(h->ctx, stat->ppid) && !h->find(h->ctx, stat->pid))
		wait_for(s->f, &c);
}

static void search(struct family *f, uint64_t now_ns)
{
	struct search s = { f, now_ns };
	uint64_t took, pause;

	f->next_search_ns = 0;
	f->count.searches++;
	process__each(consider, &s);
	if (f->ops->follow)
		return;
	took = clock_monotonic_ns() - now_ns;
	pause = took * SEARCH_PART > SEARCH_NS ? took * SEARCH_PART : SEARCH_NS;
	search_by(f, now_ns + pause);
}

/* ---- who is taken up ------------------------------------------------------------------------- */

int family__follow(struct family *f, const struct target *t, struct err *err)
{
	/* who searches anyway keeps to its times */
	if (f->ops->follow || !f->next_search_ns)
		search_by(f, clock_monotonic_ns());
	return f->ops->follow ? f->ops->follow(f->source, t->pidfd, t->parent, err) : 0;
}

/* Another thread than the first has left the mark with the old task. */
int family__executed(struct family *f, const struct target *t, struct err *err)
{
	if (!f->ops->follow || f->ops->follows(f->source, t->pidfd))
		return 0;
	return family__follow(f, t, err);
}

/* T is open: is it the child that was meant? One that was found, not told, becomes one. */
static int adopt(struct family *f, const struct child *c, struct target *t, struct err *err)
{
	t->parent = c->parent;
	t->hurried = true;
	t->said_no_pages = true; /* nor will be: that it is followed is all that is said of it */
	if (!c->told)
		return family__follow(f, t, err);
	return f->ops->follows(f->source, t->pidfd) ? 0 : -ESRCH;
}

static void take_up(struct family *f, const struct child *c)
{
	const struct family_house *h = &f->house;
	struct err why = { { 0 } };
	struct target *t = h->find(h->ctx, c->pid);
	int ret;

	/* it may have executed a program just before the kernel knew that it is watched */
	if (t && target__is_void(t))
		t->next_look_ns = clock_monotonic_ns();
	if (t || c->pid == getpid())
		return;
	ret = h->add(h->ctx, c->pid, &t, &why);
	if (!ret) {
		ret = adopt(f, c, t, &why);
		if (ret)
			h->drop(h->ctx, t);
		else if (family__settle(f, t))
			t->next_look_ns = clock_monotonic_ns();
	}
	if (ret == -ESRCH || ret == -ENOENT)
		f->count.short_lived++;
	else if (ret)
		tell_left_out(f, c, &why);
}

bool family__settle(struct family *f, struct target *t)
{
	struct err why = { { 0 } };

	if (!t->parent || t->is_settled)
		return true;
	t->hurried = t->looks < LOOKS;
	if (target__python(t, &why) || t->no_python_is_final) {
		t->is_settled = true;
		t->looks = 0;
		if (!t->said_followed)
			tell_followed(f, t);
		t->said_followed = true;
		return true;
	}
	/* where nobody tells when it executes a program, it is looked at now and then */
	if (t->looks < LOOKS || !f->ops->follow) {
		lookout__later(t);
		return false;
	}
	f->count.no_python++;
	log_msg(LOG_DEBUG, MODULE, "process %d is not followed: %s", (int)t->pid, why.text);
	f->house.drop(f->house.ctx, t);
	return false;
}

bool family__waits(const struct family *f)
{
	return f->cnt;
}

uint64_t family__due(const struct family *f)
{
	uint64_t due = f->cnt ? f->waiting[f->first].due_ns : 0;

	if (!due || (f->next_search_ns && f->next_search_ns < due))
		return f->next_search_ns;
	return due;
}

void family__run(struct family *f, uint64_t now_ns)
{
	uint64_t end = clock_monotonic_ns() + SLICE_NS;

	if (f->next_search_ns && f->next_search_ns <= now_ns)
		search(f, now_ns);
	while (f->cnt && f->waiting[f->first].due_ns <= now_ns && clock_monotonic_ns() < end) {
		struct child c = f->waiting[f->first];

		f->first = (f->first + 1) % MAX_WAITING;
		f->cnt--;
		take_up(f, &c);
	}
}

void family__stats(const struct family *f, struct strbuf *out)
{
	strbuf_addf(out, "children.followed %" PRIu64 "\n", f->count.followed);
	strbuf_addf(out, "children.short_lived %" PRIu64 "\n", f->count.short_lived);
	strbuf_addf(out, "children.without_python %" PRIu64 "\n", f->count.no_python);
	strbuf_addf(out, "children.left_out %" PRIu64 "\n", f->count.left_out);
	strbuf_addf(out, "children.untold %" PRIu64 "\n", f->count.untold);
	strbuf_addf(out, "children.searches %" PRIu64 "\n", f->count.searches);
}
