// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEP (1ULL << 60) /* a stall of 36 years continues no more */

#define NSEC_PER_SEC 1000000000ULL

/*
 * A number of events in a second, after a burst: the time at which all that were taken would have
 * been evenly spread is at most a burst ahead of now.
 */
struct rate {
	uint64_t spread_ns;
};

/* When a tracker last had a record with stacks. */
struct budget {
	pid_t pid;
	char *name;
	uint64_t last_ns; /* of the record with stacks */
	uint64_t used_ns; /* of any record: the stalest entry makes room */
	uint64_t suppressed;
	struct rate rate;
	uint64_t untold; /* stalls since the last that was told */
};

/* How many stalls of a process were told. */
struct proc_rate {
	pid_t pid;
	struct rate rate;
};

struct policy {
	struct policy_opts opts;
	struct policy_counts counts;
	struct stall **open; /* in no order; few are open at a time */
	size_t open_cap;
	struct budget *budget;
	size_t nbudgets;
	struct proc_rate *proc;
	size_t nprocs;
	uint64_t next_id;
};

struct policy *policy__new(const struct policy_opts *opts)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->opts = *opts;
	p->next_id = 1;
	return p;
}

static void stall__free(struct stall *s)
{
	if (!s)
		return;
	trail__clear(&s->trail);
	free(s->cause);
	free(s->name);
	free(s->thread);
	free(s);
}

void policy__free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->counts.open; i++)
		stall__free(p->open[i]);
	for (size_t i = 0; i < p->nbudgets; i++)
		free(p->budget[i].name);
	free(p->open);
	free(p->budget);
	free(p->proc);
	free(p);
}

static bool same_section(const struct stall_key *a, const struct stall_key *b)
{
	return a->proc == b->proc && a->slot == b->slot && a->page == b->page && a->word == b->word;
}

struct stall *policy__find(struct policy *p, const struct stall_key *key)
{
	for (size_t i = 0; i < p->counts.open; i++)
		if (same_section(&p->open[i]->key, key))
			return p->open[i];
	return NULL;
}

struct stall *policy__find_proc(struct policy *p, uint32_t proc)
{
	for (size_t i = 0; i < p->counts.open; i++)
		if (p->open[i]->key.proc == proc)
			return p->open[i];
	return NULL;
}

struct stall *policy__find_thread(struct policy *p, uint32_t proc, pid_t tid,
				  const struct stall_ops *ops)
{
	for (size_t i = 0; i < p->counts.open; i++) {
		struct stall *s = p->open[i];

		if (s->key.proc == proc && s->tid == tid && s->ops != ops)
			return s;
	}
	return NULL;
}

/* Room for one more open stall. 0, -ENOSPC, -ENOMEM. */
static int reserve_open(struct policy *p)
{
	size_t cap = p->open_cap ? p->open_cap * 2 : 16;
	struct stall **open;

	if (p->counts.open < p->open_cap)
		return 0;
	if (p->counts.open >= POLICY_MAX_OPEN) {
		p->counts.overflow++;
		return -ENOSPC;
	}
	open = reallocarray(p->open, cap, sizeof(*open));
	if (!open)
		return -ENOMEM;
	p->open = open;
	p->open_cap = cap;
	return 0;
}

