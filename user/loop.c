// SPDX-License-Identifier: MIT OR Apache-2.0
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/log.h"
#include "bench.h"
#include "bpf/slot_abi.h"
#include "life.h"
#include "proc/mem.h"
#include "proc/task.h"
#include "py/python.h"
#include "source/slot.h"
#include "stall/policy.h"
#include "stall/resolve.h"
#include "stall/threshold.h"
#include "target.h"

#define MODULE "loop"

#define MAX_LOOPS 4096 /* of all targets */
#define MAX_NAME 128 /* of a thread */
#define NEAR_NS (20 * NSEC_PER_MSEC) /* a section that begins with a step, or after it */
#define LOOK_TIMEOUT_NS (200 * NSEC_PER_MSEC)

/* A thread that runs a loop. */
struct loop {
	uint32_t proc;
	enum py_loop_kind kind;
	pid_t tid;
	uint64_t ident; /* threading.get_ident() */
	uint64_t tstate;
	uint64_t ver_addr;
	int fd; /* on which it waits, -1 = not known yet */
	bool rested; /* it was seen waiting there, and so: */
	uint64_t rest; /* the context between steps */
	uint64_t rest_ver; /* and the count then */
	uint64_t denied_ns; /* start of what was told as a step, and is none or told by others */
	uint64_t told_ns; /* start of the stall that is open, 0 = none is */
	bool registered; /* the program says that it is one: */
	int slot_fd; /* on which it waits then, -1 = it does not say */
	char name[SLOT_NAME_CAP * 4 + 1];
	char thread[MAX_NAME];
};

struct loop_judge {
	const struct bench *bench;
	bool watched[SOURCE_MAX_PROCS]; /* by handle */
	struct loop *loop;
	size_t nloops, cap;
	struct {
		uint64_t asked, found, told, stale, outside, by_others, over, unsure, overflow;
	} count;
};

static const char *const kind_name[] = {
	[PY_LOOP_NONE] = "",	 [PY_LOOP_ASYNCIO] = "asyncio", [PY_LOOP_UVLOOP] = "uvloop",
	[PY_LOOP_TRIO] = "Trio", [PY_LOOP_GEVENT] = "gevent",
};

struct loop_judge *loop_judge__new(const struct bench *bench)
{
	struct loop_judge *j = calloc(1, sizeof(*j));

	if (j)
		j->bench = bench;
	return j;
}

void loop_judge__free(struct loop_judge *j)
{
	if (!j)
		return;
	free(j->loop);
	free(j);
}

void loop_judge__forget(struct loop_judge *j, uint32_t proc)
{
	for (size_t i = j->nloops; i-- > 0;)
		if (j->loop[i].proc == proc)
			j->loop[i] = j->loop[--j->nloops];
	j->watched[proc] = false;
}

/* ---- which threads run a loop ---------------------------------------------------------------- */

static struct loop *find(struct loop_judge *j, uint32_t proc, uint64_t ver_addr)
{
	for (size_t i = 0; i < j->nloops; i++)
		if (j->loop[i].proc == proc && j->loop[i].ver_addr == ver_addr)
			return &j->loop[i];
	return NULL;
}

/* Known already or new. NULL: there is no room. Valid until the next call. */
static struct loop *get(struct loop_judge *j, uint32_t proc, uint64_t ver_addr)
{
	size_t cap = j->cap ? j->cap * 2 : 16;
	struct loop *more = find(j, proc, ver_addr);

	if (more)
		return more;
	if (j->nloops == j->cap) {
		more = j->nloops < MAX_LOOPS ? reallocarray(j->loop, cap, sizeof(*more)) : NULL;
		if (!more) {
			j->count.overflow++;
			return NULL;
		}
		j->loop = more;
		j->cap = cap;
	}
	more = &j->loop[j->nloops++];
	*more = (struct loop){ .proc = proc, .ver_addr = ver_addr, .fd = -1 };
	j->count.found++;
	return more;
}

/* The descriptor on which the thread waits for events; -1 = it does something else. */
static int epoll_of(pid_t pid, pid_t tid, enum py_loop_kind kind)
{
	struct task_syscall call;

	if (task_syscall__load(pid, tid, &call))
		return -1;
	/* libuv's, and nobody else's that runs in a step of uvloop */
	if (kind == PY_LOOP_UVLOOP && call.nr != SYS_epoll_pwait)
		return -1;
	return task_syscall__epoll_fd(&call);
}

