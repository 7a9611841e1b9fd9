// SPDX-License-Identifier: MIT OR Apache-2.0
#include "why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "bench.h"
#include "life.h"
#include "proc/cgroup.h"
#include "proc/maps.h"
#include "proc/syscall.h"
#include "py/python.h"
#include "stall/policy.h"
#include "target.h"

#define MAX_CYCLE 16 /* threads of a deadlock that are told */
#define WAITS_NS (5 * NSEC_PER_MSEC) /* for what a system call is about */

/* A thread that was first seen when it already ran: what came before is not known. Up to so much of
 * the duration it is taken for the same. */
#define UNSEEN 0.02

/* "spin (/srv/a.py:12)" */
static void see_place(struct cause_seen *seen, const struct report_thread *th)
{
	const struct report_frame *f = th->frame;
	char place[CAUSE_PLACE_MAX];

	seen->place[0] = '\0';
	if (!th->nframes)
		return;
	if (f->line > 0)
		snprintf(place, sizeof(place), "%s (%s:%d)", f->name, f->file, f->line);
	else
		snprintf(place, sizeof(place), "%s (%s)", f->name, f->file);
	text_copy(seen->place, sizeof(seen->place), place);
}

static void see_holder(struct cause_seen *seen, const struct resolved *r)
{
	seen->holder = 0;
	seen->holder_name[0] = '\0';
	for (size_t i = r->nresponsible; i < r->nthreads; i++) {
		if (!r->thread[i].holds_gil || r->thread[i].waits_gil)
			continue;
		seen->holder = r->thread[i].tid;
		text_copy(seen->holder_name, sizeof(seen->holder_name), r->thread[i].name);
	}
}

static void see(struct cause *c, const struct resolved *r)
{
	const struct report_thread *th = &r->thread[0];
	struct cause_seen *seen = &c->seen;

	if (!c->has_base)
		c->tid = th->tid;
	seen->looked = true;
	seen->running = !strcmp(th->state, "running");
	seen->gc = th->collects;
	see_place(seen, th);
	see_holder(seen, r);
	seen->waits_gil = th->waits_gil;
	seen->wait = r->wait[0].wait;
}

/* ---- locks ----------------------------------------------------------------------------------- */

static const char *const lock_name[] = {
	[PY_LOCK_LOCK] = "a threading.Lock",
	[PY_LOCK_RLOCK] = "a threading.RLock",
	[PY_LOCK_C] = "a C mutex",
};

/* What a lock of the library's own is for, by the function that waits: 3.11 and newer, before. */
static const struct {
	const char *qualname, *name, *what;
} library_wait[] = {
	{ "Condition.wait", "wait", "the notification of a threading.Condition" },
	{ "Thread._wait_for_tstate_lock", "_wait_for_tstate_lock", "the end of a thread" },
	{ "Thread.join", "join", "the end of a thread" },
};

/* What TH waits for; NULL: for no lock that is known. */
static const char *what_for(const struct py_thread *th, const struct py_lock *lock)
{
	static const char module[] = "/threading.py";
	const char *file = th->nframes ? th->frame->file : "";
	size_t len = strlen(file);

	if (len >= sizeof(module) && !strcmp(file + len - (sizeof(module) - 1), module))
		for (size_t i = 0; i < sizeof(library_wait) / sizeof(*library_wait); i++)
			if (!strcmp(th->frame->name, library_wait[i].qualname) ||
			    !strcmp(th->frame->name, library_wait[i].name))
				return library_wait[i].what;
	return lock_name[lock->kind];
}

/* "a threading.RLock that worker (tid 12) holds" */
static void add_lock(struct strbuf *out, const struct py_snapshot *snap, const struct py_lock *lock,
		     size_t waiter)
{
	const struct py_lock *l = &lock[waiter];
	const char *what = what_for(&snap->thread[waiter], l);

	strbuf_adds(out, what ? what : "");
	if (l->holder < snap->nthreads)
		strbuf_addf(out, " that %s (tid %d) holds", snap->thread[l->holder].name,
			    (int)snap->thread[l->holder].tid);
}

