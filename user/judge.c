// SPDX-License-Identifier: MIT OR Apache-2.0
#include "judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "bench.h"
#include "bpf/slot_abi.h"
#include "life.h"
#include "loop.h"
#include "source/slot.h"
#include "stall/policy.h"
#include "stall/resolve.h"
#include "stall/threshold.h"
#include "target.h"

#define MODULE "judge"

struct judge {
	const struct bench *bench;
	struct {
		uint64_t early, told, stale, unsure, over, closed, by_loop;
	} count;
};

struct judge *judge__new(const struct bench *bench)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (j)
		j->bench = bench;
	return j;
}

void judge__free(struct judge *j)
{
	free(j);
}

static struct stall_key key_of(const struct source_event *ev)
{
	return (struct stall_key){
		.proc = ev->proc,
		.slot = ev->slot,
		.page = ev->page,
		.word = ev->word,
	};
}

/* The start by the target's word, on our clock: never before the process, never in the future. */
static uint64_t start_of(const struct target *t, const struct source_event *ev)
{
	uint64_t start = target__to_our_clock(t, ev->word);

	if (start < t->info.start_monotonic_ns)
		return t->info.start_monotonic_ns;
	return start < ev->now_ns ? start : ev->now_ns;
}

/*
 * Says what is known of a responsible thread that the walk did not show: it has ended, or it lives
 * and has no Python frames to show.
 */
static void note_absence(struct looks *l, const struct target *t, const struct slot_facts *facts)
{
	uint32_t tid = facts->hint_tid ? facts->hint_tid : facts->active_tid;

	if (tid && !target__has_thread(t, (pid_t)tid))
		err_set(&l->note, 0, "the thread that made it active (%u) has ended", tid);
	else if (!l->snap)
		return;
	else if (!facts->thread_ident)
		err_set(&l->note, 0, "no thread held the GIL when the stacks were taken");
	else
		err_set(&l->note, 0,
			"the responsible thread is not among the Python threads: it has ended");
}

static bool goes_on(void *judge, struct target *t, struct stall *s)
{
	struct slot_page_info *page = target__page(t, s->key.page);
	uint64_t end;

	(void)judge;
	return page && slot_confirm(t->mem, page, s->key.slot, s->key.word, s->value,
				    s->threshold_ns, &end) == SLOT_STILL;
}

static bool look(void *judge, struct target *t, struct stall *s, struct looks *l)
{
	struct slot_page_info *page = target__page(t, s->key.page);
	const struct judge *j = judge;
	struct slot_facts facts;
	struct culprit who;
	bool still;

	if (!page || slot_facts__read(t->mem, page, s->key.slot, &facts)) {
		err_set(&l->note, 0, "no stacks: the process ends");
		return false;
	}
	who = (struct culprit){
		.gil_holder = !facts.thread_ident,
		.ident = facts.thread_ident,
		.ns_tid = (pid_t)facts.hint_tid,
	};
	bench__look(j->bench, t, &who, l);
	if (!l->resolved.nresponsible)
		note_absence(l, t, &facts);
	still = goes_on(judge, t, s);
	if (!still && !l->note.text[0])
		err_set(&l->note, 0, "the section ended while the stacks were taken");
	return still;
}

static const struct stall_ops slot_ops = {
	.source = "slot",
	.goes_on = goes_on,
	.look = look,
};

static int tell_over(struct judge *j, struct target *t, struct stall *s, uint64_t end_ns,
		     bool exact, struct err *err)
{
	struct stall_end end = { .ns = end_ns, .exact = exact, .note = "" };

	j->count.over++;
	return life__over(j->bench->life, t, s, "no stacks: it was over before they could be taken",
			  &end, err);
}

static int tell_ended(struct judge *j, const struct target *t, struct stall *s, uint64_t end_ns,
		      bool exact, const char *note, struct err *err)
{
	struct stall_end end = { .ns = end_ns, .exact = exact, .note = note };

	return life__ended(j->bench->life, t, s, &end, err);
}

static int on_candidate(struct judge *j, struct target *t, const struct source_event *ev,
			struct err *err)
{
	struct slot_page_info *page = target__page(t, ev->page);
	struct stall_key key = key_of(ev);
	uint64_t threshold_ns;
	struct slot_facts facts;
	enum slot_truth truth;
	uint64_t end = 0;
	struct stall *s;

