// SPDX-License-Identifier: MIT OR Apache-2.0
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define MINUTE_NS (60 * NSEC_PER_SEC)
#define HOUR_NS (60 * MINUTE_NS)

#define MIN_THRESHOLD_NS (10 * NSEC_PER_MSEC)
#define MAX_THRESHOLD_NS (24 * HOUR_NS)

#define MAX_PID 4194304 /* PID_MAX_LIMIT of 64-bit kernels */
#define OPTIONS_MAX 80 /* rows of the table: room for getopt_long's copy of it */

#define HELP_WIDTH 80
#define HELP_COLUMN 32 /* where the second column of --help begins */

struct knob {
	const char *section; /* title in --help before this row */
	const char *name;
	const char *alias; /* another long name */
	int key; /* short option, 0 = none */
	const char *arg; /* name of its argument, NULL = takes none */
	const char *help; /* further lines behind '\n' */
	const char *def; /* default, as if it had been given */
	int (*set)(struct options *o, const struct knob *k, const char *value, struct err *err);
	size_t off; /* of the member that it sets */
	uint64_t min, max; /* durations: what is allowed, in ns */
	enum options_mode mode; /* set_mode */
};

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

/* The option as the user knows it, for messages. */
#define WANTS "--%s wants "

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
		WANTS "a time from %s (seconds, or with a unit: 200ms, 1.5s), not '%s'", k->name,
		strbuf_str(&range) ? range.data : "?", value);
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
		return err_set(err, -EINVAL, WANTS "a %s with a name of 1 to %zu bytes, not '%s'",
			       k->name, k->arg, sizeof(r->name) - 1, value);
	memcpy(r->name, value, len);
	r->name[len] = '\0';
	ns.off = (size_t)((char *)&r->ns - (char *)o);
	o->thresholds.nrules++;
	return set_duration(o, &ns, equals + 1, err);
}

static int parse_pid(const char *text, pid_t *pid)
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
static int add_pid(struct options *o, const char *who, const char *value, struct err *err)
{
	pid_t pid = 0;

	if (parse_pid(value, &pid))
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
	return add_pid(o, "--pid", value, err);
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
		return err_set(err, -EINVAL, WANTS "a %s, not ''", k->name, k->arg);
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
		return err_set(err, -EINVAL, WANTS "a %s, not ''", k->name, k->arg);
	memcpy((char *)o + k->off, &value, sizeof(value));
	return 0;
}

/* A file named "-" is never what was meant. */
static int set_output(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	if (!strcmp(value, "-"))
		return err_set(err, -EINVAL, WANTS "a file, not '-' (for a pipe leave it out)",
			       k->name);
	return set_text(o, k, value, err);
}

static int set_backend(struct options *o, const struct knob *k, const char *value, struct err *err)
{
	if (strcmp(value, "auto") && strcmp(value, "bpf") && strcmp(value, "poll"))
		return err_set(err, -EINVAL, WANTS "auto, bpf or poll, not '%s'", k->name, value);
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
				       WANTS "slot, gil, loop or some of them, not '%s'", k->name,
				       value);
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

static const struct knob knobs[] = {
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
		  "event loops); the latter two bpf only" },

	{ .section = "Reports",
	  .name = "json",
	  .alias = "json-mode",
	  .set = set_on,
	  MEMBER(json),
	  .help = "JSON, one record a line" },
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

#define NKNOBS (sizeof(knobs) / sizeof(knobs[0]))
_Static_assert(NKNOBS * 2 < OPTIONS_MAX, "getopt_long's copy has room for an alias of each");

static const struct command {
	const char *name;
	enum options_mode mode;
	const char *help;
} commands[] = {
	{ "watch", MODE_WATCH, "watch processes, as --pid does" },
	{ "dump", MODE_DUMP, "print the Python stacks of processes once" },
};

/* What getopt_long takes; `val` is the row's index above the range of characters. */
#define ROW_BASE 0x100

