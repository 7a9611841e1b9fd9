// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/summary.h"

#include <stdlib.h>
#include <string.h>

#include "stall/report.h"

/*
 * A log-linear histogram: each power of 2 is cut into 16 equal parts, so that a quantile is right
 * within 3 %. The first bucket is everything below 1 ms, the last everything above 39 hours.
 */
#define SUB_BITS 4
#define SUBS (1u << SUB_BITS)
#define FIRST_BIT 20
#define LAST_BIT 47
#define BUCKETS ((LAST_BIT - FIRST_BIT) * SUBS)

struct tracker {
	char *source, *name;
	uint64_t cnt, open, rate, allowed;
	uint64_t total_ns, least_ns, worst_ns, open_total_ns, open_worst_ns;
	uint32_t bucket[BUCKETS];
};

struct summary {
	struct tracker *tracker[SUMMARY_MAX_TRACKERS + 1]; /* the last one: all others */
	size_t cnt;
	struct report_tracker row[SUMMARY_MAX_TRACKERS + 1];
};

struct summary *summary__new(void)
{
	return calloc(1, sizeof(struct summary));
}

static void tracker__free(struct tracker *t)
{
	if (!t)
		return;
	free(t->source);
	free(t->name);
	free(t);
}

void summary__free(struct summary *s)
{
	for (size_t i = 0; s && i < s->cnt; i++)
		tracker__free(s->tracker[i]);
	free(s);
}

static struct tracker *tracker__new(const char *source, const char *name)
{
	struct tracker *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->source = strdup(source);
	t->name = strdup(name);
	if (t->source && t->name)
		return t;
	tracker__free(t);
	return NULL;
}

/* That tracker, made when it is new; the last place is that of all others. NULL: no memory. */
static struct tracker *find(struct summary *s, const char *source, const char *name)
{
	for (size_t i = 0; i < s->cnt && i < SUMMARY_MAX_TRACKERS; i++)
		if (!strcmp(s->tracker[i]->source, source) && !strcmp(s->tracker[i]->name, name))
			return s->tracker[i];
	if (s->cnt == SUMMARY_MAX_TRACKERS + 1)
		return s->tracker[SUMMARY_MAX_TRACKERS];
	if (s->cnt == SUMMARY_MAX_TRACKERS)
		s->tracker[s->cnt] = tracker__new("", SUMMARY_OTHERS);
	else
		s->tracker[s->cnt] = tracker__new(source, name);
	return s->tracker[s->cnt] ? s->tracker[s->cnt++] : NULL;
}

static size_t bucket_of(uint64_t ns)
{
	unsigned int bit;

	if (ns < 1ULL << FIRST_BIT)
		return 0;
	bit = 63 - (unsigned int)__builtin_clzll(ns);
	if (bit >= LAST_BIT)
		return BUCKETS - 1;
	return (bit - FIRST_BIT) * SUBS + (ns >> (bit - SUB_BITS) & (SUBS - 1));
}

/* The middle of a bucket. */
static uint64_t bucket_ns(size_t i)
{
	uint64_t part = 1ULL << (i / SUBS + FIRST_BIT - SUB_BITS);

	return (SUBS + i % SUBS) * part + part / 2;
}

static uint64_t quantile(const struct tracker *t, unsigned int percent)
{
	uint64_t rank = (t->cnt * percent + 99) / 100, below = 0, ns;

	for (size_t i = 0; i < BUCKETS; i++) {
		below += t->bucket[i];
		if (below < rank || !below)
			continue;
		ns = bucket_ns(i);
		if (ns < t->least_ns)
			return t->least_ns;
		return ns < t->worst_ns ? ns : t->worst_ns;
	}
	return 0;
}

void summary__add(struct summary *s, const char *source, const char *name, uint64_t duration_ns)
{
	struct tracker *t = find(s, source, name);

	if (!t)
		return;
	t->cnt++;
	t->total_ns += duration_ns;
	if (duration_ns > t->worst_ns)
		t->worst_ns = duration_ns;
	if (duration_ns < t->least_ns || t->cnt == 1)
		t->least_ns = duration_ns;
	t->bucket[bucket_of(duration_ns)]++;
}

void summary__untold(struct summary *s, const char *source, const char *name,
		     enum summary_untold why)
{
	struct tracker *t = find(s, source, name);

	if (!t)
		return;
	if (why == SUMMARY_RATE)
		t->rate++;
	else
		t->allowed++;
}

void summary__open(struct summary *s, const char *source, const char *name, uint64_t duration_ns)
{
	struct tracker *t = find(s, source, name);

	if (!t)
		return;
	t->open++;
	t->open_total_ns += duration_ns;
	if (duration_ns > t->open_worst_ns)
		t->open_worst_ns = duration_ns;
}

/* Those with the most time first. */
static int by_total(const void *a, const void *b)
{
	const struct report_tracker *x = a, *y = b;

	return (x->total_ns < y->total_ns) - (x->total_ns > y->total_ns);
}

void summary__report(struct summary *s, struct report_summary *out)
{
	out->tracker_list = s->row;
	out->ntrackers = s->cnt;
	out->stalls = 0;
	for (size_t i = 0; i < s->cnt; i++) {
		struct tracker *t = s->tracker[i];

		s->row[i] = (struct report_tracker){
			.source = t->source,
			.name = t->name,
			.cnt = t->cnt + t->open,
			.open = t->open,
			.total_ns = t->total_ns + t->open_total_ns,
			.worst_ns = t->worst_ns > t->open_worst_ns ? t->worst_ns : t->open_worst_ns,
			.p50_ns = quantile(t, 50),
			.p99_ns = quantile(t, 99),
			.untold = t->rate,
			.allowed = t->allowed,
		};
		out->stalls += s->row[i].cnt;
		t->open = t->open_total_ns = t->open_worst_ns = 0;
	}
	qsort(s->row, s->cnt, sizeof(s->row[0]), by_total);
}