/* On which descriptor the loop waits, if it does now: where it waits between its steps. */
static int waits_on(const struct target *t, const struct loop *l, const struct py_loop *now,
		    const struct py_thread *th)
{
	bool waits = now->waits;

	if (l->kind == PY_LOOP_UVLOOP)
		waits = !l->rested || now->context == l->rest;
	return waits && th->exact ? epoll_of(t->pid, th->tid, l->kind) : -1;
}

/*
 * The programs see a thread when it leaves its CPU. One that has left it for a step since we looked
 * at it, and before they knew of it, is asleep: they are told to take it for busy.
 */
static void look_again(struct loop_judge *j, struct target *t, const struct loop *l,
		       struct source_loop *told)
{
	struct task_syscall call;

	if (task_syscall__load(t->pid, l->tid, &call) || !call.blocked ||
	    epoll_of(t->pid, l->tid, l->kind) == l->fd ||
	    mem__read_u64(t->mem, l->ver_addr, &told->ver))
		return;
	told->busy_ns = clock_monotonic_ns();
	told->exact = false;
	j->bench->ops->set_loop(j->bench->source, t->proc, told);
}

/* When the step began that NOW is in, by the target's clock if that can be. */
static uint64_t begun(const struct target *t, const struct py_loop *now, uint64_t now_ns)
{
	uint64_t ns = now->begun_ns ? target__to_our_clock(t, now->begun_ns) : 0;

	return ns > t->info.start_monotonic_ns && ns <= now_ns ? ns : 0;
}

/* What it is called: as its program does (FACTS), or else after the library and the thread. */
static void set_name(struct loop *l, const struct slot_facts *facts)
{
	if (facts) {
		l->registered = true;
		l->slot_fd = facts->idle_fd;
		snprintf(l->name, sizeof(l->name), "%.*s", (int)sizeof(l->name) - 1, facts->name);
	} else if (!l->registered) {
		snprintf(l->name, sizeof(l->name), "%s loop (%s)", kind_name[l->kind], l->thread);
	}
}

/*
 * TH runs the loop NOW, which the program may have registered (FACTS, or NULL): it is watched from
 * now on, or what is new of it is told.
 */
static void take(struct loop_judge *j, struct target *t, const struct py_thread *th,
		 const struct py_loop *now, const struct slot_facts *facts)
{
	struct loop *l = get(j, t->proc, now->ver_addr);
	uint64_t now_ns = clock_monotonic_ns(), begun_ns = begun(t, now, now_ns);
	struct source_loop told;
	int fd, ret;

	if (!l)
		return;
	l->kind = now->kind;
	l->tid = th->tid;
	l->ident = th->ident;
	l->tstate = th->tstate;
	snprintf(l->thread, sizeof(l->thread), "%s", th->name);
	set_name(l, facts);
	fd = waits_on(t, l, now, th);
	if (fd >= 0) {
		l->fd = fd;
		l->rested = true;
		l->rest = now->context;
		l->rest_ver = now->ver;
	} else if (facts && facts->idle_fd >= 0) {
		l->fd = facts->idle_fd;
	}
	told = (struct source_loop){
		.tid = l->tid,
		.ver_addr = l->ver_addr,
		.ver = now->ver,
		.fd = l->fd,
		.busy_ns = fd >= 0    ? 0
			   : begun_ns ? begun_ns
				      : now_ns,
		.exact = begun_ns,
	};
	ret = j->bench->ops->set_loop(j->bench->source, t->proc, &told);
	if (!ret && !told.busy_ns)
		look_again(j, t, l, &told);
	log_msg(LOG_DEBUG, MODULE, "process %d: thread %d runs the %s (waits on %d)%s%s",
		(int)t->pid, (int)l->tid, l->name, l->fd, ret ? ": " : "",
		ret ? strerror(-ret) : "");
}

static int walk(const struct loop_judge *j, struct python *py, struct py_snapshot **out,
		struct err *err)
{
	struct py_walk_opts wo = {
		.timeout_ns = LOOK_TIMEOUT_NS,
		.capture = j->bench->ops->capture,
		.capture_ctx = j->bench->source,
	};

	return python__walk(py, &wo, out, err);
}

/* Looks at all threads of T, or at TID alone (not 0). */
static int look_for(struct loop_judge *j, struct target *t, pid_t tid, struct err *err)
{
	struct python *py = target__python(t, err);
	struct py_snapshot *snap;
	struct py_loop now;
	int ret;

	if (!py)
		return t->no_python_is_final ? -EOPNOTSUPP : -ENOENT;
	ret = walk(j, py, &snap, err);
	if (ret)
		return ret == -ESRCH ? -ENOENT : ret;
	for (size_t i = 0; i < snap->nthreads; i++) {
		const struct py_thread *th = &snap->thread[i];

		if (!th->tid || (tid && th->tid != tid) || python__loop(py, th, &now) ||
		    now.kind == PY_LOOP_NONE)
			continue;
		take(j, t, th, &now, NULL);
	}
	py_snapshot__free(snap);
	return 0;
}

