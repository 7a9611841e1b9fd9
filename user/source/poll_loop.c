// SPDX-License-Identifier: MIT OR Apache-2.0
#include "source/poll_loop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "bpf/loop_state.h"
#include "bpf/stall_state.h"
#include "proc/mem.h"
#include "proc/task.h"

#define MAX_LOOPS 64 /* of one process */
#define ASK_MIN_NS (50 * NSEC_PER_MSEC) /* between two questions what the loop is at rest */
#define ASK_MAX_NS (60 * NSEC_PER_SEC)

struct poll_loop {
	pid_t tid;
	uint64_t addr; /* of its count of steps; 0 = the entry is free */
	int fd; /* on which it waits, -1 = not known: on any */
	bool unrested; /* who judges stalls has not seen it at rest yet */
	uint64_t ask_ns; /* when to say that it rests */
	uint64_t gap_ns; /* from the last time to that */
	struct loop_step step;
};

struct poll_loops {
	struct poll_loop loop[MAX_LOOPS];
};

/* The loop of thread TID that counts at ADDR, or NULL; with 0 and 0 a free entry. */
static struct poll_loop *find(struct poll_loops *loops, pid_t tid, uint64_t addr)
{
	for (size_t i = 0; i < MAX_LOOPS; i++)
		if (loops->loop[i].tid == tid && loops->loop[i].addr == addr)
			return &loops->loop[i];
	return NULL;
}

static bool has_ended(pid_t pid, pid_t tid)
{
	struct task_stat st;
	int ret = task_stat__load(pid, tid, &st);

	return ret == -ESRCH || ret == -ENOENT;
}

/*
 * A free entry, or else that of a thread that has ended: nobody asks about one whose loop waited
 * last. NULL: all of them live.
 */
static struct poll_loop *find_room(struct poll_loops *loops, pid_t pid)
{
	struct poll_loop *l = find(loops, 0, 0);

	for (size_t i = 0; i < MAX_LOOPS && !l; i++)
		if (!loops->loop[i].step.since && has_ended(pid, loops->loop[i].tid))
			l = &loops->loop[i];
	return l;
}

int poll_loops__set(struct poll_loops **loops, pid_t pid, const struct source_loop *loop)
{
	struct poll_loop *l;

	if (!*loops)
		*loops = calloc(1, sizeof(**loops));
	if (!*loops)
		return -ENOMEM;
	l = find(*loops, loop->tid, loop->ver_addr);
	if (!l) {
		l = find_room(*loops, pid);
		if (!l)
			return -ENOSPC;
		*l = (struct poll_loop){
			.tid = loop->tid,
			.addr = loop->ver_addr,
			.unrested = true,
			.gap_ns = ASK_MIN_NS,
			.step = {
				.ver = loop->ver,
				.seen = clock_monotonic_ns(),
				.cpu = LOOP_NO_CPU,
				.since = loop->busy_ns,
				.flags = loop->exact ? LOOP_EXACT : 0,
			},
		};
	}
	l->fd = loop->fd;
	if (!loop->busy_ns)
		l->unrested = false;
	return 0;
}

void poll_loops__free(struct poll_loops *loops)
{
	free(loops);
}

bool poll_loops__busy(const struct poll_loops *loops)
{
	for (size_t i = 0; loops && i < MAX_LOOPS; i++)
		if (loops->loop[i].addr && loops->loop[i].step.since)
			return true;
	return false;
}

static void tell(const struct poll_loop_pass *pass, const struct poll_loop *l,
		 enum source_event_type type, const struct loop_past *step)
{
	struct source_event ev = {
		.type = type,
		.proc = pass->proc,
		.now_ns = pass->now_ns,
		.loop = {
			.ver_addr = l->addr,
			.ver = step->ver,
			.start_ns = step->since,
			.end_ns = step->end,
			.tid = l->tid,
			.start_exact = step->flags & LOOP_EXACT,
			.is_long = step->flags & LOOP_LONG,
		},
	};

	pass->fn(pass->ctx, &ev);
}

static uint64_t lasted(const struct poll_loop_pass *pass, const struct loop_step *s, uint64_t since,
		       uint64_t until)
{
	return loop_lasted(since, 0, until, pass->pause->total - s->pause_base);
}

