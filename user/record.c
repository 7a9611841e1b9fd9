// SPDX-License-Identifier: MIT OR Apache-2.0
#include "record.h"

#include "base/clock.h"
#include "life.h"
#include "sink/sink.h"
#include "target.h"

void record__report(const struct record *r, struct report_stall *out)
{
	const struct stall *s = r->stall;

	*out = (struct report_stall){
		.event = r->event,
		.id = s->id,
		.source = s->ops->source,
		.name = s->name,
		.pid = s->pid,
		.tid = s->tid,
		.thread = s->thread,
		.wall_ns = clock_wall_ns(),
		.start_ns = s->start_ns,
		.reported_ns = r->reported_ns,
		.duration_ns = r->duration_ns,
		.start_exact = s->start_exact,
		.end_exact = r->end_exact,
		.note = r->note,
		.gil = s->gil.kind ? &s->gil : NULL,
		.why = r->why,
		.rate_limited = r->rate_limited,
		.suppressed = r->suppressed,
		.untold = r->untold,
	};

	if (r->target && !r->rate_limited) {
		out->cmdline = (const char *const *)r->target->cmdline;
		out->ncmdline = r->target->ncmdline;
	}
	if (r->stacks) {
		out->thread_list = r->stacks->thread;
		out->nthreads = r->stacks->nthreads;
		out->tasks = r->stacks->tasks;
		out->stacks_consistent = r->stacks->exact && r->still;
	}
}

int record__info(struct sink *sink, enum report_severity severity, pid_t pid, const char *message,
		 struct err *err)
{
	struct report_info out = {
		.severity = severity,
		.wall_ns = clock_wall_ns(),
		.message = message,
		.pid = pid,
	};

	return sink__info(sink, &out, err);
}