struct tables {
	struct option longs[OPTIONS_MAX];
	char shorts[2 * OPTIONS_MAX + 4];
};

static void add_long(struct tables *t, size_t *n, const char *name, size_t row)
{
	t->longs[(*n)++] = (struct option){
		.name = name,
		.has_arg = knobs[row].arg ? required_argument : no_argument,
		.val = ROW_BASE + (int)row,
	};
}

static void make_tables(struct tables *t)
{
	size_t nlong = 0, nshort = 0;

	memset(t, 0, sizeof(*t));
	/* '-': words come in order, so that "dump" before "--" is told from one behind it.
	 * ':': we say what is wrong. */
	t->shorts[nshort++] = '-';
	t->shorts[nshort++] = ':';
	for (size_t i = 0; i < NKNOBS; i++) {
		add_long(t, &nlong, knobs[i].name, i);
		if (knobs[i].alias)
			add_long(t, &nlong, knobs[i].alias, i);
		if (!knobs[i].key)
			continue;
		t->shorts[nshort++] = (char)knobs[i].key;
		if (knobs[i].arg)
			t->shorts[nshort++] = ':';
	}
}

static const struct knob *find_knob(int key)
{
	for (size_t i = 0; i < NKNOBS; i++) {
		if (key == ROW_BASE + (int)i || (knobs[i].key && key == knobs[i].key))
			return &knobs[i];
	}
	return NULL;
}

static void set_defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	o->mode = MODE_WATCH;
	o->locals = true;
	for (size_t i = 0; i < NKNOBS; i++) {
		if (knobs[i].def)
			knobs[i].set(o, &knobs[i], knobs[i].def, NULL);
	}
}

/* A word that is no option: the name of a subcommand, then what it works on. */
static int take_word(struct options *o, const struct command **cmd, const char *word,
		     struct err *err)
{
	pid_t pid;

	if (*cmd)
		return add_pid(o, (*cmd)->name, word, err);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(word, commands[i].name)) {
			*cmd = &commands[i];
			return 0;
		}
	}
	if (!parse_pid(word, &pid))
		return err_set(err, -EINVAL, "what to do with '%s'? '--pid %s' watches it", word,
			       word);
	return err_set(err, -EINVAL,
		       "unknown command '%s' (to run a program and watch it: '-- %s ...')", word,
		       word);
}

static int bad_option(int c, const char *word, struct err *err)
{
	const struct knob *k = find_knob(optopt);

	if (c == ':' && k)
		return err_set(err, -EINVAL, WANTS "a value (%s), and none follows", k->name,
			       k->arg);
	if (k && !k->arg)
		return err_set(err, -EINVAL, "--%s takes no value: '%s'", k->name, word);
	if (optopt && optopt < ROW_BASE)
		return err_set(err, -EINVAL, "unknown option '-%c'", optopt);
	return err_set(err, -EINVAL, "unknown or ambiguous option '%s'", word);
}

/* Each setting was right by itself; are they together? */
static int check_whole(struct options *o, const struct command *cmd, struct err *err)
{
	bool features = o->mode == MODE_FEATURES;

	if (cmd)
		o->mode = cmd->mode;
	if (features && (o->npids || o->command || cmd))
		return err_set(err, -EINVAL, "--features looks at no process: leave out the rest");
	if (o->command && cmd)
		return err_set(err, -EINVAL, "'%s' and '--' exclude each other", cmd->name);
	if (o->command && o->npids)
		return err_set(err, -EINVAL, "--pid and '--' exclude each other");
	if (o->command && !o->command[0])
		return err_set(err, -EINVAL, "no command behind '--'");
	if (o->user && !o->command && !o->on_stall)
		return err_set(err, -EINVAL,
			       "--user is for a command ('-- COMMAND'), there is none");
	if (cmd && !o->npids)
		return err_set(err, -EINVAL, "%s wants a process id, and none follows", cmd->name);
	if (o->command)
		o->mode = MODE_RUN;
	if (o->mode == MODE_DUMP && !o->locals_said)
		o->locals = false;
	if (o->mode == MODE_WATCH && !o->npids)
		return err_set(err, -EINVAL, "nothing to watch: give --pid PID or -- COMMAND");
	return 0;
}