/* Follows who waits for whom from FIRST on; true if that leads in a circle, which is then told. */
static bool find_cycle(struct strbuf *out, const struct py_snapshot *snap,
		       const struct py_lock *lock, size_t first)
{
	size_t at = first, steps = 0;

	for (; at < snap->nthreads && lock[at].kind != PY_LOCK_NONE; at = lock[at].holder) {
		if (steps++ > MAX_CYCLE)
			return false;
		if (steps > 1)
			strbuf_adds(out, ", ");
		strbuf_addf(out, "%s waits for ", snap->thread[at].name);
		add_lock(out, snap, lock, at);
		if (lock[at].holder == first)
			return true;
	}
	return false;
}

static void see_lock(struct cause_seen *seen, const struct target *t, const struct looks *l)
{
	size_t waiter = l->resolved.wait[0].thread;
	struct strbuf text = STRBUF_INIT;
	struct py_lock *lock;

	seen->lock[0] = '\0';
	seen->lock_holder = 0;
	seen->deadlock = false;
	if (!seen->wait.futex || seen->waits_gil || !t->python || waiter >= l->snap->nthreads)
		return;
	lock = calloc(l->snap->nthreads, sizeof(*lock));
	if (lock && !python__locks(t->python, l->snap, lock)) {
		if (lock[waiter].holder < l->snap->nthreads)
			seen->lock_holder = l->snap->thread[lock[waiter].holder].tid;
		seen->deadlock = find_cycle(&text, l->snap, lock, waiter);
		if (!seen->deadlock) {
			strbuf_reset(&text);
			add_lock(&text, l->snap, lock, waiter);
		}
		text_copy(seen->lock, sizeof(seen->lock),
			  strbuf_str(&text) ? strbuf_str(&text) : "");
	}
	strbuf_free(&text);
	free(lock);
}

/* ---- where the time went --------------------------------------------------------------------- */

/* The system call in which most of the time went, where that is not the one that was seen. */
static void find_call(struct cause *c, const struct target *t, const struct usage_view *v,
		      uint64_t start_ns, uint64_t until_ns)
{
	struct waits waits = { .pid = t->pid, .mem = t->mem };
	struct task_syscall call;
	struct usage_call longest;
	const char *name;

	usage__longest_call(v, start_ns, until_ns, &longest);
	if (longest.nr < 0)
		return;
	name = syscall_name(longest.nr);
	if (name && !strcmp(name, c->seen.wait.call))
		return;
	/* of one that is over no more than the first argument is known */
	if (task_syscall__load(t->pid, c->tid, &call) || !call.blocked || call.nr != longest.nr) {
		call = (struct task_syscall){ .blocked = true,
					      .nr = longest.nr,
					      .arg = { longest.arg } };
		waits.mem = NULL;
	}
	waits.deadline_ns = clock_monotonic_ns() + WAITS_NS;
	wait__init(&c->seen.wait, &call);
	wait__look(&c->seen.wait, &call, &waits);
}

/* The file name of what is mapped at ADDR; NULL: no file is. */
static const char *file_at(const struct maps *maps, uint64_t addr, size_t *len)
{
	const struct map *m = addr ? maps__find(maps, addr) : NULL;
	const char *slash;

	if (!m || !m->inode || !m->path_len)
		return NULL;
	slash = memrchr(m->path, '/', m->path_len);
	*len = slash ? m->path_len - (size_t)(slash + 1 - m->path) : m->path_len;
	return slash ? slash + 1 : m->path;
}

static bool is_interpreter(const struct target *t, const char *file, size_t len)
{
	const char *path = t->python ? python__file(t->python) : "", *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	return strlen(name) == len && !memcmp(name, file, len);
}

