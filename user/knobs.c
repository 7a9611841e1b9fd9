// SPDX-License-Identifier: MIT OR Apache-2.0
#include "knobs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define MINUTE_NS (60 * NSEC_PER_SEC)
#define HOUR_NS (60 * MINUTE_NS)

#define MIN_THRESHOLD_NS (10 * NSEC_PER_MSEC)
#define MAX_THRESHOLD_NS (24 * HOUR_NS)

#define MAX_PID 4194304 /* PID_MAX_LIMIT of 64-bit kernels */

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	/* longest first: used to print, too */
	{ "h", HOUR_NS },	 { "m", MINUTE_NS },	  { "s", NSEC_PER_SEC },
	{ "ms", NSEC_PER_MSEC }, { "us", NSEC_PER_USEC }, { "ns", 1 },
};

#define NUNITS (sizeof(units) / sizeof(units[0]))

static int unit_scale(const char *name, double *ns)
{
	if (!*name) {
		*ns = (double)NSEC_PER_SEC;
		return 0;
	}
	for (size_t i = 0; i < NUNITS; i++) {
		if (!strcmp(name, units[i].name)) {
			*ns = (double)units[i].ns;
			return 0;
		}
	}
	return -EINVAL;
}

/* Decimal digits with an optional fraction, exponent and unit; nothing else that strtod() takes. */
static int parse_duration(const char *text, uint64_t *ns)
{
	double number, scale;
	char *end;
	int err;

	if (!isdigit((unsigned char)text[0]) && text[0] != '.')
		return -EINVAL;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return -EINVAL;
	number = strtod(text, &end);
	if (end == text)
		return -EINVAL;
	err = unit_scale(end, &scale);
	if (err)
		return err;
	number *= scale;
	if (!(number < (double)INT64_MAX))
		return -ERANGE;
	*ns = (uint64_t)(number + 0.5);
	return 0;
}

static void add_duration(struct strbuf *out, uint64_t ns)
{
	for (size_t i = 0; i < NUNITS; i++) {
		if (ns && ns % units[i].ns == 0) {
			strbuf_addf(out, "%llu%s", (unsigned long long)(ns / units[i].ns),
				    units[i].name);
			return;
		}
	}
	strbuf_addc(out, '0');
}

static int set_duration(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	struct strbuf range = STRBUF_INIT;
	uint64_t ns = 0;
	int code;

	code = parse_duration(value, &ns);
	if (!code && ns >= k->min && ns <= k->max) {
		memcpy((char *)o + k->off, &ns, sizeof(ns));
		return 0;
	}
	add_duration(&range, k->min);
	strbuf_adds(&range, " to ");
	add_duration(&range, k->max);
	err_set(err, -EINVAL,
		KNOB_WANTS "a time from %s (seconds, or with a unit: 200ms, 1.5s), not '%s'",
		k->name, strbuf_str(&range) ? range.data : "?", value);
	strbuf_free(&range);
	return -EINVAL;
}

/* NAME=TIME: the time as of any duration, within the range of the row. */
static int set_threshold(struct options *o, const struct knob *k, const char *value,
			 struct err *err)
{
	const char *equals = strrchr(value, '=');
	struct threshold_rule *r = &o->thresholds.rule[o->thresholds.nrules];
	size_t len = equals ? (size_t)(equals - value) : 0;
	struct knob ns = *k;

	if (o->thresholds.nrules == THRESHOLD_MAX_RULES)
		return err_set(err, -EINVAL, "--%s '%s': more than %d of them", k->name, value,
			       THRESHOLD_MAX_RULES);
	if (!len || len >= sizeof(r->name))
		return err_set(err, -EINVAL,
			       KNOB_WANTS "a %s with a name of 1 to %zu bytes, not '%s'", k->name,
			       k->arg, sizeof(r->name) - 1, value);
	memcpy(r->name, value, len);
	r->name[len] = '\0';
	ns.off = (size_t)((char *)&r->ns - (char *)o);
	o->thresholds.nrules++;
	return set_duration(o, &ns, equals + 1, err);
}

int knob_parse_pid(const char *text, pid_t *pid)
{
	long n = 0;

	for (const char *p = text; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		n = n * 10 + (*p - '0');
		if (n > MAX_PID)
			return -ERANGE;
	}
	if (!n)
		return -EINVAL;
	*pid = (pid_t)n;
	return 0;
}

/* Also for the PIDs of subcommands: WHO wants one. */
int knob_add_pid(struct options *o, const char *who, const char *value, struct err *err)
{
	pid_t pid = 0;

	if (knob_parse_pid(value, &pid))
		return err_set(err, -EINVAL, "%s wants a process id from 1 to %d, not '%s'", who,
			       MAX_PID, value);
	if (pid == getpid())
		return err_set(err, -EINVAL, "%s: %d is perpetuo-bpf itself", who, pid);
	for (size_t i = 0; i < o->npids; i++) {
		if (o->pids[i] == pid)
			return 0;
	}
	if (o->npids == OPTIONS_MAX_PIDS)
		return err_set(err, -EINVAL, "%s %d: more than %d processes", who, pid,
			       OPTIONS_MAX_PIDS);
	o->pids[o->npids++] = pid;
	return 0;
}

