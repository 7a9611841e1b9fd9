// SPDX-License-Identifier: MIT OR Apache-2.0
#include "life.h"

#include <stdlib.h>

#include "base/clock.h"
#include "bench.h"
#include "hook.h"
#include "record.h"
#include "sink/sink.h"
#include "stall/allow.h"
#include "stall/policy.h"
#include "stall/summary.h"
#include "stall/trail.h"
#include "target.h"
#include "why.h"

/* A stopped target is looked at again so often, for whether it goes on. */
#define STOPPED_RETRY_NS (500 * NSEC_PER_MSEC)

/* A stall of which it cannot be said whether it goes on: most likely its end is about to be told.
 */
#define UNSURE_RETRY_NS (50 * NSEC_PER_MSEC)

struct life {
	const struct bench *bench;
	struct life_opts opts;
	struct summary *summary;
	bool saw_stall; /* that is over */
	struct {
		uint64_t continued, unsure, stopped, allowed;
	} count;
};

struct life *life__new(const struct bench *bench, const struct life_opts *opts)
{
	struct life *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->bench = bench;
	l->opts = *opts;
	l->summary = summary__new();
	if (!l->summary) {
		free(l);
		return NULL;
	}
	return l;
}

void life__free(struct life *l)
{
	if (!l)
		return;
	summary__free(l->summary);
	free(l);
}

static uint64_t since(uint64_t start_ns, uint64_t now_ns)
{
	return now_ns > start_ns ? now_ns - start_ns : 0;
}

/* A new stall is also handed to the command that waits for one. */
static int write_record(struct life *l, const struct record *r, bool is_new, struct err *err)
{
	const struct sink_style style = { .locals = l->opts.locals };
	struct strbuf json = STRBUF_INIT;
	struct report_stall out;

	record__report(r, &out);
	if (is_new && l->opts.hook) {
		sink_json.stall(&json, &style, &out);
		if (strbuf_str(&json))
			hook__push(l->opts.hook, json.data, json.len);
		strbuf_free(&json);
	}
	return sink__stall(l->bench->sink, &out, err);
}

/* Adds the stacks to R, unless the rate of the tracker forbids. LOOKED: they were taken already. */
static void add_stacks(struct life *l, struct record *r, struct target *t, struct stall *s,
		       struct looks *looks, bool looked, uint64_t now_ns)
{
	r->rate_limited = !policy__take_stacks(l->bench->policy, s, now_ns, &r->suppressed);
	if (r->rate_limited)
		return;
	if (!looked)
		r->still = s->ops->look(s->judge, t, s, looks);
	r->stacks = &looks->resolved;
	if (looks->resolved.nresponsible)
		policy__set_thread(s, looks->resolved.thread[0].tid,
				   looks->resolved.thread[0].name);
	trail__follow(&s->trail, looks->resolved.thread, looks->resolved.nthreads);
}

/* True if the stall is a known one, by the stacks that are taken for it. */
static bool is_allowed(struct life *l, struct record *r, struct target *t, struct stall *s,
		       struct looks *looks)
{
	r->still = s->ops->look(s->judge, t, s, looks);
	if (!allow__knows(l->opts.allow, looks->resolved.thread, looks->resolved.nthreads))
		return false;
	if (!s->allowed)
		l->count.allowed++;
	s->allowed = true;
	return true;
}

/* A record of a stall that goes on; of one that has none yet, if the rate and the list of known
 * stalls allow for one. */
static int tell(struct life *l, struct target *t, struct stall *s, uint64_t now_ns, struct err *err)
{
	struct record r = { .event = REPORT_CONTINUES, .target = t, .stall = s };
	bool is_new = !s->told, looked = is_new && l->opts.allow;
	struct looks looks = { 0 };
	struct why why;
	int ret = 0;

	if (is_new && !policy__may_tell(l->bench->policy, s, now_ns))
		return 0;
	if (looked && is_allowed(l, &r, t, s, &looks))
		goto out;
	if (is_new) {
		r.event = REPORT_DETECTED;
		r.untold = policy__tell(l->bench->policy, s, now_ns);
	} else {
		l->count.continued++;
	}
	add_stacks(l, &r, t, s, &looks, looked, now_ns);
	r.reported_ns = clock_monotonic_ns();
	r.duration_ns = since(s->start_ns, r.reported_ns);
	if (s->ops->say)
		s->ops->say(s->judge, t, s, r.duration_ns, &looks);
	r.note = looks.note.text;
	r.why = why__tell(l->bench, t, s, &looks, r.reported_ns, &why);
	ret = write_record(l, &r, is_new, err);
out:
	looks__free(&looks);
	return ret;
}

int life__detected(struct life *l, struct target *t, struct stall *s, const struct source_event *ev,
		   struct err *err)
{
	bool now_stopped;
	int ret;

	s->stopped_before_ns = l->bench->ops->stopped_ns(l->bench->source, t->proc, &now_stopped);
	ret = tell(l, t, s, ev->now_ns, err);
	if (!ret && s->told)
		bench__log_delays(s, ev);
	return ret;
}

void life__await(struct life *l, const struct target *t, struct stall *s)
{
	bool now_stopped;

	s->stopped_before_ns = l->bench->ops->stopped_ns(l->bench->source, t->proc, &now_stopped);
	s->next_ns = s->start_ns + s->threshold_ns;
}

/* Was it one, or was it found too early and never became one, or is it known? */
static bool is_stall(const struct stall *s)
{
	return s->told || s->limited;
}

