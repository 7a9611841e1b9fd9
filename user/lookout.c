// SPDX-License-Identifier: MIT OR Apache-2.0
#include "lookout.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "gil.h"
#include "loop.h"
#include "py/python.h"
#include "target.h"

#define MODULE "lookout"

/* Looks, as long as something is missing: soon at first (a program that starts), then every 3 s. */
#define LOOK_FIRST_NS (100 * NSEC_PER_MSEC)
#define LOOK_MAX_NS (3 * NSEC_PER_SEC)

/* The facts of a page are read at once when they change, but not again before so long. */
#define REFRESH_MIN_NS (50 * NSEC_PER_MSEC)

/* A process that has just been started may not have its interpreter yet. */
#define START_TRIES 20
#define START_WAIT_NS (50 * NSEC_PER_MSEC)

static void tell(const struct lookout *l, enum report_severity severity, pid_t pid, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));

static void tell(const struct lookout *l, enum report_severity severity, pid_t pid, const char *fmt,
		 ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->tell(l->ctx, severity, pid, text);
}

void lookout__later(struct target *t)
{
	uint64_t wait = LOOK_FIRST_NS << (t->looks < 5 ? t->looks : 5);

	t->looks++;
	t->next_look_ns = clock_monotonic_ns() + (wait < LOOK_MAX_NS ? wait : LOOK_MAX_NS);
}

/* Reads the stacks once while nothing is wrong: what can be cached is, before the first stall. */
static void warm_up(struct target *t)
{
	struct err why = { { 0 } };
	struct python *py = target__python(t, &why);
	struct py_snapshot *snap = NULL;
	struct py_walk_opts wo = { 0 };

	if (!py) {
		log_msg(t->parent ? LOG_DEBUG : LOG_INFO, MODULE,
			"process %d: stalls will be reported without stacks: %s", (int)t->pid,
			why.text);
		return;
	}
	log_msg(LOG_DEBUG, MODULE, "process %d: %s", (int)t->pid, python__describe(py));
	if (!python__walk(py, &wo, &snap, &why))
		py_snapshot__free(snap);
}

/* A source is looked for that needs nothing in the target: RET says what came of it. */
static bool is_watched(struct target *t, int ret, const struct err *err, const char *what)
{
	if (ret >= 0)
		t->was_watched = true;
	else if (ret != -ENOENT && !t->said_no_pages)
		log_msg(LOG_INFO, MODULE, "process %d: %s are not seen: %s", (int)t->pid, what,
			err_text(err, ret));
	return ret >= 0;
}

/* Are loops looked for that the target does not name? */
static bool finds_loops(const struct lookout *l)
{
	return l->loop && l->ops->watch_loops;
}

/* Which of the sources that need nothing in the target are watched (OPTIONS_SOURCE_*). Whatever is
 * not found now is looked for later. */
static unsigned int look_for_python(struct lookout *l, struct target *t)
{
	struct err no_gil = { { 0 } }, no_loop = { { 0 } };
	unsigned int watched = 0;
	int gil = 0, loop = 0;

	if (l->gil)
		gil = gil_judge__look(l->gil, t, &no_gil);
	if (l->gil && is_watched(t, gil, &no_gil, "waits for its GIL"))
		watched |= OPTIONS_SOURCE_GIL;
	if (finds_loops(l))
		loop = loop_judge__look(l->loop, t, &no_loop);
	if (finds_loops(l) && is_watched(t, loop, &no_loop, "its event loops"))
		watched |= OPTIONS_SOURCE_LOOP;
	if (gil == -ENOENT || loop == -ENOENT)
		lookout__later(t);
	if (gil <= 0 && loop <= 0)
		return watched;
	if (!t->said_watched)
		warm_up(t);
	if (!t->said_watched && !(l->opts->sources & OPTIONS_SOURCE_SLOT))
		tell(l, REPORT_INFO, t->pid, "Successfully monitoring pid %d", (int)t->pid);
	t->said_watched = true;
	return watched;
}

