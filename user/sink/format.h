/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What every format of a record needs: names of things, the clock of a person, a ceiling. */
#ifndef PERPETUO_SINK_FORMAT_H
#define PERPETUO_SINK_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "stall/report.h"

/* Frames of one record, in bytes of text: a hostile target must not make records without end. */
#define FORMAT_MAX_FRAME_BYTES (4u << 20)

/* Likewise of the tasks in the record of a stall: it is about the threads. */
#define FORMAT_MAX_TASK_BYTES (256u << 10)

/*
 * How many of the innermost frames of T still fit into *BUDGET, which is lowered by them. It begins
 * as FORMAT_MAX_FRAME_BYTES, and threads are asked in the order in which they are shown.
 */
size_t format_frames(const struct report_thread *t, size_t *budget);

/* So many of the SHOWN frames lie outside of those that were left out; 0: they were left out there.
 */
size_t format_cut_at(const struct report_thread *t, size_t shown);

/* The same of the frames of a task. */
size_t format_task_frames(const struct report_task *t, size_t *budget);

/* When the stall began, CLOCK_REALTIME: the clock may have been set since, so it is reckoned back
 * from the time of the record. */
uint64_t format_start_wall_ns(const struct report_stall *r);

/* "Stall detected", "Stall continues", "Stall ended" */
const char *format_message(enum report_event event);

#endif
