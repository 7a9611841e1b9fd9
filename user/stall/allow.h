/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Known stalls that are not to be told: a list of functions, of which a responsible stack has one.
 *
 *	# a line is FUNCTION or FILE:FUNCTION; in both * and ? fit any text
 *	Report.render
 *	*nightly.py:run_*
 */
#ifndef PERPETUO_STALL_ALLOW_H
#define PERPETUO_STALL_ALLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define ALLOW_MAX_LINES 1000
#define ALLOW_MAX_LINE 512

struct allow;
struct report_thread;

/* 0 and *OUT (allow__free), or negative errno with ERR, which quotes the line that is wrong. */
int allow__load(const char *path, struct allow **out, struct err *err);
void allow__free(struct allow *a); /* NULL is fine */

/* Is there a known function in the stacks of the responsible ones of N threads? */
bool allow__knows(const struct allow *a, const struct report_thread *thread, size_t n);

#endif
