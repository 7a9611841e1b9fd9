// SPDX-License-Identifier: MIT OR Apache-2.0
#include "hook.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "identity.h"

#define EXIT_CANNOT 126 /* as a shell has it */

struct waiting {
	char *record;
	size_t len;
};

struct hook {
	struct hook_opts opts;
	struct identity identity;
	hook_say_fn say;
	void *ctx;
	int epoll_fd;
	int timer_fd; /* of the one that runs */
	pid_t pid; /* that runs, 0 = none */
	int pid_fd;
	bool killed;
	struct waiting waiting[HOOK_MAX_WAITING]; /* the oldest first */
	size_t cnt, bytes;
	uint64_t dropped;
};

__attribute__((format(printf, 2, 3))) static void say(const struct hook *h, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	h->say(h->ctx, text);
}

static int wait_on(struct hook *h, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int hook__new(const struct hook_opts *opts, hook_say_fn say_fn, void *ctx, struct hook **out,
	      struct err *err)
{
	struct hook *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	h->opts = *opts;
	h->say = say_fn;
	h->ctx = ctx;
	h->pid_fd = -1;
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ret = h->epoll_fd < 0 || h->timer_fd < 0 ? -errno : wait_on(h, h->timer_fd);
	if (ret)
		err_set(err, ret, "cannot wait for --on-stall: %s", strerror(-ret));
	else
		ret = identity__find(&h->identity, opts->user, err);
	if (ret) {
		hook__free(h);
		return ret;
	}
	*out = h;
	return 0;
}

bool hook__needs_setuid(const struct hook *h)
{
	return identity__differs(&h->identity);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Also root is then no more than the owner of its files. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

/* In the child. */
static void __attribute__((noreturn)) run(const struct hook *h, int record_fd)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	setsid();
	setpriority(PRIO_PROCESS, 0, 0); /* the watch may have given itself more */
	if (dup2(record_fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(EXIT_CANNOT);
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0); /* all are close-on-exec anyway */
	if (identity__become(&h->identity) || drop_capabilities())
		_exit(EXIT_CANNOT);
	execl("/bin/sh", "sh", "-c", h->opts.command, (char *)NULL);
	_exit(EXIT_CANNOT);
}

/* A file in memory that holds the record: nobody waits for who does not read it. */
static int record_file(const struct waiting *w)
{
	int fd = memfd_create("stall", MFD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (write(fd, w->record, w->len) == (ssize_t)w->len && !lseek(fd, 0, SEEK_SET))
		return fd;
	err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

static void arm(const struct hook *h, uint64_t ns)
{
	struct itimerspec its = {
		.it_value.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.it_value.tv_nsec = (long)(ns % NSEC_PER_SEC),
	};

	timerfd_settime(h->timer_fd, 0, &its, NULL);
}

/* 0 or negative errno. */
static int start(struct hook *h, const struct waiting *w)
{
	int fd = record_file(w), err;

	if (fd < 0)
		return fd;
	h->pid = fork();
	if (!h->pid)
		run(h, fd);
	err = h->pid < 0 ? -errno : 0;
	close(fd);
	if (err) {
		h->pid = 0;
		return err;
	}
	h->killed = false;
	h->pid_fd = (int)syscall(SYS_pidfd_open, h->pid, 0);
	if (h->pid_fd < 0 || wait_on(h, h->pid_fd)) { /* its end would not be seen */
		err = -errno;
		kill(h->pid, SIGKILL);
		waitpid(h->pid, NULL, 0);
		if (h->pid_fd >= 0)
			close(h->pid_fd);
		h->pid = 0;
		h->pid_fd = -1;
		return err;
	}
	arm(h, h->opts.time_ns);
	return 0;
}

static void stop(struct hook *h)
{
	h->killed = true;
	kill(-h->pid, SIGKILL); /* its session: what it has started, too */
	kill(h->pid, SIGKILL); /* before it has one */
}

/* True if it has ended; that it failed is said. */
static bool reap(struct hook *h)
{
	int status;

	if (waitpid(h->pid, &status, WNOHANG) != h->pid)
		return false;
	close(h->pid_fd);
	h->pid_fd = -1;
	h->pid = 0;
	arm(h, 0);
	if (h->killed)
		say(h, "the command of --on-stall was ended: it took too long");
	else if (WIFSIGNALED(status))
		say(h, "the command of --on-stall was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		say(h, "the command of --on-stall failed: exit status %d", WEXITSTATUS(status));
	return true;
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void say_dropped(struct hook *h)
{
	if (h->dropped)
		say(h, "the command of --on-stall was not run for %llu stalls: it was too slow",
		    (unsigned long long)h->dropped);
	h->dropped = 0;
}

static void start_next(struct hook *h)
{
	struct waiting w;
	int err;

	while (!h->pid && h->cnt) {
		w = h->waiting[0];
		memmove(&h->waiting[0], &h->waiting[1], --h->cnt * sizeof(h->waiting[0]));
		h->bytes -= w.len;
		err = start(h, &w);
		free(w.record);
		if (err)
			say(h, "the command of --on-stall cannot be run: %s", strerror(-err));
	}
	if (!h->pid)
		say_dropped(h);
}

void hook__push(struct hook *h, const char *record, size_t len)
{
	struct waiting *w = &h->waiting[h->cnt];
	bool full = h->cnt == HOOK_MAX_WAITING || (h->cnt && h->bytes + len > HOOK_MAX_BYTES);

	if (!full)
		w->record = malloc(len);
	if (full || !w->record) {
		h->dropped++;
		return;
	}
	memcpy(w->record, record, len);
	w->len = len;
	h->cnt++;
	h->bytes += len;
	start_next(h);
}

int hook__fd(const struct hook *h)
{
	return h->epoll_fd;
}

void hook__dispatch(struct hook *h)
{
	uint64_t expired;

	if (read(h->timer_fd, &expired, sizeof(expired)) == sizeof(expired) && h->pid)
		stop(h);
	if (h->pid && reap(h))
		start_next(h);
}

void hook__finish(struct hook *h)
{
	uint64_t end = clock_monotonic_ns() + h->opts.last_ns, now;
	struct pollfd p = { .fd = h->epoll_fd, .events = POLLIN };

	while (h->pid && (now = clock_monotonic_ns()) < end) {
		poll(&p, 1, (int)((end - now) / NSEC_PER_MSEC) + 1);
		hook__dispatch(h);
	}
	h->dropped += h->cnt;
	if (h->pid) {
		stop(h);
		say(h, "the command of --on-stall was ended with the watch");
	}
	say_dropped(h);
}

void hook__free(struct hook *h)
{
	if (!h)
		return;
	if (h->pid) {
		stop(h);
		waitpid(h->pid, NULL, 0);
	}
	for (size_t i = 0; i < h->cnt; i++)
		free(h->waiting[i].record);
	if (h->pid_fd >= 0)
		close(h->pid_fd);
	if (h->timer_fd >= 0)
		close(h->timer_fd);
	if (h->epoll_fd >= 0)
		close(h->epoll_fd);
	free(h);
}