int loop_judge__look(struct loop_judge *j, struct target *t, struct err *err)
{
	int ret;

	if (j->watched[t->proc])
		return 0;
	if (!j->bench->ops->watch_loops)
		return err_set(err, -EOPNOTSUPP, "backend %s does not see event loops",
			       j->bench->ops->name);
	if (!target__python(t, err))
		return t->no_python_is_final ? -EOPNOTSUPP : -ENOENT;
	/* in this order: a thread that is no loop yet when we look is asked about */
	ret = j->bench->ops->watch_loops(j->bench->source, t->proc, err);
	if (!ret)
		ret = look_for(j, t, 0, err);
	if (ret)
		return ret;
	j->watched[t->proc] = true;
	return 1;
}

/* The next slot of a loop after *AT on the pages of T, with its FACTS. False: there is none. */
static bool next_slot(struct target *t, uint32_t *at, struct slot_facts *facts)
{
	for (; *at / SLOT_WORDS < t->npages; (*at)++) {
		const struct slot_page_info *page = &t->pages[*at / SLOT_WORDS];
		uint32_t i = *at % SLOT_WORDS;

		if (i < page->in_use && slot_page__is_loop(page, i) &&
		    !slot_facts__read(t->mem, page, i, facts) && facts->kind == SLOT_LOOP) {
			(*at)++;
			return true;
		}
	}
	return false;
}

/* The loop that FACTS are about, as far as its thread does run one, which counts there. */
static void take_slot(struct loop_judge *j, struct target *t, struct python *py,
		      const struct py_snapshot *snap, const struct slot_facts *facts)
{
	struct py_loop now;

	for (size_t i = 0; i < snap->nthreads; i++) {
		const struct py_thread *th = &snap->thread[i];

		if (th->ident == facts->thread_ident && th->tid && !python__loop(py, th, &now) &&
		    now.kind != PY_LOOP_NONE && now.ver_addr == facts->progress_addr)
			take(j, t, th, &now, facts);
	}
}

void loop_judge__registered(struct loop_judge *j, struct target *t)
{
	struct py_snapshot *snap = NULL;
	struct slot_facts facts;
	struct python *py = NULL;
	struct err why = { { 0 } };
	uint32_t at = 0;

	if (j->bench->ops->watch_loops && !j->watched[t->proc])
		return; /* they cannot be seen, or will be when its interpreter is known */
	for (size_t i = 0; i < j->nloops; i++)
		if (j->loop[i].proc == t->proc)
			j->loop[i].registered = false;
	while (next_slot(t, &at, &facts)) {
		struct loop *l = find(j, t->proc, facts.progress_addr);

		if (l && l->ident == facts.thread_ident && l->slot_fd == facts.idle_fd) {
			set_name(l, &facts);
			continue;
		}
		if (!snap) {
			py = target__python(t, &why);
			if (!py || walk(j, py, &snap, &why))
				break;
		}
		take_slot(j, t, py, snap, &facts);
	}
	py_snapshot__free(snap);
	for (size_t i = 0; i < j->nloops; i++)
		if (j->loop[i].proc == t->proc)
			set_name(&j->loop[i], NULL);
}

static int on_ask(struct loop_judge *j, struct target *t, const struct source_event *ev)
{
	struct err why = { { 0 } };

	j->count.asked++;
	if (ev->loop.tid)
		look_for(j, t, ev->loop.tid, &why);
	return 0;
}

/* ---- is it a stall? -------------------------------------------------------------------------- */

enum verdict {
	STEP_IS, /* the thread is in that step */
	STEP_GONE, /* it has gone on */
	STEP_NONE, /* it is in no step */
};

static const struct py_thread *thread_of(const struct py_snapshot *snap, uint64_t tstate)
{
	for (size_t i = 0; snap && i < snap->nthreads; i++)
		if (snap->thread[i].tstate == tstate)
			return &snap->thread[i];
	return NULL;
}

