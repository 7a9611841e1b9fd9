/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * `perpetuo-bpf top`: a page, or a JSON object, once a second. The watch itself is a session like
 * any other, whose records come here instead of going out.
 */
#ifndef PERPETUO_TOP_H
#define PERPETUO_TOP_H

#include <stdbool.h>

#include "base/err.h"
#include "options.h"

struct source;
struct source_ops;
struct target;
struct top;

/* OPTS is borrowed. 0 and *OUT, or negative errno with ERR. */
int top__new(const struct options *opts, struct top **out, struct err *err);
void top__free(struct top *t); /* NULL is fine; gives the terminal back as it was */

int top__records_fd(const struct top *t); /* where the session is to write its records, as JSON */
int top__fd(const struct top *t); /* readable when top__dispatch has something to do */
void top__start(struct top *t); /* the first refresh comes in a second */
bool top__has_shown(const struct top *t);

/*
 * Shows TARGET (SOURCE_MAX_PROCS of them, NULL = none) if that is due. 1: the user wants no more;
 * negative errno with ERR: nobody reads.
 */
int top__dispatch(struct top *t, const struct source_ops *ops, struct source *source,
		  struct target *const *target, struct err *err);

#endif
