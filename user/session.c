// SPDX-License-Identifier: MIT OR Apache-2.0
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "family.h"
#include "gil.h"
#include "hook.h"
#include "judge.h"
#include "life.h"
#include "lookout.h"
#include "loop.h"
#include "privilege.h"
#include "queue.h"
#include "record.h"
#include "session_parts.h"
#include "sink/sink.h"
#include "source/source.h"
#include "target.h"
#include "top.h"

#define MODULE "session"

/* What is told may take long to look at (stacks); a signal is not kept waiting for longer. */
#define SLICE_NS (20 * NSEC_PER_MSEC)

/* A record that could not be written: said once a failure; fatal when nobody reads any more. */
static void note_write(struct session *s, int ret, struct err *err)
{
	if (!ret)
		return;
	if (ret == -EPIPE) {
		s->fatal = err_set(&s->fatal_why, ret, "%s", err_text(err, ret));
		return;
	}
	log_msg(LOG_ERROR, MODULE, "%s (%llu records lost so far)", err_text(err, ret),
		(unsigned long long)sink__lost(s->sink));
}

void session_tell_text(void *ctx, enum report_severity severity, pid_t pid, const char *text)
{
	struct session *s = ctx;
	struct err err = { { 0 } };

	note_write(s, record__info(s->sink, severity, pid, text, &err), &err);
}