/* Behind "no trackers yet". */
static const char *also_watched(unsigned int watched)
{
	switch (watched) {
	case OPTIONS_SOURCE_GIL:
		return "; waits for its GIL are watched";
	case OPTIONS_SOURCE_LOOP:
		return "; its event loops are watched";
	case OPTIONS_SOURCE_GIL | OPTIONS_SOURCE_LOOP:
		return "; its event loops and waits for its GIL are watched";
	}
	return "";
}

static int set_pages(struct lookout *l, struct target *t, struct err *err)
{
	int ret = l->ops->set_pages(l->source, t->proc, t->pages, t->npages, err);

	if (!ret && l->loop)
		loop_judge__registered(l->loop, t);
	return ret;
}

void lookout__look(struct lookout *l, struct target *t)
{
	struct err err = { { 0 } };
	bool had = t->npages != 0;
	uint32_t foreign = 0;
	unsigned int watched;
	int n;

	t->next_look_ns = 0;
	watched = look_for_python(l, t);
	if (!(l->opts->sources & OPTIONS_SOURCE_SLOT))
		return;
	n = target__find_pages(t, &foreign, &err);
	if (n > 0)
		n = set_pages(l, t, &err) ?: n;
	if (n < 0 && n != -ESRCH)
		log_msg(LOG_WARN, MODULE, "process %d: %s", (int)t->pid, err_text(&err, n));
	if (n <= 0) {
		lookout__later(t);
		if (t->said_no_pages || n == -ESRCH)
			return;
		t->said_no_pages = true;
		if (foreign)
			tell(l, REPORT_WARNING, t->pid,
			     "perpetuo format version mismatch (target is v%u; we support v0 and v1)",
			     foreign);
		else
			tell(l, REPORT_INFO, t->pid,
			     "Process %d has no perpetuo trackers yet: watching until they appear%s",
			     (int)t->pid, also_watched(watched));
		return;
	}
	if ((!l->gil || watched & OPTIONS_SOURCE_GIL) &&
	    (!finds_loops(l) || watched & OPTIONS_SOURCE_LOOP))
		t->looks = 0;
	t->was_watched = true;
	if (had)
		return;
	if (!watched)
		warm_up(t);
	tell(l, REPORT_INFO, t->pid, "Successfully monitoring pid %d", (int)t->pid);
}

/* Reads the facts of the pages again, or all pages anew when one is none any more. */
static void refresh(struct lookout *l, struct target *t)
{
	struct err err = { { 0 } };
	bool full = false;
	int ret = 0;

	t->refreshed_ns = clock_monotonic_ns();
	t->next_refresh_ns = 0;
	l->refreshes++;
	for (size_t i = 0; i < t->npages && !ret; i++) {
		ret = slot_page__refresh(t->mem, &t->pages[i]);
		full |= t->pages[i].version == SLOT_V1 && t->pages[i].in_use == t->pages[i].nwords;
	}
	if (ret || full) /* behind a page that is full there may be another by now */
		lookout__look(l, t);
	else if (set_pages(l, t, &err))
		log_msg(LOG_WARN, MODULE, "process %d: %s", (int)t->pid, err.text);
}

/* A target that changes its facts all the time costs no more than one that does so now and then. */
void lookout__changed(struct lookout *l, struct target *t, uint64_t addr)
{
	uint64_t due = t->refreshed_ns + REFRESH_MIN_NS;

	if (!target__page(t, addr))
		return;
	if (clock_monotonic_ns() < due)
		t->next_refresh_ns = due;
	else
		refresh(l, t);
}

uint64_t lookout__due(const struct target *t)
{
	if (!t->next_look_ns || (t->next_refresh_ns && t->next_refresh_ns < t->next_look_ns))
		return t->next_refresh_ns;
	return t->next_look_ns;
}

void lookout__run(struct lookout *l, struct target *t, uint64_t now_ns)
{
	if (t->next_refresh_ns && t->next_refresh_ns <= now_ns)
		refresh(l, t);
	if (t->next_look_ns && t->next_look_ns <= now_ns)
		lookout__look(l, t);
}

int lookout__check_python(struct target *t, struct err *err)
{
	struct timespec wait = { .tv_nsec = START_WAIT_NS };

	for (int i = 0; i < START_TRIES; i++) {
		if (target__python(t, err) || t->no_python_is_final)
			return 0;
		nanosleep(&wait, NULL);
	}
	return -ENOENT;
}