/* The step OVER is over: between when it was SEEN last and now. */
static void note_end(const struct poll_loop_pass *pass, struct poll_loop *l, uint64_t seen,
		     struct loop_past *over)
{
	struct loop_step *s = &l->step;

	over->end = seen + (pass->now_ns - seen) / 2;
	if (lasted(pass, s, over->since, seen) >= pass->threshold_ns)
		over->flags |= LOOP_LONG;
	else if (s->told != over->since)
		return;
	if (s->told == over->since)
		s->told = 0;
	tell(pass, l, SOURCE_LOOP_END, over);
}

/* Its thread is no more. */
static void note_left(const struct poll_loop_pass *pass, struct poll_loop *l)
{
	struct loop_past over = { .since = l->step.since, .ver = l->step.ver };

	if (over.since)
		note_end(pass, l, l->step.seen, &over);
	*l = (struct poll_loop){ 0 };
}

/* Does its thread wait where the loop waits? 1, 0, or -ESRCH. */
static int waits(const struct poll_loop_pass *pass, const struct poll_loop *l)
{
	struct task_syscall call;
	int ret = task_syscall__load(pass->pid, l->tid, &call), fd;

	if (ret)
		return ret == -ESRCH || ret == -ENOENT ? -ESRCH : 0;
	fd = task_syscall__epoll_fd(&call);
	return fd >= 0 && (l->fd < 0 || l->fd == fd);
}

/* It rests: a good moment to see what it is like then. */
static void note_rest(const struct poll_loop_pass *pass, struct poll_loop *l)
{
	struct loop_past none = { .ver = l->step.ver };

	if (!l->unrested || pass->now_ns < l->ask_ns)
		return;
	l->ask_ns = pass->now_ns + l->gap_ns;
	l->gap_ns = l->gap_ns * 2 < ASK_MAX_NS ? l->gap_ns * 2 : ASK_MAX_NS;
	tell(pass, l, SOURCE_LOOP_ASK, &none);
}

/* 0, or -ESRCH: it is no more. */
static int look(const struct poll_loop_pass *pass, struct poll_loop *l)
{
	struct loop_look look = { .now = pass->now_ns, .cpu = LOOP_NO_CPU };
	struct loop_step *s = &l->step;
	uint64_t since = s->since, seen = s->seen, ver = 0;
	struct loop_past over = { 0 };
	int idle;

	look.known = !mem__read_u64(pass->mem, l->addr, &ver);
	look.ver = ver;
	if (!look.known || look.ver == s->ver) {
		/* one that waited and has taken no step since waits still */
		idle = since ? waits(pass, l) : 1;
		if (idle < 0)
			return idle;
		look.idle = idle;
	}
	if (loop_observe(s, &look, &over))
		note_end(pass, l, seen, &over);
	if (s->since && s->since != since) {
		s->flags = 0; /* it began at some time since the last look */
		s->pause_base = stall_pause_at(pass->pause, s->since + (uint64_t)pass->clock_off);
	}
	return 0;
}

static void judge(const struct poll_loop_pass *pass, struct poll_loop *l, uint64_t *deadline)
{
	struct loop_step *s = &l->step;
	struct loop_past step = { .since = s->since, .ver = s->ver, .flags = s->flags };
	uint64_t ns;

	if (!s->since || s->told == s->since || pass->pause->since)
		return;
	ns = lasted(pass, s, s->since, pass->now_ns);
	if (ns < pass->threshold_ns) {
		if (pass->now_ns + pass->threshold_ns - ns < *deadline)
			*deadline = pass->now_ns + pass->threshold_ns - ns;
		return;
	}
	s->told = s->since;
	tell(pass, l, SOURCE_LOOP_STALL, &step);
}

void poll_loops__judge(struct poll_loops *loops, const struct poll_loop_pass *pass,
		       uint64_t *deadline)
{
	for (size_t i = 0; loops && i < MAX_LOOPS; i++) {
		struct poll_loop *l = &loops->loop[i];

		if (!l->addr)
			continue;
		if (look(pass, l)) {
			note_left(pass, l);
			continue;
		}
		judge(pass, l, deadline);
		if (!l->step.since)
			note_rest(pass, l);
	}
}
