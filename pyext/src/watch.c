// SPDX-License-Identifier: MIT OR Apache-2.0
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "watch.h"

#define WATCH_STACK_LEN (256 * 1024)
#define WATCH_TERM_MS 5000
#define WATCH_KILL_MS 2000

enum watch_state {
	WATCH_NONE,
	WATCH_EARLY, /* running; who started it waits whether it ends at once */
	WATCH_RUNNING,
	WATCH_STOPPING, /* running; its end is wanted */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* state became WATCH_NONE; by CLOCK_MONOTONIC */
	pthread_once_t once;
	enum watch_state state;
	struct watch_handles h; /* valid while a watcher runs */
	struct watch_end end; /* of the last one */
} watch = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

/* What the thread has read of one stream. */
struct watch_line {
	char text[WATCH_TEXT_CAP];
	size_t len;
	bool complete; /* the next byte begins a new line */
};

static void init_condition(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&watch.changed, &attr);
	pthread_condattr_destroy(&attr);
}

static void close_handles(const struct watch_handles *h)
{
	close(h->status_fd);
	close(h->err_fd);
	close(h->out_fd);
}

static void write_all(int fd, const char *buf, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf += n;
		len -= (size_t)n;
	}
}

/* Keeps the beginning of the last line that is not empty. */
static void line__add(struct watch_line *line, const char *buf, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (buf[i] == '\n') {
			line->complete = true;
			continue;
		}
		if (line->complete)
			line->len = 0;
		line->complete = false;
		if (line->len < sizeof(line->text) - 1)
			line->text[line->len++] = buf[i];
	}
	line->text[line->len] = '\0';
}

/* Reads what is there. False at the end of the stream. */
static bool relay(int fd, struct watch_line *line, int out_fd)
{
	char buf[1024];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	if (out_fd >= 0)
		write_all(out_fd, buf, (size_t)n);
	line__add(line, buf, (size_t)n);
	return true;
}

/* "exit status 1", "signal 9"; @status as in struct watch_end. */
static void format_status(char *buf, size_t len, int status)
{
	if (status < 0)
		snprintf(buf, len, "exit status unknown");
	else if (status > 128)
		snprintf(buf, len, "signal %d", status - 128);
	else
		snprintf(buf, len, "exit status %d", status);
}

static void tell_end(int out_fd, int status)
{
	char how[40], text[160];
	int len;

	format_status(how, sizeof(how), status);
	len = snprintf(
		text, sizeof(text),
		"perpetuo: the watcher of process %ld has ended (%s); nobody looks for stalls "
		"any more\n",
		(long)getpid(), how);
	write_all(out_fd, text, (size_t)len);
}

static void *follow(void *arg)
{
	struct watch_line status = { .complete = true }, err = { .complete = true };
	struct watch_handles h = *(struct watch_handles *)arg;
	bool unasked;
	struct pollfd fds[2] = {
		{ .fd = h.err_fd, .events = POLLIN },
		{ .fd = h.status_fd, .events = POLLIN },
	};
	char *end;
	long n;

	free(arg);
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		/* stderr first: at the end its last line must be there */
		if (fds[0].revents && !relay(h.err_fd, &err, h.out_fd))
			fds[0].fd = -1;
		if (fds[1].revents && !relay(h.status_fd, &status, -1))
			fds[1].fd = -1;
	}
	n = strtol(status.text, &end, 10);
	if (end == status.text || n < 0 || n > 255)
		n = -1;
	pthread_mutex_lock(&watch.lock);
	watch.end.status = (int)n;
	memcpy(watch.end.last_line, err.text, sizeof(err.text));
	unasked = watch.state == WATCH_RUNNING;
	watch.state = WATCH_NONE;
	close(h.status_fd);
	close(h.err_fd);
	if (!unasked)
		close(h.out_fd);
	pthread_cond_broadcast(&watch.changed);
	pthread_mutex_unlock(&watch.lock);
	if (unasked) {
		/* without the lock, which fork() takes: perhaps nobody reads */
		tell_end(h.out_fd, (int)n);
		close(h.out_fd);
	}
	return NULL;
}

/* A thread that takes no signal: they are for the program's own. */
static int start_thread(struct watch_handles *h)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int err;

	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	pthread_attr_setstacksize(&attr, WATCH_STACK_LEN);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, follow, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int watch__begin(const struct watch_handles *handles)
{
	struct watch_handles *h = malloc(sizeof(*h));
	int err = -EALREADY;

	pthread_once(&watch.once, init_condition);
	pthread_mutex_lock(&watch.lock);
	if (watch.state == WATCH_NONE) {
		err = -ENOMEM;
		if (h) {
			*h = *handles;
			err = start_thread(h);
		}
	}
	if (err) {
		close_handles(handles);
		free(h);
	} else {
		watch.h = *handles;
		watch.state = WATCH_EARLY;
	}
	pthread_mutex_unlock(&watch.lock);
	return err;
}

bool watch__is_running(void)
{
	bool running;

	pthread_mutex_lock(&watch.lock);
	running = watch.state != WATCH_NONE;
	pthread_mutex_unlock(&watch.lock);
	return running;
}

/* With the lock held. False when the time is over and the watcher still there. */
static bool wait_end(int timeout_ms)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (watch.state != WATCH_NONE && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&watch.changed, &watch.lock, &until);
	return watch.state == WATCH_NONE;
}

bool watch__wait_early_end(int timeout_ms, struct watch_end *end)
{
	bool ended;

	pthread_mutex_lock(&watch.lock);
	ended = wait_end(timeout_ms);
	if (ended)
		*end = watch.end;
	else if (watch.state == WATCH_EARLY)
		watch.state = WATCH_RUNNING;
	pthread_mutex_unlock(&watch.lock);
	return ended;
}

bool watch__stop(void)
{
	bool running;

	pthread_mutex_lock(&watch.lock);
	running = watch.state != WATCH_NONE;
	if (running) {
		/* The group has a member while the state says so: its number is not reused. */
		watch.state = WATCH_STOPPING;
		kill(-watch.h.group, SIGTERM);
		if (!wait_end(WATCH_TERM_MS)) {
			kill(-watch.h.group, SIGKILL);
			wait_end(WATCH_KILL_MS);
		}
	}
	pthread_mutex_unlock(&watch.lock);
	return running;
}

void watch__before_fork(void)
{
	pthread_mutex_lock(&watch.lock);
}

void watch__after_fork_parent(void)
{
	pthread_mutex_unlock(&watch.lock);
}

void watch__after_fork_child(void)
{
	/* The thread is not here; what it held must not keep the watcher's pipes open. */
	if (watch.state != WATCH_NONE)
		close_handles(&watch.h);
	watch.state = WATCH_NONE;
	watch.once = (pthread_once_t)PTHREAD_ONCE_INIT;
	pthread_mutex_unlock(&watch.lock);
}