static int set_pid(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	(void)k;
	return knob_add_pid(o, "--pid", value, err);
}

static int set_bool(struct options *o, const struct knob *k, bool value)
{
	memcpy((char *)o + k->off, &value, sizeof(value));
	return 0;
}

static int set_on(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	(void)value, (void)err;
	return set_bool(o, k, true);
}

static int set_off(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	(void)value, (void)err;
	return set_bool(o, k, false);
}

static int set_locals(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	o->locals_said = true;
	return set_on(o, k, value, err);
}

static int set_no_locals(struct options *o, const struct knob *k, const char *value,
			 struct err *err)
{
	o->locals_said = true;
	return set_off(o, k, value, err);
}

static int set_redact(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	struct err why = { { 0 } };
	struct redact *r;
	int code;

	if (!*value)
		return err_set(err, -EINVAL, KNOB_WANTS "a %s, not ''", k->name, k->arg);
	if (o->nredact == REDACT_MAX_PATTERNS)
		return err_set(err, -EINVAL, "--%s '%s': more than %d patterns", k->name, value,
			       REDACT_MAX_PATTERNS);
	code = redact__new(&value, 1, true, &r, &why);
	if (code)
		return err_set(err, code, "--%s: %s", k->name, why.text);
	redact__free(r);
	o->redact[o->nredact++] = value;
	return 0;
}

static int set_text(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, -EINVAL, KNOB_WANTS "a %s, not ''", k->name, k->arg);
	memcpy((char *)o + k->off, &value, sizeof(value));
	return 0;
}

/* A file named "-" is never what was meant. */
static int set_output(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	if (!strcmp(value, "-"))
		return err_set(err, -EINVAL, KNOB_WANTS "a file, not '-' (for a pipe leave it out)",
			       k->name);
	return set_text(o, k, value, err);
}

static int set_backend(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	if (strcmp(value, "auto") && strcmp(value, "bpf") && strcmp(value, "poll"))
		return err_set(err, -EINVAL, KNOB_WANTS "auto, bpf or poll, not '%s'", k->name,
			       value);
	return set_text(o, k, value, err);
}

static const struct {
	const char *name;
	unsigned int bit;
} source_names[] = {
	{ "slot", OPTIONS_SOURCE_SLOT },
	{ "gil", OPTIONS_SOURCE_GIL },
	{ "loop", OPTIONS_SOURCE_LOOP },
};

/* Names with commas between them. */
static int set_sources(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	const char *word = value;
	unsigned int all = 0, bit;

	for (;;) {
		size_t len = strcspn(word, ",");

		bit = 0;
		for (size_t i = 0; i < sizeof(source_names) / sizeof(source_names[0]); i++)
			if (strlen(source_names[i].name) == len &&
			    !memcmp(source_names[i].name, word, len))
				bit = source_names[i].bit;
		if (!bit)
			return err_set(err, -EINVAL,
				       KNOB_WANTS "slot, gil, loop or some of them, not '%s'",
				       k->name, value);
		all |= bit;
		if (!word[len])
			break;
		word += len + 1;
	}
	o->sources = all;
	return 0;
}

static int set_mode(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	(void)value, (void)err;
	o->mode = k->mode;
	return 0;
}

#define MEMBER(m) .off = offsetof(struct options, m)

