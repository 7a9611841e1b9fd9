/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The command line as data. One table of options drives parsing, defaults, ranges and --help; the
 * man page and the completion are held against it by tests/shell/docs.sh.
 */
#ifndef PERPETUO_OPTIONS_H
#define PERPETUO_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "py/redact.h"
#include "stall/threshold.h"

#define OPTIONS_MAX_PIDS 256
#define OPTIONS_EXIT_USAGE 2

#define OPTIONS_SOURCE_SLOT 1
#define OPTIONS_SOURCE_GIL 2
#define OPTIONS_SOURCE_LOOP 4

enum options_mode {
	MODE_WATCH, /* --pid PID, watch PID: watch processes that run */
	MODE_RUN, /* -- COMMAND: run it and watch it */
	MODE_DUMP, /* dump PID: one look */
	MODE_TOP, /* top PID: a page a second */
	MODE_FEATURES,
	MODE_HELP,
	MODE_VERSION,
};

/* Strings are borrowed from argv or static. */
struct options {
	enum options_mode mode;
	pid_t pids[OPTIONS_MAX_PIDS]; /* all modes but MODE_RUN: as given, each once */
	size_t npids;
	char *const *command; /* MODE_RUN: NULL-terminated, at least one word; else NULL */
	uint64_t poll_ns;
	struct thresholds thresholds;
	uint64_t suppress_ns; /* may be 0 */
	unsigned int sources; /* OPTIONS_SOURCE_*, at least one */
	bool locals; /* on where nothing is said, but in MODE_DUMP off */
	bool locals_said;
	const char *redact[REDACT_MAX_PATTERNS]; /* for redact__new() */
	size_t nredact;
	bool show_secrets;
	bool follow; /* children are watched, too */
	bool json;
	bool once; /* MODE_TOP: one refresh */
	bool full;
	bool native; /* MODE_DUMP: what lies below the Python frames, too */
	bool stats;
	bool verbose;
	const char *output; /* NULL: stdout (MODE_RUN: stderr) */
	const char *backend; /* "auto", "bpf" or "poll" */
	const char *allow; /* file of known stalls, NULL: none */
	const char *on_stall; /* command to run for each new stall, NULL: none */
	bool fail_on_stall;
	const char *user; /* on_stall, MODE_RUN: who runs the command; NULL: whoever called sudo */
};

/*
 * Neither prints nor exits. 0 and *OUT; or -EINVAL and one line in ERR that quotes what is wrong
 * and says what is allowed (the caller adds options__hint() and exits with OPTIONS_EXIT_USAGE).
 * --help and --version are results, and what stands behind them is not looked at.
 */
int options__parse(int argc, char *const argv[], struct options *out, struct err *err);

void options__help(struct strbuf *out);
const char *options__hint(void); /* "Try 'perpetuo-bpf --help'." */

#endif