	if (!page)
		return 0;
	if (slot_facts__read(t->mem, page, ev->slot, &facts))
		return 0; /* the process goes: its exit will be told */
	threshold_ns = thresholds__of(j->bench->thresholds, slot_ops.source, facts.name);
	truth = slot_confirm(t->mem, page, ev->slot, ev->word, ev->value, threshold_ns, &end);
	if (truth == SLOT_WAS_SHORT || (truth == SLOT_STILL && ev->type == SOURCE_OVER)) {
		j->count.stale++;
		return 0;
	}
	/* it moved and nobody knows when: believed only if it cannot have moved before it was
	 * judged */
	if (truth == SLOT_CANNOT_SAY &&
	    (ev->on_cpu || ev->now_ns < start_of(t, ev) + threshold_ns)) {
		j->count.unsure++;
		return 0;
	}
	if (facts.closed) {
		j->count.closed++;
		return 0;
	}
	/* a tracker that was found only after its step had been told */
	if (facts.thread_ident && j->bench->loop &&
	    loop_judge__tells(j->bench->loop, ev->proc, facts.thread_ident, start_of(t, ev))) {
		j->count.by_loop++;
		return 0;
	}
	s = policy__open(j->bench->policy, &key, t->pid, facts.name, start_of(t, ev), ev->now_ns,
			 threshold_ns);
	if (!s) {
		if (errno != EEXIST)
			log_msg(LOG_WARN, MODULE, "a stall of %s is not reported: %s", facts.name,
				strerror(errno));
		return 0;
	}
	s->ops = &slot_ops;
	s->judge = j;
	s->value = ev->value;
	s->start_exact = facts.kind != SLOT_COUNTER;
	if (facts.thread_ident)
		s->tid = target__tid(t, (pid_t)facts.hint_tid);
	/* the backend judges all slots by the least threshold of any name */
	if (truth == SLOT_STILL && ev->now_ns < s->start_ns + threshold_ns) {
		j->count.early++;
		life__await(j->bench->life, t, s);
		return 0;
	}
	j->count.told++;
	if (truth == SLOT_STILL)
		return life__detected(j->bench->life, t, s, ev, err);
	if (truth == SLOT_WAS_LONG)
		return tell_over(j, t, s, target__to_our_clock(t, end), true, err);
	return tell_over(j, t, s, clock_monotonic_ns(), false, err);
}

static int on_end(struct judge *j, struct target *t, const struct source_event *ev, struct err *err)
{
	struct slot_page_info *page = target__page(t, ev->page);
	struct stall_key key = key_of(ev);
	struct stall *s = policy__find(j->bench->policy, &key);
	enum slot_truth truth = SLOT_CANNOT_SAY;
	uint64_t end = 0;

	if (!s)
		return 0; /* the candidate was not believed */
	if (page)
		truth = slot_confirm(t->mem, page, ev->slot, ev->word, ev->value, s->threshold_ns,
				     &end);
	if (truth == SLOT_WAS_LONG)
		return tell_ended(j, t, s, target__to_our_clock(t, end), true, "", err);
	/* the word as it was seen then is an upper bound; of a counter, the time of that
	 * observation */
	end = target__to_our_clock(t, ev->word_now & ~1ULL);
	return tell_ended(j, t, s, end < ev->now_ns ? end : ev->now_ns, false, "", err);
}

int judge__event(struct judge *j, struct target *t, const struct source_event *ev, struct err *err)
{
	return ev->type == SOURCE_END ? on_end(j, t, ev, err) : on_candidate(j, t, ev, err);
}

/* An open stall of a process that is gone: it ended with it, or before, as its last word tells. */
static int tell_gone(struct judge *j, struct target *t, struct stall *s, const char *why,
		     struct err *err)
{
	uint64_t word =
		j->bench->ops->last_word(j->bench->source, t->proc, s->key.page, s->key.slot);
	uint64_t now = clock_monotonic_ns(), end = target__to_our_clock(t, word & ~1ULL);

	if (word <= s->key.word || end > now)
		return tell_ended(j, t, s, now, false, why, err);
	return tell_ended(j, t, s, end, false, "", err);
}

int judge__target_gone(struct judge *j, struct target *t, const char *why, struct err *err)
{
	struct stall *s;
	int ret = 0;

	while ((s = policy__find_proc(j->bench->policy, t->proc)))
		ret = tell_gone(j, t, s, why, err) ?: ret;
	return ret;
}

void judge__stats(const struct judge *j, struct strbuf *out)
{
	strbuf_addf(out, "stalls.detected %llu\n", (unsigned long long)j->count.told);
	strbuf_addf(out, "stalls.over_before_seen %llu\n", (unsigned long long)j->count.over);
	strbuf_addf(out, "verdicts.early %llu\n", (unsigned long long)j->count.early);
	strbuf_addf(out, "verdicts.stale %llu\n", (unsigned long long)j->count.stale);
	strbuf_addf(out, "verdicts.of_closed_counters %llu\n", (unsigned long long)j->count.closed);
	strbuf_addf(out, "verdicts.told_by_loops %llu\n", (unsigned long long)j->count.by_loop);
	strbuf_addf(out, "verdicts.unsure %llu\n", (unsigned long long)j->count.unsure);
}
