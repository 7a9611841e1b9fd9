// SPDX-License-Identifier: MIT OR Apache-2.0
#include "life.h"

#include <stdlib.h>

#include "base/clock.h"
#include "bench.h"
#include "record.h"
#include "stall/policy.h"
#include "stall/trail.h"
#include "target.h"

/* A stopped target is looked at again so often, for whether it goes on. */
#define STOPPED_RETRY_NS (500 * NSEC_PER_MSEC)

/* A stall of which it cannot be said whether it goes on: most likely its end is about to be told.
 */
#define UNSURE_RETRY_NS (50 * NSEC_PER_MSEC)

struct life {
	const struct bench *bench;
	struct {
		uint64_t continued, unsure, stopped;
	} count;
};

struct life *life__new(const struct bench *bench)
{
	struct life *l = calloc(1, sizeof(*l));

	if (l)
		l->bench = bench;
	return l;
}

void life__free(struct life *l)
{
	free(l);
}

static uint64_t since(uint64_t start_ns, uint64_t now_ns)
{
	return now_ns > start_ns ? now_ns - start_ns : 0;
}

/* A record of a stall that goes on, with stacks unless the rate of its tracker forbids. */
static int tell(struct life *l, enum report_event event, struct target *t, struct stall *s,
		uint64_t now_ns, struct err *err)
{
	struct record r = { .event = event, .target = t, .stall = s };
	struct looks looks = { 0 };
	int ret;

	s->told = true;
	r.rate_limited = !policy__take_stacks(l->bench->policy, s, now_ns, &r.suppressed);
	if (!r.rate_limited) {
		r.still = s->ops->look(s->judge, t, s, &looks);
		r.stacks = &looks.resolved;
		if (looks.resolved.nresponsible)
			policy__set_thread(s, looks.resolved.thread[0].tid,
					   looks.resolved.thread[0].name);
		trail__follow(&s->trail, looks.resolved.thread, looks.resolved.nthreads);
	}
	r.reported_ns = clock_monotonic_ns();
	r.duration_ns = since(s->start_ns, r.reported_ns);
	if (s->ops->say)
		s->ops->say(s->judge, t, s, r.duration_ns, &looks);
	r.note = looks.note.text;
	ret = record__write(l->bench->sink, &r, err);
	looks__free(&looks);
	return ret;
}

int life__detected(struct life *l, struct target *t, struct stall *s, const struct source_event *ev,
		   struct err *err)
{
	bool now_stopped;
	int ret;

	s->stopped_before_ns = l->bench->ops->stopped_ns(l->bench->source, t->proc, &now_stopped);
	ret = tell(l, REPORT_DETECTED, t, s, ev->now_ns, err);
	if (!ret)
		bench__log_delays(s, ev);
	return ret;
}

void life__await(struct life *l, const struct target *t, struct stall *s)
{
	bool now_stopped;

	s->stopped_before_ns = l->bench->ops->stopped_ns(l->bench->source, t->proc, &now_stopped);
	s->next_ns = s->start_ns + s->threshold_ns;
}

int life__ended(struct life *l, const struct target *t, struct stall *s,
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
	int ret = s->told ? record__write(l->bench->sink, &r, err) : 0;

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
	int ret = record__write(l->bench->sink, &r, err), last;

	s->told = true;
	last = life__ended(l, t, s, end, err);
	return ret ? ret : last;
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
	if (!s->told)
		return tell(l, REPORT_DETECTED, t, s, now_ns, err);
	l->count.continued++;
	return tell(l, REPORT_CONTINUES, t, s, now_ns, err);
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
	strbuf_addf(out, "stalls.too_many_open %llu\n", (unsigned long long)c.overflow);
	strbuf_addf(out, "stalls.not_sure_to_continue %llu\n", (unsigned long long)l->count.unsure);
	strbuf_addf(out, "stalls.put_off_while_stopped %llu\n",
		    (unsigned long long)l->count.stopped);
}
