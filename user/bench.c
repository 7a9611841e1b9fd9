// SPDX-License-Identifier: MIT OR Apache-2.0
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"
#include "py/python.h"
#include "stall/policy.h"
#include "target.h"

#define MODULE "bench"

#define WALK_TIMEOUT_NS (500 * NSEC_PER_MSEC)
/* For the tasks that wait, where there are event loops: nearly twice what 10,000 of them take. */
#define TASKS_NS (40 * NSEC_PER_MSEC)
#define POSITIONS_NS (10 * NSEC_PER_MSEC)
#define MAX_POSITIONS 4 /* who is responsible, who holds the GIL */
#define WAITS_NS (5 * NSEC_PER_MSEC) /* for what the responsible thread waits for */

static void find_positions(const struct bench *b, const struct target *t, struct looks *l)
{
	const struct position_means means = {
		.pid = t->pid,
		.mem = t->mem,
		.ops = b->ops,
		.source = b->source,
		.deadline_ns = clock_monotonic_ns() + POSITIONS_NS,
		.most = MAX_POSITIONS,
	};

	positions__find(&l->positions, &means, l->snap, &l->resolved, false);
}

void bench__look(const struct bench *b, struct target *t, const struct culprit *who,
		 struct looks *l)
{
	struct py_walk_opts wo = {
		.timeout_ns = WALK_TIMEOUT_NS,
		.capture = b->ops->capture,
		.capture_ctx = b->source,
		.tasks = PY_TASKS_BRIEF,
		.tasks_ns = TASKS_NS,
		.locals = b->redact,
	};
	struct waits waits = { .pid = t->pid, .mem = t->mem };
	struct err why = { { 0 } };
	struct python *py = target__python(t, &why);

	if (!py || python__walk(py, &wo, &l->snap, &why))
		err_set(&l->note, 0, "no stacks: %s", why.text);
	if (resolved__init(&l->resolved, l->snap, who))
		err_set(&l->note, 0, "no stacks: out of memory");
	waits.deadline_ns = clock_monotonic_ns() + WAITS_NS;
	resolved__look(&l->resolved, l->snap, &waits, false);
	find_positions(b, t, l);
}

void looks__free(struct looks *l)
{
	resolved__free(&l->resolved);
	positions__free(&l->positions);
	py_snapshot__free(l->snap);
}

void bench__log_delays(const struct stall *s, const struct source_event *ev)
{
	uint64_t written_ns = clock_monotonic_ns();

	log_msg(LOG_DEBUG, MODULE,
		"stall %s: judged %.3f ms after the threshold, written %.3f ms after that", s->id,
		((double)ev->now_ns - (double)s->start_ns - (double)s->threshold_ns) / 1e6,
		((double)written_ns - (double)ev->now_ns) / 1e6);
}
