/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The options as data: one row each, which drives parsing, defaults, ranges and --help; and the
 * values that they take. options.c alone uses it.
 */
#ifndef PERPETUO_KNOBS_H
#define PERPETUO_KNOBS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "options.h"

#define KNOBS_MAX 80 /* rows: room for getopt_long's copy of them, aliases included */

struct knob {
	const char *section; /* title in --help before this row */
	const char *name;
	const char *alias; /* another long name */
	int key; /* short option, 0 = none */
	const char *arg; /* name of its argument, NULL = takes none */
	const char *help; /* further lines behind '\n' */
	const char *def; /* default, as if it had been given */
	/* 0, or -EINVAL with a line in ERR that quotes VALUE and says what is allowed */
	int (*set)(struct options *o, const struct knob *k, const char *value, struct err *err);
	size_t off; /* of the member that it sets */
	uint64_t min, max; /* durations: what is allowed, in ns */
	enum options_mode mode; /* set_mode */
};

#define KNOB_WANTS "--%s wants " /* what every complaint about a value begins with */

extern const struct knob knobs[];
extern const size_t nknobs;

/* A process id. 0 or -EINVAL. */
int knob_parse_pid(const char *text, pid_t *pid);

/* The same, into the list of O, for WHO ("pid", or a command) and with a line in ERR. */
int knob_add_pid(struct options *o, const char *who, const char *value, struct err *err);

#endif
