// SPDX-License-Identifier: MIT OR Apache-2.0
/* Children that are told or found: who is looked at and when, who is dropped, how much is said. */
#include "family.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/mem.h"
#include "target.h"

#include "tap.h"

#define MS NSEC_PER_MSEC
#define NOBODY 4194200 /* pids from here on: none so high is in use */

/* A session in which nothing is really watched. */
static struct {
	pid_t added; /* the last one */
	unsigned int adds, drops, infos, warnings, follows;
	int add_fails;
	bool stranger; /* who has the pid now is not followed */
	pid_t watched; /* besides */
	struct target *target; /* the last one, NULL = it was dropped */
	char said[256];
} house;

static struct target root;

static struct target *find(void *ctx, pid_t pid)
{
	(void)ctx;
	if (house.target && pid == house.target->pid)
		return house.target;
	return house.watched && pid == house.watched ? &root : NULL;
}

static int add(void *ctx, pid_t pid, struct target **out, struct err *err)
{
	(void)ctx;
	house.adds++;
	house.added = pid;
	if (house.add_fails)
		return err_set(err, house.add_fails, "no room");
	target__free(house.target);
	house.target = *out = calloc(1, sizeof(**out));
	(*out)->pid = pid;
	(*out)->pidfd = -1;
	return 0;
}

static void drop(void *ctx, struct target *t)
{
	(void)ctx;
	house.drops++;
	house.target = NULL;
	target__free(t);
}

static void tell(void *ctx, enum report_severity severity, pid_t pid, const char *text)
{
	(void)ctx, (void)pid;
	if (severity == REPORT_INFO)
		house.infos++;
	else
		house.warnings++;
	snprintf(house.said, sizeof(house.said), "%s", text);
}

static int follow(struct source *s, int pidfd, pid_t parent, struct err *err)
{
	(void)s, (void)pidfd, (void)parent, (void)err;
	house.follows++;
	return 0;
}

static bool follows(const struct source *s, int pidfd)
{
	(void)s, (void)pidfd;
	return !house.stranger;
}

static const struct source_ops kernel = { .name = "bpf", .follow = follow, .follows = follows };
static const struct source_ops searcher = { .name = "poll" };

static struct family *begin(const struct source_ops *ops)
{
	const struct family_house h = { .find = find, .add = add, .drop = drop, .tell = tell };

	target__free(house.target);
	memset(&house, 0, sizeof(house));
	return family__new(ops, NULL, &h);
}

static void told(struct family *f, pid_t pid, uint64_t now_ns)
{
	struct source_event ev = {
		.type = SOURCE_CHILD,
		.now_ns = now_ns,
		.child = { .pid = pid, .parent = 7 },
	};

	family__told(f, &ev);
}

/* Runs until nothing is left that is due by NOW_NS. */
static void run(struct family *f, uint64_t now_ns)
{
	while (family__due(f) && family__due(f) <= now_ns)
		family__run(f, now_ns);
}

static void test_told(void)
{
	struct family *f = begin(&kernel);
	struct mem *mem = root.mem;
	uint64_t now = clock_monotonic_ns();

	is_int(family__due(f), 0, "nobody told, nothing to do");
	told(f, NOBODY, now);
	is_int(family__due(f), now + 10 * MS, "a child is looked at after 10 ms");
	family__run(f, now + 9 * MS);
	ok(!house.adds && family__waits(f), "and not before");
	family__run(f, now + 10 * MS);
	ok(house.adds == 1 && house.added == NOBODY && !family__waits(f), "then it is opened");
	ok(house.target && house.target->parent == 7 && !house.follows,
	   "as a child that is followed already");
	ok(!house.infos && !house.warnings, "nothing is said before it runs Python");
	for (int i = 0; i < 20 && house.target; i++)
		family__settle(f, house.target);
	ok(house.drops == 1 && !house.infos && !house.warnings,
	   "one that never does is dropped without a word");

	house.stranger = true;
	told(f, NOBODY, now);
	run(f, now + 10 * MS);
	ok(house.adds == 2 && house.drops == 2,
	   "a pid that is another's by now is dropped at once");
	house.watched = NOBODY + 1;
	told(f, NOBODY + 1, now);
	told(f, getpid(), now);
	run(f, now + 10 * MS);
	is_int(house.adds, 2, "neither who is watched already nor ourselves are opened");
	ok(!root.next_look_ns, "nor looked at: it is what it was");
	root.mem = NULL; /* it has executed a program, and could not be opened again */
	told(f, NOBODY + 1, now);
	run(f, now + 10 * MS);
	ok(root.next_look_ns, "one that is not any more is looked at");
	root.next_look_ns = 0;
	root.mem = mem;
	family__free(f);
}

static void test_left_out(void)
{
	struct family *f = begin(&kernel);
	uint64_t now = clock_monotonic_ns();

	house.add_fails = -ESRCH;
	told(f, NOBODY, now);
	run(f, now + 10 * MS);
	ok(house.adds == 1 && !house.warnings, "one that is over is no news");
	house.add_fails = -ENOSPC;
	told(f, NOBODY, now);
	run(f, now + 10 * MS);
	is_str(house.said, "Not following pid 4194200 (child of 7): no room",
	       "one for which there is no room is");
	for (int i = 0; i < 1000; i++)
		told(f, NOBODY, now);
	run(f, now + 10 * MS);
	ok(house.adds == 1002 && house.warnings == 20, "but not a thousand times");
	family__free(f);
}

static void test_storm(void)
{
	struct family *f = begin(&kernel);
	uint64_t now = clock_monotonic_ns();

	house.add_fails = -ESRCH;
	for (int i = 0; i < 5000; i++)
		told(f, NOBODY, now);
	run(f, now + 50 * MS);
	is_int(house.adds, 4096, "of a storm as many wait as there is room for");
	ok(family__due(f) > now + 50 * MS, "and the others are searched for, later");
	told(f, 0, now + 10 * MS);
	is_int(family__due(f), now + 110 * MS, "so are those of which the kernel could not tell");
	family__free(f);
}

static void test_search(void)
{
	pid_t child = fork();
	struct family *f;
	uint64_t now;

	if (!child) {
		pause();
		_exit(0);
	}
	f = begin(&kernel);
	root.pid = house.watched = getpid();
	family__follow(f, &root, NULL);
	now = clock_monotonic_ns();
	ok(house.follows == 1 && family__due(f) && family__due(f) <= now,
	   "who has children already is searched for them");
	run(f, now);
	ok(house.added == child && house.follows == 2, "they are found, and followed from then on");
	run(f, clock_monotonic_ns());
	is_int(family__due(f), 0, "and nobody else, once");
	family__free(f);

	f = begin(&searcher);
	house.watched = getpid();
	family__follow(f, &root, NULL);
	now = clock_monotonic_ns();
	run(f, now);
	is_int(house.added, child, "without the kernel's help it is the same");
	ok(family__due(f) >= now + 100 * MS, "again and again");
	for (int i = 0; i < 20 && house.target; i++)
		family__settle(f, house.target);
	is_int(house.drops, 0, "who may execute a Python is kept, since nobody would tell");
	family__free(f);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

int main(void)
{
	struct err err;

	plan(23);
	mem__open(getpid(), &root.mem, &err);
	test_told();
	test_left_out();
	test_storm();
	test_search();
	target__free(house.target);
	mem__free(root.mem);
	return done();
}
