// SPDX-License-Identifier: MIT OR Apache-2.0
/* session_open.c - what a watch consists of: made, and taken apart again. */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "family.h"
#include "gil.h"
#include "hook.h"
#include "judge.h"
#include "life.h"
#include "loop.h"
#include "py/redact.h"
#include "queue.h"
#include "session_parts.h"
#include "sink/sink.h"
#include "stall/allow.h"
#include "stall/policy.h"
#include "target.h"

#define MODULE "session"

/* The command of --on-stall may take so long, and so long for all that is left at the end. */
#define HOOK_TIME_NS (10 * NSEC_PER_SEC)
#define HOOK_LAST_NS (5 * NSEC_PER_SEC)

static void queue_event(void *ctx, const struct source_event *ev)
{
	struct session *s = ctx;

	if (ev->type == SOURCE_LOST)
		s->lost_untold += ev->lost;
	else if (ev->type == SOURCE_CHILD && s->family)
		family__told(s->family, ev);
	else if (queue__push(s->queue, ev))
		s->lost_untold++;
}

uint32_t session_max_procs(const struct options *opts)
{
	if (opts->follow)
		return SOURCE_MAX_PROCS;
	return opts->mode == MODE_RUN ? 1 : (uint32_t)opts->npids;
}

static int try_backend(struct session *s, const struct source_ops *ops, struct err *err)
{
	struct source_opts so = {
		.poll_ns = s->opts->poll_ns,
		.thresholds = &s->opts->thresholds,
		.max_procs = session_max_procs(s->opts),
		.follow = s->opts->follow,
		.counts = s->opts->mode == MODE_TOP,
	};
	int ret = ops->open(&so, queue_event, s, &s->source, err);

	if (!ret)
		s->ops = ops;
	return ret;
}

static int open_backend(struct session *s, struct err *err)
{
	const char *want = s->opts->backend;
	struct err why = { { 0 } };
	int ret;

	if (!strcmp(want, source_poll.name) && s->opts->mode == MODE_TOP)
		return err_set(err, -EOPNOTSUPP, "top needs BPF, --backend=poll counts nothing");
	if (!strcmp(want, source_poll.name))
		return try_backend(s, &source_poll, err);
	ret = try_backend(s, &source_bpf, &why);
	if (!ret) {
		log_msg(LOG_DEBUG, MODULE, "backend bpf: the kernel watches");
		return 0;
	}
	if (s->opts->mode == MODE_TOP)
		return err_set(err, ret, "top needs BPF: %s", err_text(&why, ret));
	if (!strcmp(want, source_bpf.name))
		return err_set(err, ret, "backend bpf: %s; --backend=poll needs none of it",
			       err_text(&why, ret));
	log_msg(LOG_INFO, MODULE, "backend poll, since bpf cannot be used: %s",
		err_text(&why, ret));
	return try_backend(s, &source_poll, err);
}

static int open_fds(struct session *s, struct err *err)
{
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->look_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->life_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->look_fd < 0 || s->life_fd < 0 || s->signal_fd < 0)
		return err_set(err, -errno, "cannot make the file descriptors of the loop: %s",
			       strerror(errno));
	ret = session_epoll_add(s, s->look_fd, TAG_LOOK, err);
	if (!ret)
		ret = session_epoll_add(s, s->life_fd, TAG_LIFE, err);
	return ret ? ret : session_epoll_add(s, s->signal_fd, TAG_SIGNAL, err);
}

/* What the lookout finds in a child is no news: that it is followed is told. */
static void tell_found(void *ctx, enum report_severity severity, pid_t pid, const char *text)
{
	const struct target *t = session_find_target(ctx, pid);

	if (t && t->parent && severity == REPORT_INFO)
		log_msg(LOG_DEBUG, MODULE, "process %d: %s", (int)pid, text);
	else
		session_tell_text(ctx, severity, pid, text);
}

static int open_judges(struct session *s, struct err *err)
{
	const struct options *opts = s->opts;
	struct bench *b = &s->bench;
	struct life_opts lo = { .allow = s->allow, .hook = s->hook, .locals = opts->locals };

	if (!(opts->sources & OPTIONS_SOURCE_SLOT) && !s->ops->set_gils && !s->ops->watch_loops)
		return err_set(err, -EOPNOTSUPP,
			       "backend %s does not see waits for the GIL or event loops",
			       s->ops->name);
	*b = (struct bench){
		.policy = s->policy,
		.sink = s->sink,
		.ops = s->ops,
		.source = s->source,
		.thresholds = &opts->thresholds,
		.redact = s->redact,
	};
	s->life = b->life = life__new(b, &lo);
	s->judge = judge__new(b);
	if (!s->life || !s->judge)
		return err_set(err, -ENOMEM, "out of memory");
	if (opts->sources & OPTIONS_SOURCE_GIL && s->ops->set_gils) {
		s->gil = gil_judge__new(b);
		if (!s->gil)
			return err_set(err, -ENOMEM, "out of memory");
	}
	if (opts->sources & OPTIONS_SOURCE_LOOP && s->ops->set_loop) {
		s->loop = loop_judge__new(b);
		if (!s->loop)
			return err_set(err, -ENOMEM, "out of memory");
		b->loop = s->loop;
	}
	s->lookout = (struct lookout){
		.opts = opts,
		.ops = s->ops,
		.source = s->source,
		.gil = s->gil,
		.loop = s->loop,
		.tell = tell_found,
		.ctx = s,
	};
	return 0;
}