static void tell(struct session *s, enum report_severity severity, pid_t pid, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void tell(struct session *s, enum report_severity severity, pid_t pid, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	session_tell_text(s, severity, pid, text);
}

/* 0 as long as somebody reads the reports. */
static int fate(const struct session *s, struct err *err)
{
	return s->fatal ? err_set(err, s->fatal, "%s", s->fatal_why.text) : 0;
}

int session_epoll_add(struct session *s, int fd, uint64_t tag, struct err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return err_set(err, -errno, "epoll_ctl: %s", strerror(errno));
	return 0;
}

struct target *session_find_target(void *ctx, pid_t pid)
{
	struct session *s = ctx;

	for (size_t i = 0; i < SOURCE_MAX_PROCS; i++)
		if (s->target[i] && s->target[i]->pid == pid)
			return s->target[i];
	return NULL;
}

/* AT_NS 0: off. */
static void arm(int timer_fd, uint64_t at_ns)
{
	struct itimerspec its = {
		.it_value.tv_sec = (time_t)(at_ns / NSEC_PER_SEC),
		.it_value.tv_nsec = (long)(at_ns % NSEC_PER_SEC),
	};

	timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* Sets the timer to the earliest look that is due; off when all have their pages. */
static void arm_looks(struct session *s)
{
	uint64_t at = s->family ? family__due(s->family) : 0, due;

	for (size_t i = 0; i < SOURCE_MAX_PROCS; i++) {
		const struct target *t = s->target[i];

		due = t ? lookout__due(t) : 0;
		if (due && (!at || due < at))
			at = due;
	}
	arm(s->look_fd, at);
}

/* A free handle: as many as the backend was opened for. */
static int free_handle(const struct session *s)
{
	for (int i = 0; i < (int)session_max_procs(s->opts); i++)
		if (!s->target[i])
			return i;
	return -ENOSPC;
}

static int add_target(struct session *s, pid_t pid, struct target **out, struct err *err)
{
	int proc = free_handle(s);
	struct target *t;
	int ret;

	if (proc < 0)
		return err_set(err, proc, "at most %d processes can be watched at once",
			       SOURCE_MAX_PROCS);
	ret = target__open(pid, (uint32_t)proc, &t, err);
	if (ret)
		return ret;
	ret = session_epoll_add(s, t->pidfd, t->proc, err);
	if (!ret)
		ret = s->ops->add(s->source, t->proc, pid, t->pidfd, t->info.monotonic_offset_ns,
				  t->info.start_monotonic_ns, err);
	if (ret) {
		target__free(t);
		return ret;
	}
	s->target[proc] = t;
	s->ntargets++;
	*out = t;
	return 0;
}

static void remove_target(struct session *s, struct target *t)
{
	struct source_event ev;

	s->ops->remove(s->source, t->proc);
	while (queue__pop_of(s->queue, t->proc, &ev))
		; /* the handle will be another's */
	if (s->gil)
		gil_judge__forget(s->gil, t->proc);
	if (s->loop)
		loop_judge__forget(s->loop, t->proc);
	s->target[t->proc] = NULL;
	s->ntargets--;
	target__free(t);
}

int session_add_child(void *ctx, pid_t pid, struct target **out, struct err *err)
{
	return add_target(ctx, pid, out, err);
}

void session_drop_child(void *ctx, struct target *t)
{
	remove_target(ctx, t);
}

/* One that we were told to watch. */
static int add_root(struct session *s, pid_t pid, struct target **t, struct err *err)
{
	int ret = add_target(s, pid, t, err);

	if (!ret && s->family)
		ret = family__follow(s->family, *t, err);
	return ret;
}

int session__add(struct session *s, pid_t pid, struct err *err)
{
	struct target *t;
	int ret;

	tell(s, REPORT_INFO, pid, "Attempting to monitor pid %d...", (int)pid);
	ret = add_root(s, pid, &t, err);
	if (ret)
		return ret;
	lookout__look(&s->lookout, t);
	if (!t->npages) {
		ret = lookout__check_python(t, err);
		if (ret) {
			remove_target(s, t);
			return ret;
		}
	}
	arm_looks(s);
	return fate(s, err);
}

int session__add_starting(struct session *s, pid_t pid, struct err *err)
{
	struct target *t;
	int ret = add_root(s, pid, &t, err);

	if (ret)
		return ret;
	t->said_no_pages = true; /* of course it has none yet */
	lookout__later(t);
	arm_looks(s);
	return 0;
}

static void on_exec(struct session *s, struct target *t)
{
	struct err err = { { 0 } };
	int ret;

	ret = judge__target_gone(s->judge, t, "the process executes another program", &err);
	note_write(s, ret, &err);
	if (s->gil)
		gil_judge__forget(s->gil, t->proc);
	if (s->loop)
		loop_judge__forget(s->loop, t->proc);
	log_msg(LOG_DEBUG, MODULE, "process %d executes another program", (int)t->pid);
	s->ops->remove(s->source, t->proc);
	t->next_look_ns = 0;
	ret = target__reopen(t, &err);
	if (!ret && s->family)
		ret = family__executed(s->family, t, &err);
	if (!ret)
		ret = s->ops->add(s->source, t->proc, t->pid, t->pidfd, t->info.monotonic_offset_ns,
				  t->info.start_monotonic_ns, &err);
	if (ret == -ESRCH || ret == -ENOENT)
		return; /* it exits, its memory is gone already: its pidfd will say so */
	if (ret) {
		log_msg(t->parent ? LOG_DEBUG : LOG_ERROR, MODULE,
			"process %d is watched no longer: %s", (int)t->pid, err_text(&err, ret));
		remove_target(s, t);
		return;
	}
	lookout__later(t);
}

static void handle(struct session *s, const struct source_event *ev)
{
	struct target *t = ev->proc < SOURCE_MAX_PROCS ? s->target[ev->proc] : NULL;
	struct err err = { { 0 } };

	if (!t)
		return;
	switch (ev->type) {
	case SOURCE_STALL:
	case SOURCE_END:
	case SOURCE_OVER:
		note_write(s, judge__event(s->judge, t, ev, &err), &err);
		break;
	case SOURCE_GIL_WAIT:
	case SOURCE_GIL_END:
		if (s->gil)
			note_write(s, gil_judge__event(s->gil, t, ev, &err), &err);
		break;
	case SOURCE_LOOP_ASK:
	case SOURCE_LOOP_STALL:
	case SOURCE_LOOP_END:
		if (s->loop)
			note_write(s, loop_judge__event(s->loop, t, ev, &err), &err);
		break;
	case SOURCE_GIL_BORN:
		if (s->gil)
			gil_judge__look(s->gil, t, &err);
		break;
	case SOURCE_GENERATION:
		lookout__changed(&s->lookout, t, ev->page);
		break;
	case SOURCE_EXEC:
		on_exec(s, t);
		break;
	case SOURCE_CHILD:
	case SOURCE_LOST:
		break;
	}
}

/* Handles what is queued for one slice of time. */
static void handle_slice(struct session *s)
{
	uint64_t end = clock_monotonic_ns() + SLICE_NS;
	struct source_event ev;

	while (!s->fatal && queue__pop(s->queue, &ev)) {
		handle(s, &ev);
		if (clock_monotonic_ns() > end)
			return;
	}
}

/* What is due of stalls that go on, for one slice of time: the timer stands, and comes again. */
static void on_life(struct session *s)
{
	uint64_t expired, now = clock_monotonic_ns(), end = now + SLICE_NS;
	struct err err = { { 0 } };
	bool done = false;

	if (read(s->life_fd, &expired, sizeof(expired)) < 0)
		return;
	while (!done && !s->fatal && clock_monotonic_ns() < end)
		note_write(s, life__run(s->life, s->target, now, &done, &err), &err);
}

static void dispatch(struct session *s)
{
	int ret = s->ops->dispatch(s->source);

	if (ret < 0)
		log_msg(LOG_WARN, MODULE, "backend %s: %s", s->ops->name, strerror(-ret));
	if (!s->lost_untold)
		return;
	tell(s, REPORT_WARNING, 0, "%llu events of the kernel were lost: stalls may be missing",
	     (unsigned long long)s->lost_untold);
	s->lost += s->lost_untold;
	s->lost_untold = 0;
}

static void on_exit_of(struct session *s, uint32_t proc)
{
	struct err err = { { 0 } };
	struct source_event ev;
	struct target *t;

	dispatch(s); /* what was told before it ended comes first */
	while (!s->fatal && queue__pop_of(s->queue, proc, &ev))
		handle(s, &ev);
	t = s->target[proc];
	if (!t)
		return;
	note_write(s, judge__target_gone(s->judge, t, "the process has exited", &err), &err);
	if (t->parent)
		log_msg(LOG_DEBUG, MODULE, "process %d has exited", (int)t->pid);
	else if (t->was_watched || s->family)
		tell(s, REPORT_INFO, t->pid, "Process %d has exited", (int)t->pid);
	else
		tell(s, REPORT_INFO, t->pid,
		     "Process %d has exited; it had no perpetuo trackers, so nothing was watched",
		     (int)t->pid);
	remove_target(s, t);
}

static void on_looks(struct session *s)
{
	uint64_t expired, now = clock_monotonic_ns(), end = now + SLICE_NS;

	if (read(s->look_fd, &expired, sizeof(expired)) < 0)
		return;
	/* first: of a handle that becomes free below, the exit may still be on its way to us */
	if (s->family)
		family__run(s->family, now);
	for (size_t i = 0; i < SOURCE_MAX_PROCS && clock_monotonic_ns() < end; i++) {
		struct target *t = s->target[i];

		uint64_t due = t ? lookout__due(t) : 0;

		if (!due || due > now)
			continue;
		if (target__is_void(t)) /* the poll backend sees an exec only where it reads */
			on_exec(s, t);
		else if (!s->family || family__settle(s->family, t))
			lookout__run(&s->lookout, t, now);
	}
}

/* A command is waited for, its orphans are not. Of processes that ran before, all are. */
static bool is_over(const struct session *s)
{
	bool roots = false;

	if (s->opts->mode != MODE_RUN || !s->family)
		return !s->ntargets && !(s->family && family__waits(s->family));
	for (size_t i = 0; i < SOURCE_MAX_PROCS && !roots; i++)
		roots = s->target[i] && !s->target[i]->parent;
	return !roots;
}

/* With room for hundreds of children, a few files each. A command was started with the old limit.
 */
static void raise_file_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

int session__show(struct session *s, struct top *t, struct err *err)
{
	int ret = session_epoll_add(s, top__fd(t), TAG_TOP, err);

	if (!ret)
		top__start(t);
	s->top = t;
	return ret;
}

/* True: stop watching. */
static bool on_top(struct session *s)
{
	struct err err = { { 0 } };
	int ret = top__dispatch(s->top, s->ops, s->source, s->target, &err);

	if (ret < 0)
		s->fatal = err_set(&s->fatal_why, ret, "%s", err_text(&err, ret));
	return ret != 0;
}

/* True: stop watching. */
static bool on_signal(struct session *s, pid_t forward_to)
{
	struct signalfd_siginfo si;
	struct err err = { { 0 } };

	if (read(s->signal_fd, &si, sizeof(si)) != sizeof(si))
		return false;
	if (si.ssi_signo == SIGUSR1) {
		note_write(s, life__summarize(s->life, true, &err), &err);
		return false;
	}
	if (!forward_to)
		return true;
	/* Ctrl-C reaches the command by itself, from the terminal; it decides what that means */
	if (si.ssi_signo != SIGINT || si.ssi_code != SI_KERNEL)
		kill(forward_to, (int)si.ssi_signo);
	return false;
}

/* What is said once, when nothing is watched any more. */
static void end_watch(struct session *s)
{
	struct err err = { { 0 } };

	if (s->hook && !s->fatal)
		hook__finish(s->hook);
	if (!s->fatal)
		note_write(s, life__summarize(s->life, false, &err), &err);
}

bool session__saw_stall(const struct session *s)
{
	return life__saw_stall(s->life);
}

int session__run(struct session *s, pid_t forward_to, struct err *err)
{
	struct epoll_event ev[16];
	bool stop = false;
	int n, ret;

	ret = privilege__reduce(s->hook && hook__needs_setuid(s->hook), err);
	if (ret)
		return ret;
	if (s->family)
		raise_file_limit();
	while (!is_over(s) && !stop && !s->fatal) {
		n = epoll_wait(s->epoll_fd, ev, 16, queue__is_empty(s->queue) ? -1 : 0);
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "epoll_wait: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			uint64_t tag = ev[i].data.u64;

			if (tag == TAG_SOURCE)
				dispatch(s);
			else if (tag == TAG_LOOK)
				on_looks(s);
			else if (tag == TAG_LIFE)
				on_life(s);
			else if (tag == TAG_HOOK)
				hook__dispatch(s->hook);
			else if (tag == TAG_TOP)
				stop |= on_top(s);
			else if (tag == TAG_SIGNAL)
				stop |= on_signal(s, forward_to);
			else if (tag < SOURCE_MAX_PROCS && s->target[tag])
				on_exit_of(s, (uint32_t)tag);
		}
		handle_slice(s);
		arm_looks(s);
		arm(s->life_fd, life__next(s->life));
	}
	end_watch(s);
	return fate(s, err);
}
