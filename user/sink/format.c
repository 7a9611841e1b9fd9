// SPDX-License-Identifier: MIT OR Apache-2.0
#include "sink/format.h"

#include <string.h>

/* Punctuation, indentation, keys: what a frame costs beside its names. */
#define FRAME_OVERHEAD 96

/* Likewise of a variable. */
#define LOCAL_OVERHEAD 32

static size_t locals_cost(const struct report_frame *f)
{
	size_t cost = 0;

	for (size_t i = 0; i < f->nlocals; i++)
		cost += LOCAL_OVERHEAD + strlen(f->local[i].name) +
			(f->local[i].value ? strlen(f->local[i].value) : 0);
	return cost;
}

/* Frames that lie inside of those that were left out. */
static size_t inner(const struct report_thread *t)
{
	return t->outer < t->nframes ? t->nframes - t->outer : t->nframes;
}

size_t format_cut_at(const struct report_thread *t, size_t shown)
{
	return shown == t->nframes && t->cut ? shown - inner(t) : 0;
}

size_t format_frames(const struct report_thread *t, size_t *budget)
{
	const struct report_frame *f;
	size_t cost;

	for (size_t i = 0; i < t->nframes; i++) {
		f = &t->frame[i];
		cost = FRAME_OVERHEAD + strlen(f->name) + strlen(f->file) + locals_cost(f);
		if (cost > *budget) {
			*budget = 0;
			return i < inner(t) ? i : inner(t);
		}
		*budget -= cost;
	}
	return t->nframes;
}

size_t format_task_frames(const struct report_task *t, size_t *budget)
{
	const struct report_thread chain = { .frame = t->frame, .nframes = t->nframes };

	return format_frames(&chain, budget);
}

uint64_t format_start_wall_ns(const struct report_stall *r)
{
	uint64_t ago = r->reported_ns > r->start_ns ? r->reported_ns - r->start_ns : 0;

	return r->wall_ns > ago ? r->wall_ns - ago : 0;
}

const char *format_message(enum report_event event)
{
	switch (event) {
	case REPORT_CONTINUES:
		return "Stall continues";
	case REPORT_ENDED:
		return "Stall ended";
	case REPORT_DETECTED:
	default:
		return "Stall detected";
	}
}
