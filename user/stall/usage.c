// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/usage.h"

#include <errno.h>
#include <string.h>

/* What came between two points, A before B. */
struct step {
	uint64_t all;
	uint64_t sum[ACCOUNT_SUMS];
	uint64_t blocked; /* in system calls: what is in no sum */
	bool single; /* the thread was off its CPU once, then on one */
};

/* The numbers come from memory that a program writes meanwhile: none is more than the whole. */
static struct step step_between(const struct account_point *a, const struct account_point *b)
{
	struct step s = { .all = account_since(a->at, b->at) };

	s.blocked = s.all;
	for (int i = 0; i < ACCOUNT_SUMS; i++) {
		s.sum[i] = account_since(a->sum[i], b->sum[i]);
		if (s.sum[i] > s.blocked)
			s.sum[i] = s.blocked;
		s.blocked -= s.sum[i];
	}
	s.single = b->switches - a->switches <= 1;
	return s;
}

/*
 * How much of each sum falls into the last LAST ns of a step. Of a single one the order is known:
 * what it was off its CPU for, the run queue, the CPU.
 */
static void split(const struct step *s, uint64_t last, uint64_t part[ACCOUNT_SUMS])
{
	for (int i = 0; i < ACCOUNT_SUMS; i++) {
		uint64_t ns = s->sum[i];

		if (!s->single && s->all)
			ns = (uint64_t)((double)ns * (double)last / (double)s->all);
		part[i] = ns < last ? ns : last;
		if (s->single)
			last -= part[i];
	}
}

int usage__at(const struct usage_view *view, uint64_t ns, struct usage *out)
{
	const struct account_point *p = view->point;
	uint64_t part[ACCOUNT_SUMS];
	struct step step;
	size_t k = 1;

	if (view->cnt < 2 || ns < p[0].at)
		return -ENOENT;
	if (ns > p[view->cnt - 1].at)
		ns = p[view->cnt - 1].at;
	while (k < view->cnt - 1 && p[k].at < ns)
		k++;
	step = step_between(&p[k - 1], &p[k]);
	split(&step, account_since(ns, p[k].at), part);
	out->at_ns = ns;
	for (int i = 0; i < ACCOUNT_SUMS; i++)
		out->sum[i] = p[k].sum[i] - part[i];
	out->faults = p[k - 1].faults;
	return 0;
}

void usage__longest_call(const struct usage_view *view, uint64_t from_ns, uint64_t to_ns,
			 struct usage_call *out)
{
	struct usage_call call[ACCOUNT_POINTS];
	size_t cnt = 0;

	*out = (struct usage_call){ .nr = -1 };
	for (size_t k = 1; k < view->cnt; k++) {
		const struct account_point *a = &view->point[k - 1], *b = &view->point[k];
		uint64_t from = a->at > from_ns ? a->at : from_ns;
		uint64_t to = b->at < to_ns ? b->at : to_ns, ns;
		struct step step = step_between(a, b);
		size_t i = 0;

		if (a->off != ACCOUNT_CALL || a->call < 0 || to <= from || !step.all)
			continue;
		ns = (uint64_t)((double)step.blocked * (double)(to - from) / (double)step.all);
		while (i < cnt && (call[i].nr != a->call || call[i].arg != a->arg))
			i++;
		if (i == cnt)
			call[cnt++] = (struct usage_call){ a->call, a->arg, 0 };
		call[i].ns += ns;
		if (call[i].ns > out->ns)
			*out = call[i];
	}
}