/* By its context where it is known what that is between steps, else by its stack. */
static bool in_step(const struct loop *l, const struct py_loop *now, const struct py_thread *th)
{
	if (l->kind == PY_LOOP_GEVENT) /* in a greenlet there is no frame of the loop */
		return th->exact && th->nframes && !now->waits;
	if (now->kind == PY_LOOP_NONE)
		return false;
	if (l->rested)
		return now->context != l->rest;
	return now->inside || (l->kind == PY_LOOP_UVLOOP && now->context);
}

/* A stack is needed to see whether Trio or gevent runs, and where it is not known what the context
 * is between steps. */
static bool needs_stack(const struct loop *l)
{
	return !l->rested || l->kind == PY_LOOP_TRIO || l->kind == PY_LOOP_GEVENT;
}

static enum verdict judge_step(const struct loop_judge *j, struct target *t, const struct loop *l,
			       uint64_t ver)
{
	struct py_thread none = { .tstate = l->tstate };
	const struct py_thread *th = &none;
	enum verdict verdict = STEP_NONE;
	struct py_snapshot *snap = NULL;
	struct err why = { { 0 } };
	struct python *py = target__python(t, &why);
	struct py_loop now;

	if (py && needs_stack(l) && !walk(j, py, &snap, &why))
		th = thread_of(snap, l->tstate);
	if (py && th && !python__loop(py, th, &now)) {
		if (now.ver != ver)
			verdict = STEP_GONE;
		else if (in_step(l, &now, th))
			verdict = STEP_IS;
	}
	py_snapshot__free(snap);
	return verdict;
}

/*
 * Is it known of a step that is over, that it was one? Between steps the count is what it is at
 * rest, plus two for each step. Greenlets move it otherwise.
 */
static bool was_step(const struct loop *l, uint64_t ver)
{
	return l->kind != PY_LOOP_GEVENT && l->rested && ((ver - l->rest_ver) & 1);
}

static uint64_t threshold(const struct loop_judge *j, const struct loop *l)
{
	return thresholds__of(j->bench->thresholds, "loop", l->name);
}

/* Does a tracker of the same thread mark what began at START_NS? Then it tells. */
static bool is_tracked(const struct loop_judge *j, struct target *t, const struct loop *l,
		       uint64_t start_ns)
{
	uint64_t by = start_ns + threshold(j, l) / 4, *value, begun;
	struct slot_facts facts;
	bool found = false;

	for (size_t i = 0; i < t->npages && !found; i++) {
		const struct slot_page_info *page = &t->pages[i];

		value = calloc(page->in_use + 1, sizeof(*value));
		if (!value || slot_values__read(t->mem, page, value)) {
			free(value);
			continue;
		}
		for (uint32_t k = 0; k < page->in_use && !found; k++) {
			if (!(value[k] & 1) || slot_facts__read(t->mem, page, k, &facts) ||
			    facts.closed || facts.thread_ident != l->ident)
				continue;
			begun = value[k];
			if (slot_page__is_counter(page, k))
				begun = j->bench->ops->last_word(j->bench->source, t->proc,
								 page->addr, k);
			found = target__to_our_clock(t, begun) <= by;
		}
		free(value);
	}
	return found;
}

/* ---- records --------------------------------------------------------------------------------- */

static struct stall_key key_of(const struct source_event *ev)
{
	/* no slot page lies there: it is inside a thread state */
	return (struct stall_key){ .proc = ev->proc,
				   .page = ev->loop.ver_addr,
				   .word = ev->loop.start_ns };
}

static bool goes_on(void *judge, struct target *t, struct stall *s)
{
	uint64_t ver;

	(void)judge;
	return !mem__read_u64(t->mem, s->key.page, &ver) && ver == s->value;
}

static bool look(void *judge, struct target *t, struct stall *s, struct looks *looks)
{
	struct loop_judge *j = judge;
	const struct loop *l = find(j, s->key.proc, s->key.page);
	struct culprit who = { .tstate = l ? l->tstate : 0 };
	bool still;

	bench__look(j->bench, t, &who, looks);
	still = goes_on(judge, t, s);
	if (!still && !looks->note.text[0])
		err_set(&looks->note, 0, "the step ended while the stacks were taken");
	return still;
}

static const struct stall_ops loop_ops = {
	.source = "loop",
	.goes_on = goes_on,
	.look = look,
};