struct stall *policy__open(struct policy *p, const struct stall_key *key, pid_t pid,
			   const char *name, uint64_t start_ns, uint64_t now_ns,
			   uint64_t threshold_ns)
{
	struct stall *s;
	int err;

	if (policy__find(p, key)) {
		errno = EEXIST;
		return NULL;
	}
	err = reserve_open(p);
	if (err) {
		errno = -err;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = *key;
	s->pid = pid;
	s->start_ns = start_ns;
	s->detected_ns = now_ns;
	s->threshold_ns = threshold_ns;
	stall__advance(s, now_ns);
	s->name = strdup(name);
	s->thread = strdup("");
	if (!s->name || !s->thread) {
		stall__free(s);
		errno = ENOMEM;
		return NULL;
	}
	snprintf(s->id, sizeof(s->id), "%d-%llu", (int)pid, (unsigned long long)p->next_id++);
	p->open[p->counts.open++] = s;
	p->counts.detected++;
	return s;
}

int policy__set_thread(struct stall *s, pid_t tid, const char *thread)
{
	char *copy = strdup(thread);

	if (!copy)
		return -ENOMEM;
	free(s->thread);
	s->thread = copy;
	s->tid = tid;
	return 0;
}

uint64_t policy__next(const struct policy *p)
{
	uint64_t next = 0;

	for (size_t i = 0; i < p->counts.open; i++)
		if (!next || p->open[i]->next_ns < next)
			next = p->open[i]->next_ns;
	return next;
}

struct stall *policy__due(struct policy *p, uint64_t now_ns)
{
	for (size_t i = 0; i < p->counts.open; i++)
		if (p->open[i]->next_ns <= now_ns)
			return p->open[i];
	return NULL;
}

void stall__advance(struct stall *s, uint64_t now_ns)
{
	uint64_t begin = s->start_ns + s->stopped_ns, step = s->threshold_ns;

	if (!step)
		step = 1;
	while ((int64_t)(begin + 2 * step - now_ns) <= 0 && step < MAX_STEP)
		step *= 2;
	s->next_ns = begin + 2 * step;
}

bool stall__stopped(struct stall *s, uint64_t stopped_ns)
{
	if (stopped_ns <= s->stopped_ns)
		return false;
	s->next_ns += stopped_ns - s->stopped_ns;
	s->stopped_ns = stopped_ns;
	return true;
}

void stall__postpone(struct stall *s, uint64_t when_ns)
{
	if (s->next_ns < when_ns)
		s->next_ns = when_ns;
}

void policy__close(struct policy *p, struct stall *s)
{
	for (size_t i = 0; i < p->counts.open; i++) {
		if (p->open[i] != s)
			continue;
		p->open[i] = p->open[--p->counts.open];
		p->counts.ended++;
		stall__free(s);
		return;
	}
}

static struct budget *stalest(struct policy *p)
{
	struct budget *b = &p->budget[0];

	for (size_t i = 1; i < p->nbudgets; i++)
		if (p->budget[i].used_ns < b->used_ns)
			b = &p->budget[i];
	return b;
}

/* The budget of a tracker, made when it is new. NULL: no memory. */
static struct budget *budget_of(struct policy *p, const struct stall *s)
{
	struct budget *b;
	char *name;

	for (size_t i = 0; i < p->nbudgets; i++)
		if (p->budget[i].pid == s->pid && !strcmp(p->budget[i].name, s->name))
			return &p->budget[i];
	name = strdup(s->name);
	if (!name)
		return NULL;
	if (p->nbudgets < POLICY_MAX_TRACKERS) {
		b = reallocarray(p->budget, p->nbudgets + 1, sizeof(*b));
		if (!b) {
			free(name);
			return NULL;
		}
		p->budget = b;
		b = &p->budget[p->nbudgets++];
	} else {
		b = stalest(p);
		free(b->name);
	}
	*b = (struct budget){ .pid = s->pid, .name = name };
	return b;
}

bool policy__take_stacks(struct policy *p, struct stall *s, uint64_t now_ns, uint64_t *suppressed)
{
	struct budget *b;

	*suppressed = 0;
	if (s->has_stacks)
		return true;
	s->has_stacks = true;
	b = budget_of(p, s);
	if (!b)
		return true; /* no memory for the rate: rather one stack too many */
	b->used_ns = now_ns;
	if (b->last_ns && now_ns - b->last_ns < p->opts.suppress_ns) {
		*suppressed = ++b->suppressed;
		p->counts.suppressed++;
		s->has_stacks = false;
		return false;
	}
	*suppressed = b->suppressed;
	b->suppressed = 0;
	b->last_ns = now_ns;
	return true;
}

static bool rate__has(const struct rate *r, uint64_t now_ns, unsigned int per_s, unsigned int burst)
{
	return r->spread_ns <= now_ns + (burst - 1) * (NSEC_PER_SEC / per_s);
}

static void rate__take(struct rate *r, uint64_t now_ns, unsigned int per_s)
{
	r->spread_ns = (r->spread_ns > now_ns ? r->spread_ns : now_ns) + NSEC_PER_SEC / per_s;
}

/* That of a process; of many, the one that was quiet for longest makes room. NULL: no memory. */
static struct rate *rate_of_proc(struct policy *p, pid_t pid)
{
	struct proc_rate *pr, *quiet = p->proc;

	for (size_t i = 0; i < p->nprocs; i++) {
		if (p->proc[i].pid == pid)
			return &p->proc[i].rate;
		if (p->proc[i].rate.spread_ns < quiet->rate.spread_ns)
			quiet = &p->proc[i];
	}
	if (p->nprocs < POLICY_MAX_PROCS) {
		pr = reallocarray(p->proc, p->nprocs + 1, sizeof(*pr));
		if (!pr)
			return NULL;
		p->proc = pr;
		quiet = &p->proc[p->nprocs++];
	}
	*quiet = (struct proc_rate){ .pid = pid };
	return &quiet->rate;
}

bool policy__may_tell(struct policy *p, struct stall *s, uint64_t now_ns)
{
	const struct rate *all = rate_of_proc(p, s->pid);
	struct budget *b = budget_of(p, s);

	if (!b || !all)
		return true; /* no memory for the rate: rather one record too many */
	b->used_ns = now_ns;
	if (rate__has(&b->rate, now_ns, POLICY_TRACKER_PER_S, POLICY_TRACKER_BURST) &&
	    rate__has(all, now_ns, POLICY_PROCESS_PER_S, POLICY_PROCESS_BURST))
		return true;
	if (!s->limited) {
		b->untold++;
		p->counts.limited++;
	}
	s->limited = true;
	return false;
}

uint64_t policy__tell(struct policy *p, struct stall *s, uint64_t now_ns)
{
	struct rate *all = rate_of_proc(p, s->pid);
	struct budget *b = budget_of(p, s);
	uint64_t untold;

	s->told = true;
	if (!b || !all)
		return 0;
	rate__take(&b->rate, now_ns, POLICY_TRACKER_PER_S);
	rate__take(all, now_ns, POLICY_PROCESS_PER_S);
	untold = b->untold;
	if (s->limited && untold)
		untold--; /* this one is told now */
	b->untold = 0;
	return untold;
}

const struct stall *policy__open_stall(const struct policy *p, size_t i)
{
	return p->open[i];
}

struct policy_counts policy__counts(const struct policy *p)
{
	return p->counts;
}
