// SPDX-License-Identifier: MIT OR Apache-2.0
/* The command that is run for each new stall. */
#include "hook.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define TIME_NS 2000000000ULL /* of a command; others take far less */
#define QUIET_MS 600 /* ten times what a command here takes; then none runs any more */

static char path[] = "/tmp/test_hook.XXXXXX";
static char said[1024];
static struct err err;

static void say(void *ctx, const char *text)
{
	(void)ctx;
	strncat(said, text, sizeof(said) - strlen(said) - 2);
	strcat(said, "\n");
}

/* COMMAND with %s for the file. */
static struct hook *open_hook(const char *command)
{
	static char text[256];
	const char *at = strstr(command, "%s");
	const struct hook_opts opts = {
		.command = text,
		.time_ns = TIME_NS,
		.last_ns = TIME_NS / 4,
	};
	struct hook *h = NULL;

	snprintf(text, sizeof(text), "%.*s%s%s", at ? (int)(at - command) : 0, command,
		 at ? path : "", at ? at + 2 : command);
	said[0] = '\0';
	if (truncate(path, 0) || hook__new(&opts, say, NULL, &h, &err))
		diag("%s", err.text);
	return h;
}

static void drain(struct hook *h)
{
	struct pollfd p = { .fd = hook__fd(h), .events = POLLIN };

	while (poll(&p, 1, QUIET_MS) > 0)
		hook__dispatch(h);
}

static const char *content(void)
{
	static char text[4096];
	FILE *file = fopen(path, "r");
	size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[len] = '\0';
	return text;
}

/* Gone, or a zombie that whoever adopted it has yet to see; soon after it was killed. */
static bool is_over(pid_t pid)
{
	struct timespec wait = { .tv_nsec = 10000000 };
	char name[32], text[64];
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 500; i++) {
		text[0] = '\0';
		file = fopen(name, "r");
		if (file && !fgets(text, sizeof(text), file))
			text[0] = '\0';
		if (file)
			fclose(file);
		if (!*text || strstr(text, ") Z "))
			return true;
		nanosleep(&wait, NULL);
	}
	return false;
}

static void runs(void)
{
	struct hook *h = open_hook("cat >>%s");

	ok(!hook__needs_setuid(h), "it runs as we do");
	hook__push(h, "one\n", 4);
	hook__push(h, "two\n", 4);
	drain(h);
	is_str(content(), "one\ntwo\n", "once for each record, in their order");
	is_str(said, "", "nothing is said of what works");
	hook__free(h);
	hook__free(NULL);
}

static void fails(void)
{
	struct hook *h = open_hook("read line; exit $line");

	hook__push(h, "7\n", 2);
	drain(h);
	ok(strstr(said, "failed: exit status 7"), "a status is said");
	hook__free(h);
	h = open_hook("kill -9 $$");
	hook__push(h, "x", 1);
	drain(h);
	ok(strstr(said, "ended by signal 9"), "so is a signal");
	said[0] = '\0';
	hook__push(h, "x", 1);
	drain(h);
	ok(strstr(said, "ended by signal 9"), "and it runs again for the next");
	hook__free(h);
}

static void waits(void)
{
	struct hook *h = open_hook("sleep 0.02; cat >>%s");
	char *large = calloc(1, HOOK_MAX_BYTES);

	for (int i = 0; i < HOOK_MAX_WAITING + 4; i++)
		hook__push(h, "x", 1);
	drain(h);
	is_int(strlen(content()), HOOK_MAX_WAITING + 1, "one runs and so many wait");
	ok(strstr(said, "not run for 3 stalls"), "the others are counted");
	said[0] = '\0';
	hook__push(h, "x", 1);
	hook__push(h, "y", 1);
	hook__push(h, large, HOOK_MAX_BYTES);
	drain(h);
	ok(strstr(said, "not run for 1 stall"), "what waits has a size, too");
	free(large);
	hook__free(h);
}

/* Both are at an end at once: the shell, and what it has started. */
static void takes_long(void)
{
	struct hook *h = open_hook("sleep 100 & echo $! >%s; wait");
	struct pollfd p = { .fd = hook__fd(h), .events = POLLIN };

	hook__push(h, "x", 1);
	for (int i = 0; i < 4 && !*said; i++) {
		poll(&p, 1, 5000);
		hook__dispatch(h);
	}
	ok(strstr(said, "took too long"), "one that takes too long is ended");
	ok(is_over((pid_t)strtol(content(), NULL, 10)), "with what it has started");
	said[0] = '\0';
	hook__push(h, "x", 1);
	hook__push(h, "x", 1);
	hook__finish(h);
	ok(strstr(said, "ended with the watch") && strstr(said, "not run for 1 stall"),
	   "and at the end, with what waits for it");
	hook__free(h);
}

static void ends(void)
{
	struct hook *h = open_hook("echo $$ >%s; sleep 100");
	const struct hook_opts nobody = { .command = "true", .user = "nobody-of-that-name" };
	struct timespec wait = { .tv_nsec = 10000000 };
	pid_t pid = 0;

	hook__push(h, "x", 1);
	for (int i = 0; i < 500 && !pid; i++) {
		nanosleep(&wait, NULL);
		pid = (pid_t)strtol(content(), NULL, 10);
	}
	ok(pid > 0 && !kill(pid, 0), "one that runs");
	hook__free(h);
	ok(is_over(pid), "does not outlive us");
	h = NULL;
	is_int(hook__new(&nobody, say, NULL, &h, &err), -22, "a user that is none is refused");
	ok(!h && strstr(err.text, "nobody-of-that-name"), "by name");
}

int main(void)
{
	int fd = mkstemp(path);

	plan(16);
	if (fd >= 0)
		close(fd);
	runs();
	fails();
	waits();
	takes_long();
	ends();
	unlink(path);
	return done();
}
