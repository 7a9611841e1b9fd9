// SPDX-License-Identifier: MIT OR Apache-2.0
/* perpetuo-bpf: wires options, session and what it watches. perpetuo-bpf(8) is the reference. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "command.h"
#include "dump.h"
#include "kern/features.h"
#include "options.h"
#include "session.h"
#include "top.h"
#include "version.h"

#define MODULE "main"

#define EXIT_STALL 3

/*
 * A reader that goes away, and a file that may grow no more, are errors of write(). Who started us
 * may have ignored SIGCHLD: then no command of ours could be waited for.
 */
static void set_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
}

/* The end of a watch, and the wish for a summary, come through a signalfd. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Prints TEXT to stdout. The exit status. */
static int print(struct strbuf *text)
{
	const char *s = strbuf_str(text);
	int status = s && fputs(s, stdout) >= 0 && !fflush(stdout) ? 0 : 1;

	if (status)
		log_msg(LOG_ERROR, MODULE, "cannot write to standard output");
	strbuf_free(text);
	return status;
}

static int help(void)
{
	struct strbuf out = STRBUF_INIT;

	options__help(&out);
	return print(&out);
}

static int version(void)
{
	struct strbuf out = STRBUF_INIT;

	strbuf_adds(&out, "perpetuo-bpf " PERPETUO_VERSION "\n");
	return print(&out);
}

/* The exit STATUS, unless it was good and there was a stall where none may be. */
static int verdict(const struct options *opts, const struct session *session, int status)
{
	return !status && opts->fail_on_stall && session__saw_stall(session) ? EXIT_STALL : status;
}

static int watch(const struct options *opts)
{
	struct session *session = NULL;
	struct err err = { { 0 } };
	int ret;

	block_signals();
	ret = session__new(opts, STDOUT_FILENO, &session, &err);
	for (size_t i = 0; !ret && i < opts->npids; i++)
		ret = session__add(session, opts->pids[i], &err);
	if (!ret)
		ret = session__run(session, 0, &err);
	if (ret)
		log_msg(LOG_ERROR, MODULE, "%s", err_text(&err, ret));
	ret = ret ? 1 : verdict(opts, session, 0);
	session__free(session);
	return ret;
}

static int top(const struct options *opts)
{
	struct session *session = NULL;
	struct top *view = NULL;
	struct err err = { { 0 } };
	int ret;

	block_signals();
	ret = top__new(opts, &view, &err);
	if (!ret)
		ret = session__new(opts, top__records_fd(view), &session, &err);
	for (size_t i = 0; !ret && i < opts->npids; i++)
		ret = session__add(session, opts->pids[i], &err);
	if (!ret)
		ret = session__show(session, view, &err);
	if (!ret)
		ret = session__run(session, 0, &err);
	if (!ret && opts->once && !top__has_shown(view))
		ret = err_set(&err, -ESRCH, "the watch ended within its first second");
	top__free(view); /* messages come on a terminal that is as it was */
	if (ret)
		log_msg(LOG_ERROR, MODULE, "%s", err_text(&err, ret));
	ret = ret ? 1 : verdict(opts, session, 0);
	session__free(session);
	return ret;
}

/* Runs OPTS->command and watches it. Its exit status, or COMMAND_EXIT_*. */
static int run(const struct options *opts)
{
	struct session *session = NULL;
	struct err err = { { 0 } };
	struct command cmd;
	int ret, status;

	block_signals();
	ret = session__new(opts, STDERR_FILENO, &session, &err);
	if (!ret)
		ret = command__start(&cmd, opts->command, opts->user, &err);
	if (ret)
		goto ours;
	ret = session__add_starting(session, cmd.pid, &err);
	if (ret) {
		kill(cmd.pid, SIGKILL);
		command__wait(&cmd);
		goto ours;
	}
	status = command__execute(&cmd, opts->command[0], &err);
	if (status) {
		log_msg(LOG_ERROR, MODULE, "%s", err.text);
		command__wait(&cmd);
		goto out;
	}
	ret = session__run(session, cmd.pid, &err);
	if (ret) /* the command goes on: it is the user's, not ours */
		log_msg(LOG_ERROR, MODULE, "the watch has ended: %s", err_text(&err, ret));
	status = verdict(opts, session, command__wait(&cmd));
	goto out;
ours:
	log_msg(LOG_ERROR, MODULE, "%s", err_text(&err, ret));
	status = COMMAND_EXIT_OURS;
out:
	session__free(session);
	return status;
}

static int features(void)
{
	int ret = features__print(stdout);

	if (!ret && fflush(stdout))
		ret = -errno;
	if (ret)
		log_msg(LOG_ERROR, MODULE, "cannot write to standard output: %s", strerror(-ret));
	return ret ? 1 : 0;
}

int main(int argc, char *argv[])
{
	struct options opts;
	struct err err = { { 0 } };

	set_signals();
	if (options__parse(argc, argv, &opts, &err)) {
		log_msg(LOG_ERROR, MODULE, "%s", err.text);
		log_msg(LOG_INFO, MODULE, "%s", options__hint());
		return OPTIONS_EXIT_USAGE;
	}
	if (opts.verbose)
		log_set_level(LOG_DEBUG);
	switch (opts.mode) {
	case MODE_WATCH:
		return watch(&opts);
	case MODE_RUN:
		return run(&opts);
	case MODE_DUMP:
		return dump__run(&opts);
	case MODE_TOP:
		return top(&opts);
	case MODE_FEATURES:
		return features();
	case MODE_HELP:
		return help();
	case MODE_VERSION:
		return version();
	}
	return OPTIONS_EXIT_USAGE;
}