static void account(struct life *l, const struct stall *s, uint64_t duration_ns)
{
	const char *source = s->ops->source;

	if (is_stall(s)) {
		l->saw_stall = true;
		summary__add(l->summary, source, s->name, duration_ns);
	}
	if (!s->told && s->limited)
		summary__untold(l->summary, source, s->name, SUMMARY_RATE);
	else if (!s->told && s->allowed)
		summary__untold(l->summary, source, s->name, SUMMARY_ALLOWED);
}

static int close_stall(struct life *l, const struct target *t, struct stall *s,
		       const struct stall_end *end, struct err *err)
{
	struct record r = {
		.event = REPORT_ENDED,
		.target = t,
		.stall = s,
		.reported_ns = clock_monotonic_ns(),
		.duration_ns = since(s->start_ns, end->ns),
		.end_exact = end->exact,
		.note = end->note,
	};
	struct why why;
	int ret = 0;

	if (s->told) {
		r.why = why__tell(l->bench, t, s, NULL, end->ns, &why);
		ret = write_record(l, &r, false, err);
	}
	account(l, s, r.duration_ns);
	policy__close(l->bench->policy, s);
	return ret;
}

int life__over(struct life *l, const struct target *t, struct stall *s, const char *note,
	       const struct stall_end *end, struct err *err)
{
	struct record r = {
		.event = REPORT_DETECTED,
		.target = t,
		.stall = s,
		.reported_ns = clock_monotonic_ns(),
		.duration_ns = since(s->start_ns, end->ns),
		.note = note,
	};
	struct why why;
	int ret = 0, last;

	if (policy__may_tell(l->bench->policy, s, r.reported_ns)) {
		r.why = why__tell(l->bench, t, s, NULL, end->ns, &why);
		r.untold = policy__tell(l->bench->policy, s, r.reported_ns);
		ret = write_record(l, &r, true, err);
	}
	last = close_stall(l, t, s, end, err);
	return ret ? ret : last;
}

/* It was found too early, and when it was a stall nobody came to look: the loader was kept busy. */
static bool was_missed(const struct life *l, const struct target *t, const struct stall *s,
		       uint64_t end_ns)
{
	bool now_stopped;
	uint64_t stopped;

	if (is_stall(s) || s->allowed)
		return false;
	stopped = l->bench->ops->stopped_ns(l->bench->source, t->proc, &now_stopped);
	return since(s->start_ns, end_ns) >= s->threshold_ns + since(s->stopped_before_ns, stopped);
}

int life__ended(struct life *l, const struct target *t, struct stall *s,
		const struct stall_end *end, struct err *err)
{
	if (was_missed(l, t, s, end->ns))
		return life__over(l, t, s, "no stacks: it was over before they could be taken", end,
				  err);
	return close_stall(l, t, s, end, err);
}

bool life__saw_stall(const struct life *l)
{
	for (size_t i = 0; i < policy__counts(l->bench->policy).open; i++)
		if (is_stall(policy__open_stall(l->bench->policy, i)))
			return true;
	return l->saw_stall;
}

int life__summarize(struct life *l, bool always, struct err *err)
{
	struct report_summary out = { .wall_ns = clock_wall_ns() };
	uint64_t now = clock_monotonic_ns();

	for (size_t i = 0; i < policy__counts(l->bench->policy).open; i++) {
		const struct stall *s = policy__open_stall(l->bench->policy, i);

		if (is_stall(s))
			summary__open(l->summary, s->ops->source, s->name, since(s->start_ns, now));
	}
	summary__report(l->summary, &out);
	return always || out.ntrackers ? sink__summary(l->bench->sink, &out, err) : 0;
}

uint64_t life__next(const struct life *l)
{
	return policy__next(l->bench->policy);
}

/* What is due is told, or put off: a target that is stopped has no stall that continues. */
static int go_on(struct life *l, struct target *t, struct stall *s, uint64_t now_ns,
		 struct err *err)
{
	bool now_stopped;
	uint64_t stopped = l->bench->ops->stopped_ns(l->bench->source, t->proc, &now_stopped);

	if (stall__stopped(s, since(s->stopped_before_ns, stopped)))
		l->count.stopped++;
	if (now_stopped)
		stall__postpone(s, now_ns + STOPPED_RETRY_NS);
	if (s->next_ns > now_ns)
		return 0;
	if (!s->ops->goes_on(s->judge, t, s)) {
		l->count.unsure++;
		stall__postpone(s, now_ns + UNSURE_RETRY_NS);
		return 0;
	}
	stall__advance(s, now_ns);
	return tell(l, t, s, now_ns, err);
}

int life__run(struct life *l, struct target *const *target, uint64_t now_ns, bool *done,
	      struct err *err)
{
	struct stall *s = policy__due(l->bench->policy, now_ns);

	*done = !s;
	return s ? go_on(l, target[s->key.proc], s, now_ns, err) : 0;
}

void life__stats(const struct life *l, struct strbuf *out)
{
	struct policy_counts c = policy__counts(l->bench->policy);

	strbuf_addf(out, "stalls.ended %llu\n", (unsigned long long)c.ended);
	strbuf_addf(out, "stalls.continued %llu\n", (unsigned long long)l->count.continued);
	strbuf_addf(out, "stalls.without_stacks_by_rate %llu\n", (unsigned long long)c.suppressed);
	strbuf_addf(out, "stalls.limited_by_rate %llu\n", (unsigned long long)c.limited);
	strbuf_addf(out, "stalls.allowed %llu\n", (unsigned long long)l->count.allowed);
	strbuf_addf(out, "stalls.too_many_open %llu\n", (unsigned long long)c.overflow);
	strbuf_addf(out, "stalls.not_sure_to_continue %llu\n", (unsigned long long)l->count.unsure);
	strbuf_addf(out, "stalls.put_off_while_stopped %llu\n",
		    (unsigned long long)l->count.stopped);
}