static void say_of_hook(void *ctx, const char *text)
{
	session_tell_text(ctx, REPORT_WARNING, 0, text);
}

static int open_hook(struct session *s, struct err *err)
{
	struct hook_opts ho = {
		.command = s->opts->on_stall,
		.user = s->opts->user,
		.time_ns = HOOK_TIME_NS,
		.last_ns = HOOK_LAST_NS,
	};
	int ret = hook__new(&ho, say_of_hook, s, &s->hook, err);

	return ret ? ret : session_epoll_add(s, hook__fd(s->hook), TAG_HOOK, err);
}

static int open_family(struct session *s, struct err *err)
{
	const struct family_house house = {
		.find = session_find_target,
		.add = session_add_child,
		.drop = session_drop_child,
		.tell = session_tell_text,
		.ctx = s,
	};

	s->family = family__new(s->ops, s->source, &house);
	return s->family ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int session__new(const struct options *opts, int report_fd, struct session **out, struct err *err)
{
	/* top has room for a line of a stall: it shall say who holds the GIL */
	struct policy_opts po = { .suppress_ns = opts->mode == MODE_TOP ? 0 : opts->suppress_ns };
	struct session *s = calloc(1, sizeof(*s));
	int ret = -ENOMEM;

	if (!s)
		return err_set(err, ret, "out of memory");
	s->opts = opts;
	s->epoll_fd = s->look_fd = s->life_fd = s->signal_fd = -1;
	s->policy = policy__new(&po);
	s->queue = queue__new();
	if (!s->policy || !s->queue) {
		err_set(err, ret, "out of memory");
		goto fail;
	}
	ret = sink__open(opts->json || opts->mode == MODE_TOP ? &sink_json : &sink_text, report_fd,
			 opts->output, opts->locals, &s->sink, err);
	if (!ret && opts->full)
		sink__show_all(s->sink);
	if (!ret)
		ret = open_fds(s, err);
	if (!ret)
		ret = open_backend(s, err);
	if (!ret && s->ops->fd(s->source) >= 0)
		ret = session_epoll_add(s, s->ops->fd(s->source), TAG_SOURCE, err);
	if (ret)
		goto fail;
	if (opts->locals)
		ret = redact__new(opts->redact, opts->nredact, opts->show_secrets, &s->redact, err);
	if (!ret && opts->allow)
		ret = allow__load(opts->allow, &s->allow, err);
	if (!ret && opts->on_stall)
		ret = open_hook(s, err);
	if (!ret)
		ret = open_judges(s, err);
	if (!ret && opts->follow)
		ret = open_family(s, err);
	if (ret)
		goto fail;
	*out = s;
	return 0;
fail:
	session__free(s);
	return ret;
}

static void print_stats(struct session *s)
{
	struct strbuf out = STRBUF_INIT;

	s->ops->stats(s->source, &out);
	judge__stats(s->judge, &out);
	life__stats(s->life, &out);
	if (s->gil)
		gil_judge__stats(s->gil, &out);
	if (s->loop)
		loop_judge__stats(s->loop, &out);
	if (s->family)
		family__stats(s->family, &out);
	strbuf_addf(&out, "session.refreshes %llu\n", (unsigned long long)s->lookout.refreshes);
	strbuf_addf(&out, "session.events_lost %llu\n", (unsigned long long)s->lost);
	strbuf_addf(&out, "session.records_lost %llu\n", (unsigned long long)sink__lost(s->sink));
	if (strbuf_str(&out)) /* stderr itself may be gone: there is nobody left to tell */
		(void)!write(STDERR_FILENO, out.data, out.len);
	strbuf_free(&out);
}

void session__free(struct session *s)
{
	if (!s)
		return;
	if (s->judge && s->opts->stats)
		print_stats(s);
	judge__free(s->judge);
	redact__free(s->redact);
	gil_judge__free(s->gil);
	loop_judge__free(s->loop);
	family__free(s->family);
	life__free(s->life);
	hook__free(s->hook);
	allow__free(s->allow);
	for (size_t i = 0; i < SOURCE_MAX_PROCS; i++)
		target__free(s->target[i]);
	if (s->source)
		s->ops->free(s->source);
	policy__free(s->policy);
	sink__free(s->sink);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->look_fd >= 0)
		close(s->look_fd);
	if (s->life_fd >= 0)
		close(s->life_fd);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	queue__free(s->queue);
	free(s);
}