/* Whose code most of the last ticks since START_NS met. "": the interpreter's, or none did. */
static void find_library(struct cause_seen *seen, const struct target *t,
			 const struct usage_view *v, uint64_t start_ns)
{
	struct strbuf clean = STRBUF_INIT;
	const char *file[ACCOUNT_IPS] = { 0 }, *best = NULL;
	size_t len[ACCOUNT_IPS], best_len = 0, most = 0;
	struct maps maps;

	seen->library[0] = '\0';
	if (!v->ip[0].ip || maps__load(t->pid, &maps, NULL))
		return;
	for (size_t i = 0; i < ACCOUNT_IPS; i++) {
		size_t same = 0;

		if (v->ip[i].at < start_ns)
			continue;
		file[i] = file_at(&maps, v->ip[i].ip, &len[i]);
		for (size_t k = 0; k <= i; k++)
			same += file[i] && file[k] && len[k] == len[i] &&
				!memcmp(file[k], file[i], len[i]);
		if (same > most) {
			most = same;
			best = file[i];
			best_len = len[i];
		}
	}
	if (best && !is_interpreter(t, best, best_len)) {
		text_sanitize(&clean, best, best_len);
		text_copy(seen->library, sizeof(seen->library),
			  strbuf_str(&clean) ? strbuf_str(&clean) : "");
		strbuf_free(&clean);
	}
	maps__free(&maps);
}

static bool set_base(struct cause *c, const struct usage_view *v, const struct stall *s,
		     uint64_t until_ns)
{
	uint64_t unseen = (uint64_t)((double)(until_ns - s->start_ns) * UNSEEN);

	if (c->has_base)
		return true;
	c->has_base = v->cnt && (!usage__at(v, s->start_ns, &c->base) ||
				 (v->point[0].at - s->start_ns <= unseen &&
				  !usage__at(v, v->point[0].at, &c->base)));
	return c->has_base;
}

static void measure(struct cause *c, const struct bench *b, const struct target *t,
		    const struct stall *s, bool looked, uint64_t until_ns, struct cause_facts *f)
{
	struct usage_view v;
	struct usage now;

	if (!b->ops->usage || !c->tid || until_ns <= s->start_ns ||
	    b->ops->usage(b->source, t->proc, c->tid, &v))
		return;
	if (looked ? c->seen.running : !c->seen.looked)
		find_library(&c->seen, t, &v, s->start_ns);
	if (!set_base(c, &v, s, until_ns) || usage__at(&v, until_ns, &now))
		return;
	f->measured = true;
	for (int i = 0; i < ACCOUNT_SUMS; i++)
		f->sum[i] = account_since(c->base.sum[i], now.sum[i]);
	f->faults = now.faults - c->base.faults;
	find_call(c, t, &v, s->start_ns, until_ns);
}

static void find_load(struct cause_facts *f)
{
	double load[1];

	f->load = getloadavg(load, 1) == 1 ? load[0] : -1;
	f->cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* "20 % of a CPU in /sys/fs/cgroup/a" */
static void find_quota(struct cause_facts *f, const struct target *t)
{
	struct strbuf path = STRBUF_INIT;
	struct cgroup_quota quota;
	char text[CAUSE_NAME_MAX + CGROUP_PATH_MAX];

	if (!f->sum[ACCOUNT_SUM_THROTTLED] || cgroup_quota__load(t->pid, &quota))
		return;
	text_sanitize(&path, quota.path, strlen(quota.path));
	snprintf(text, sizeof(text), "%.0f %% of a CPU for %s", quota.cpus * 100,
		 strbuf_str(&path) ? strbuf_str(&path) : "it");
	text_copy(f->quota, sizeof(f->quota), text);
	strbuf_free(&path);
}

const struct report_why *why__tell(const struct bench *b, const struct target *t, struct stall *s,
				   const struct looks *l, uint64_t until_ns, struct why *out)
{
	struct cause_facts f = { .load = -1 };
	bool looked = l && l->resolved.nresponsible;

	if (!s->cause)
		s->cause = calloc(1, sizeof(*s->cause));
	if (!s->cause)
		return NULL;
	f.holds_gil = !strcmp(s->ops->source, "gil");
	f.duration_ns = account_since(s->start_ns, until_ns);
	f.stopped_ns = s->stopped_ns;
	if (looked) {
		see(s->cause, &l->resolved);
		see_lock(&s->cause->seen, t, l);
	}
	if (!s->cause->tid)
		s->cause->tid = s->tid;
	measure(s->cause, b, t, s, looked, until_ns, &f);
	if (f.sum[ACCOUNT_RUN_QUEUE])
		find_load(&f);
	find_quota(&f, t);
	cause__judge(&f, &s->cause->seen, out->verdict, &out->report);
	if (f.holds_gil)
		out->report.gil_holder = s->tid;
	return &out->report;
}