static struct stall *open_stall(struct loop_judge *j, const struct target *t, const struct loop *l,
				const struct source_event *ev)
{
	struct stall_key key = key_of(ev);
	struct stall *s;

	s = policy__open(j->bench->policy, &key, t->pid, l->name, ev->loop.start_ns, ev->now_ns,
			 threshold(j, l));
	if (!s) {
		if (errno != EEXIST)
			log_msg(LOG_WARN, MODULE, "a stall of the %s is not reported: %s", l->name,
				strerror(errno));
		return NULL;
	}
	s->ops = &loop_ops;
	s->judge = j;
	s->value = ev->loop.ver;
	policy__set_thread(s, l->tid, l->thread);
	s->start_exact = ev->loop.start_exact;
	j->count.told++;
	return s;
}

static int on_stall(struct loop_judge *j, struct target *t, const struct source_event *ev,
		    struct err *err)
{
	struct loop *l = find(j, ev->proc, ev->loop.ver_addr);
	enum verdict verdict;
	struct stall *s;

	if (!l)
		return 0;
	verdict = judge_step(j, t, l, ev->loop.ver);
	if (verdict == STEP_GONE) {
		j->count.stale++; /* its end says whether it was a stall */
		return 0;
	}
	if (verdict == STEP_NONE) {
		j->count.outside++;
		l->denied_ns = ev->loop.start_ns;
		return 0;
	}
	if (is_tracked(j, t, l, ev->loop.start_ns) ||
	    policy__find_thread(j->bench->policy, ev->proc, l->tid, &loop_ops)) {
		j->count.by_others++;
		l->denied_ns = ev->loop.start_ns;
		return 0;
	}
	s = open_stall(j, t, l, ev);
	if (!s)
		return 0;
	if (ev->now_ns < s->start_ns + s->threshold_ns) { /* the kernel knows the least of any */
		life__await(j->bench->life, t, s);
		return 0;
	}
	l->told_ns = ev->loop.start_ns;
	return life__detected(j->bench->life, t, s, ev, err);
}

static int on_end(struct loop_judge *j, struct target *t, const struct source_event *ev,
		  struct err *err)
{
	struct stall_end end = {
		.ns = ev->loop.end_ns,
		.exact = ev->loop.end_exact,
		.note = "",
	};
	struct loop *l = find(j, ev->proc, ev->loop.ver_addr);
	struct stall_key key = key_of(ev);
	struct stall *s = policy__find(j->bench->policy, &key);

	if (l && l->told_ns == ev->loop.start_ns)
		l->told_ns = 0;
	if (s)
		return life__ended(j->bench->life, t, s, &end, err);
	if (!l || !ev->loop.is_long || ev->loop.end_ns < ev->loop.start_ns + threshold(j, l) ||
	    l->denied_ns == ev->loop.start_ns)
		return 0;
	if (!was_step(l, ev->loop.ver)) {
		j->count.unsure++;
		return 0;
	}
	s = open_stall(j, t, l, ev);
	if (!s)
		return 0;
	j->count.over++;
	return life__over(j->bench->life, t, s, "no stacks: it was over before they could be taken",
			  &end, err);
}

int loop_judge__event(struct loop_judge *j, struct target *t, const struct source_event *ev,
		      struct err *err)
{
	if (ev->type == SOURCE_LOOP_ASK)
		return on_ask(j, t, ev);
	return ev->type == SOURCE_LOOP_END ? on_end(j, t, ev, err) : on_stall(j, t, ev, err);
}

bool loop_judge__tells(const struct loop_judge *j, uint32_t proc, uint64_t ident, uint64_t start_ns)
{
	for (size_t i = 0; i < j->nloops; i++) {
		const struct loop *l = &j->loop[i];
		uint64_t apart =
			start_ns > l->told_ns ? start_ns - l->told_ns : l->told_ns - start_ns;

		if (l->proc == proc && l->ident == ident && l->told_ns && apart < NEAR_NS)
			return true;
	}
	return false;
}

bool loop_judge__has_stalled(const struct loop_judge *j, uint32_t proc, uint64_t tstate)
{
	for (size_t i = 0; i < j->nloops; i++)
		if (j->loop[i].proc == proc && j->loop[i].tstate == tstate)
			return j->loop[i].told_ns;
	return false;
}

void loop_judge__stats(const struct loop_judge *j, struct strbuf *out)
{
	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
		{ "asked", j->count.asked },
		{ "found", j->count.found },
		{ "stalls", j->count.told },
		{ "over_before_seen", j->count.over },
		{ "stale", j->count.stale },
		{ "outside_of_steps", j->count.outside },
		{ "told_by_others", j->count.by_others },
		{ "unsure", j->count.unsure },
		{ "too_many_loops", j->count.overflow },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		strbuf_addf(out, "loop.%s %llu\n", lines[i].name,
			    (unsigned long long)lines[i].value);
}