const struct knob knobs[] = {
	{ .section = "Target",
	  .name = "pid",
	  .key = 'p',
	  .arg = "PID",
	  .set = set_pid,
	  .help = "process to watch; may be repeated" },
	{ .name = "follow",
	  .set = set_on,
	  MEMBER(follow),
	  .help = "watch also the children, and theirs" },
	{ .name = "user",
	  .arg = "USER",
	  .set = set_text,
	  MEMBER(user),
	  .help = "run -- COMMAND and --on-stall as USER\n(default: who called sudo)" },

	{ .section = "Detection",
	  .name = "alert-interval",
	  .arg = "TIME",
	  .def = "200ms",
	  .set = set_duration,
	  MEMBER(thresholds.alert_ns),
	  .min = MIN_THRESHOLD_NS,
	  .max = MAX_THRESHOLD_NS,
	  .help = "no progress for so long is a stall" },
	{ .name = "gil-threshold",
	  .arg = "TIME",
	  .set = set_duration,
	  MEMBER(thresholds.gil_ns),
	  .min = MIN_THRESHOLD_NS,
	  .max = MAX_THRESHOLD_NS,
	  .help = "the same of waits for the GIL\n(default: --alert-interval)" },
	{ .name = "loop-threshold",
	  .arg = "TIME",
	  .set = set_duration,
	  MEMBER(thresholds.loop_ns),
	  .min = MIN_THRESHOLD_NS,
	  .max = MAX_THRESHOLD_NS,
	  .help = "the same of steps of event loops\n(default: --alert-interval)" },
	{ .name = "threshold",
	  .arg = "NAME=TIME",
	  .set = set_threshold,
	  .min = MIN_THRESHOLD_NS,
	  .max = MAX_THRESHOLD_NS,
	  .help = "the same of trackers with such a name (* and\n? fit any text); may be repeated" },
	{ .name = "poll-interval",
	  .arg = "TIME",
	  .def = "50ms",
	  .set = set_duration,
	  MEMBER(poll_ns),
	  .min = NSEC_PER_MSEC,
	  .max = HOUR_NS,
	  .help = "time between looks at a running thread" },
	{ .name = "backend",
	  .arg = "NAME",
	  .def = "auto",
	  .set = set_backend,
	  MEMBER(backend),
	  .help = "bpf, poll, or auto: bpf where possible" },
	{ .name = "sources",
	  .arg = "LIST",
	  .def = "slot,gil,loop",
	  .set = set_sources,
	  .help = "what stalls to look for: slot (trackers),\n"
		  "gil (waits for the GIL), loop (steps of\n"
		  "event loops); poll sees slots, and loops\n"
		  "that the program has registered" },

	{ .section = "Reports",
	  .name = "json",
	  .alias = "json-mode",
	  .set = set_on,
	  MEMBER(json),
	  .help = "JSON, one record a line" },
	{ .name = "once",
	  .set = set_on,
	  MEMBER(once),
	  .help = "top: one page, or JSON record, after a second" },
	{ .name = "output",
	  .key = 'o',
	  .arg = "FILE",
	  .set = set_output,
	  MEMBER(output),
	  .help = "append reports to FILE (default: standard\n"
		  "output; with -- COMMAND standard error)" },
	{ .name = "full",
	  .set = set_on,
	  MEMBER(full),
	  .help = "text: all frames of libraries, too" },
	{ .name = "native",
	  .set = set_on,
	  MEMBER(native),
	  .help = "dump: also where threads are in native code\n"
		  "and in the kernel (a stall shows it anyway)" },
	{ .name = "traceback-suppress",
	  .arg = "TIME",
	  .def = "30s",
	  .set = set_duration,
	  MEMBER(suppress_ns),
	  .min = 0,
	  .max = 8760 * HOUR_NS,
	  .help = "after a record with stacks no stacks in\n"
		  "records of that tracker for so long" },
	{ .name = "allow",
	  .arg = "FILE",
	  .set = set_text,
	  MEMBER(allow),
	  .help = "do not tell stalls in functions that FILE\nnames, FUNCTION or FILE:FUNCTION a line" },
	{ .name = "on-stall",
	  .arg = "COMMAND",
	  .set = set_text,
	  MEMBER(on_stall),
	  .help = "for each new stall run COMMAND in a shell,\nwith the record as JSON on its input" },
	{ .name = "fail-on-stall",
	  .set = set_on,
	  MEMBER(fail_on_stall),
	  .help = "exit status 3 if there was any stall" },
	{ .name = "print-locals",
	  .alias = "locals",
	  .set = set_locals,
	  MEMBER(locals),
	  .help = "show local variables (of a stall they are\n"
		  "shown anyway, by dump only with this)" },
	{ .name = "no-print-locals",
	  .set = set_no_locals,
	  MEMBER(locals),
	  .help = "do not show local variables" },
	{ .name = "redact",
	  .arg = "REGEX",
	  .set = set_redact,
	  .help = "hide values of variables with such a name;\n"
		  "may be repeated" },
	{ .name = "show-secrets",
	  .set = set_on,
	  MEMBER(show_secrets),
	  .help = "show also what is called password, token,\n"
		  "key and the like" },

	{ .section = "About the tool",
	  .name = "features",
	  .set = set_mode,
	  .mode = MODE_FEATURES,
	  .help = "what this kernel offers, what would be used\n"
		  "and why" },
	{ .name = "stats",
	  .set = set_on,
	  MEMBER(stats),
	  .help = "at the end, counters of what was seen, lost\n"
		  "and why" },
	{ .name = "verbose",
	  .key = 'v',
	  .set = set_on,
	  MEMBER(verbose),
	  .help = "say what is being done" },
	{ .name = "version",
	  .key = 'V',
	  .set = set_mode,
	  .mode = MODE_VERSION,
	  .help = "print the version" },
	{ .name = "help",
	  .key = 'h',
	  .set = set_mode,
	  .mode = MODE_HELP,
	  .help = "print this text" },
};

const size_t nknobs = sizeof(knobs) / sizeof(knobs[0]);
_Static_assert(sizeof(knobs) / sizeof(knobs[0]) * 2 < KNOBS_MAX,
	       "getopt_long's copy has room for an alias of each");