int options__parse(int argc, char *const argv[], struct options *out, struct err *err)
{
	const struct command *cmd = NULL;
	const struct knob *k;
	struct tables tables;
	int c, code;

	make_tables(&tables);
	set_defaults(out);
	optind = 0; /* glibc: begin anew */
	opterr = 0;
	while ((c = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1) {
		if (c == 1) { /* a word */
			code = take_word(out, &cmd, optarg, err);
		} else {
			k = c == '?' || c == ':' ? NULL : find_knob(c);
			code = k ? k->set(out, k, optarg, err)
				 : bad_option(c, argv[optind - 1], err);
		}
		if (code)
			return code;
		if (out->mode == MODE_HELP || out->mode == MODE_VERSION)
			return 0;
	}
	if (optind > 0 && optind <= argc && !strcmp(argv[optind - 1], "--"))
		out->command = argv + optind;
	return check_whole(out, cmd, err);
}

const char *options__hint(void)
{
	return "Try 'perpetuo-bpf --help'.";
}

static void add_row(struct strbuf *out, const char *left, const char *right, const char *def)
{
	const char *line = right;
	const char *end;

	strbuf_addf(out, "%-*s", HELP_COLUMN, left);
	while ((end = strchr(line, '\n'))) {
		strbuf_add(out, line, (size_t)(end - line) + 1);
		strbuf_addf(out, "%*s", HELP_COLUMN, "");
		line = end + 1;
	}
	strbuf_adds(out, line);
	if (def && HELP_COLUMN + strlen(line) + strlen(" (default )") + strlen(def) > HELP_WIDTH)
		strbuf_addf(out, "\n%*s(default %s)", HELP_COLUMN, "", def);
	else if (def)
		strbuf_addf(out, " (default %s)", def);
	strbuf_addc(out, '\n');
}

static void add_knob(struct strbuf *out, const struct knob *k)
{
	struct strbuf left = STRBUF_INIT;

	if (k->section)
		strbuf_addf(out, "\n%s:\n", k->section);
	if (k->key)
		strbuf_addf(&left, "  -%c, --%s", k->key, k->name);
	else
		strbuf_addf(&left, "      --%s", k->name);
	if (k->alias)
		strbuf_addf(&left, ", --%s", k->alias);
	if (k->arg)
		strbuf_addf(&left, " %s", k->arg);
	add_row(out, strbuf_str(&left) ? left.data : "", k->help, k->def);
	strbuf_free(&left);
}

void options__help(struct strbuf *out)
{
	struct strbuf left = STRBUF_INIT;

	strbuf_adds(out, "Usage: perpetuo-bpf [OPTIONS] --pid PID [--pid PID ...]\n"
			 "       perpetuo-bpf [OPTIONS] -- COMMAND [ARG ...]\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		strbuf_addf(out, "       perpetuo-bpf [OPTIONS] %s PID...\n", commands[i].name);
	strbuf_adds(out,
		    "       perpetuo-bpf --features\n\n"
		    "Reports when a Python program stalls and in what, while it happens, without\n"
		    "stopping it.\n\nCommands:\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		strbuf_reset(&left);
		strbuf_addf(&left, "  %s PID...", commands[i].name);
		add_row(out, strbuf_str(&left) ? left.data : "", commands[i].help, NULL);
	}
	strbuf_free(&left);
	for (size_t i = 0; i < NKNOBS; i++)
		add_knob(out, &knobs[i]);
	strbuf_adds(out,
		    "\nA TIME is a number of seconds or has a unit: ns, us, ms, s, m, h.\n"
		    "Exit status: 0 the target ended or Ctrl-C, 1 an error, 2 wrong usage, 3 a\n"
		    "stall (--fail-on-stall); with -- COMMAND that of the command, 125 to 127\n"
		    "where it could not be run.\n");
}
