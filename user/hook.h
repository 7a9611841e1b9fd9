/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * --on-stall: a shell command that is run for each new stall, with its record as one line of JSON
 * on standard input.
 *
 * One runs at a time, in a session of its own, for a bounded time; HOOK_MAX_WAITING records wait
 * for it, and what is beyond is counted and said. It runs as identity.h says, without any
 * capability, with our standard error as its output and no other descriptor of ours.
 */
#ifndef PERPETUO_HOOK_H
#define PERPETUO_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HOOK_MAX_WAITING 16
#define HOOK_MAX_BYTES (8u << 20) /* of all that waits */

struct hook;

/* What is said of a command: that it failed, that it was too slow. */
typedef void (*hook_say_fn)(void *ctx, const char *text);

/* Strings are borrowed. */
struct hook_opts {
	const char *command;
	const char *user; /* NULL: as identity__find */
	uint64_t time_ns; /* for one run */
	uint64_t last_ns; /* for all that is left when the watch ends */
};

/* 0 and *OUT, or negative errno with ERR. */
int hook__new(const struct hook_opts *opts, hook_say_fn say, void *ctx, struct hook **out,
	      struct err *err);

/* Ends what runs. NULL is fine. */
void hook__free(struct hook *h);

/* Does the command run as another user than we are? */
bool hook__needs_setuid(const struct hook *h);

/* Runs the command with RECORD (copied), now or when its turn has come. */
void hook__push(struct hook *h, const char *record, size_t len);

/* For epoll: readable when hook__dispatch has something to do. */
int hook__fd(const struct hook *h);
void hook__dispatch(struct hook *h);

/* The watch ends: gives what runs and waits some time, then ends it and says what was left. */
void hook__finish(struct hook *h);

#endif
