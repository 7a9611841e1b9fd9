/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a backend has told and nobody has handled yet. Each process has its own queue and they take
 * turns: one that stalls thousands of times does not keep the others waiting.
 */
#ifndef PERPETUO_QUEUE_H
#define PERPETUO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "source/source.h"

struct queue;

struct queue *queue__new(void); /* NULL on lack of memory */
void queue__free(struct queue *q); /* NULL is fine */

/* 0, -ENOMEM, or -ENOSPC: too many wait of this process. EV->proc < SOURCE_MAX_PROCS. */
int queue__push(struct queue *q, const struct source_event *ev);

/* Takes the next event, of another process than the last if there is one. False: none waits. */
bool queue__pop(struct queue *q, struct source_event *out);

/* Takes the next event of PROC. */
bool queue__pop_of(struct queue *q, uint32_t proc, struct source_event *out);

bool queue__is_empty(const struct queue *q);

#endif
