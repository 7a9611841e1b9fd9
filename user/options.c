// SPDX-License-Identifier: MIT OR Apache-2.0
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "knobs.h"

#define HELP_WIDTH 80
#define HELP_COLUMN 32 /* where the second column of --help begins */

static const struct command {
	const char *name;
	enum options_mode mode;
	const char *help;
} commands[] = {
	{ "watch", MODE_WATCH, "watch processes, as --pid does" },
	{ "dump", MODE_DUMP, "print the Python stacks of processes once" },
	{ "top", MODE_TOP, "show who has the GIL and who waits, each second" },
};

/* What getopt_long takes; `val` is the row's index above the range of characters. */
#define ROW_BASE 0x100

struct tables {
	struct option longs[KNOBS_MAX];
	char shorts[2 * KNOBS_MAX + 4];
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
	for (size_t i = 0; i < nknobs; i++) {
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
	for (size_t i = 0; i < nknobs; i++) {
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
	for (size_t i = 0; i < nknobs; i++) {
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
		return knob_add_pid(o, (*cmd)->name, word, err);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(word, commands[i].name)) {
			*cmd = &commands[i];
			return 0;
		}
	}
	if (!knob_parse_pid(word, &pid))
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
		return err_set(err, -EINVAL, KNOB_WANTS "a value (%s), and none follows", k->name,
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
	if (o->once && o->mode != MODE_TOP)
		return err_set(err, -EINVAL, "--once is for top");
	if (o->output && o->mode == MODE_TOP)
		return err_set(err, -EINVAL, "top writes to standard output, not to '%s'",
			       o->output);
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
	for (size_t i = 0; i < nknobs; i++)
		add_knob(out, &knobs[i]);
	strbuf_adds(out,
		    "\nA TIME is a number of seconds or has a unit: ns, us, ms, s, m, h.\n"
		    "Exit status: 0 the target ended or Ctrl-C, 1 an error, 2 wrong usage, 3 a\n"
		    "stall (--fail-on-stall); with -- COMMAND that of the command, 125 to 127\n"
		    "where it could not be run.\n");
}
