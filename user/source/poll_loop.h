/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Event loops of one process, for the poll backend: those that the program has registered. They run
 * the state machine of the kernel backend (bpf/loop_state.h).
 *
 * A look is one read of eight bytes. While the count of steps stands still in a step, it is also
 * asked in which system call the thread is; a loop that waits is not asked about until it moves.
 */
#ifndef PERPETUO_SOURCE_POLL_LOOP_H
#define PERPETUO_SOURCE_POLL_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "source/source.h"

struct mem;
struct poll_loops;
struct stall_pause;

/* A look at all of them. */
struct poll_loop_pass {
	uint32_t proc;
	pid_t pid;
	struct mem *mem;
	const struct stall_pause *pause;
	int64_t clock_off; /* of that: the target's CLOCK_MONOTONIC minus ours */
	uint64_t now_ns; /* CLOCK_MONOTONIC here */
	uint64_t threshold_ns;
	source_event_fn fn;
	void *ctx;
};

/* A loop of process PID; *LOOPS is NULL before its first. 0, -ENOSPC, -ENOMEM. */
int poll_loops__set(struct poll_loops **loops, pid_t pid, const struct source_loop *loop);
void poll_loops__free(struct poll_loops *loops); /* NULL is fine */

/* Is a step open? NULL is fine. */
bool poll_loops__busy(const struct poll_loops *loops);

/* Looks, and tells SOURCE_LOOP_*. *DEADLINE gets earlier (CLOCK_MONOTONIC here) if a step would be
 * a stall before. NULL is fine. */
void poll_loops__judge(struct poll_loops *loops, const struct poll_loop_pass *pass,
		       uint64_t *deadline);

#endif
