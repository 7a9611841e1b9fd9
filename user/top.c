// SPDX-License-Identifier: MIT OR Apache-2.0
#include "top.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "py/python.h"
#include "source/source.h"
#include "target.h"
#include "top_json.h"
#include "top_view.h"

#define WALKS_NS (300 * NSEC_PER_MSEC) /* for names and frames, of all processes, in a refresh */
#define RECORDS_MAX (4u << 20) /* bytes of records between two refreshes that are read */
#define PLAIN_LINES 48 /* of a page that goes to no terminal */
#define PLAIN_COLUMNS 80

#define CLEAR "\033[H\033[J"

struct top {
	const struct options *opts;
	struct top_view view;
	int records_fd; /* a file without a name */
	int timer_fd;
	int winch_fd; /* the size of the terminal has changed */
	int epoll_fd;
	bool terminal; /* pages go to one */
	bool keys; /* and keys come from one, whose settings were: */
	struct termios was;
	uint64_t shown_ns; /* CLOCK_MONOTONIC of the last refresh, or the start */
	bool shown;
};

static int wait_on(struct top *t, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* Keys come one by one and are not shown. Not of a terminal that is another job's. */
static void take_keys(struct top *t)
{
	struct termios raw;

	if (!t->terminal || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
	    tcgetattr(STDIN_FILENO, &t->was))
		return;
	raw = t->was;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t->keys = !wait_on(t, STDIN_FILENO) && !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

int top__new(const struct options *opts, struct top **out, struct err *err)
{
	struct top *t = calloc(1, sizeof(*t));
	sigset_t winch;
	int ret;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->opts = opts;
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	sigprocmask(SIG_BLOCK, &winch, NULL);
	t->records_fd = memfd_create("records", MFD_CLOEXEC);
	t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	t->winch_fd = signalfd(-1, &winch, SFD_CLOEXEC | SFD_NONBLOCK);
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->records_fd < 0 || t->timer_fd < 0 || t->winch_fd < 0 || t->epoll_fd < 0)
		ret = -errno;
	else
		ret = wait_on(t, t->timer_fd);
	if (!ret)
		ret = wait_on(t, t->winch_fd);
	if (ret) {
		top__free(t);
		return err_set(err, ret, "cannot make the file descriptors of top: %s",
			       strerror(-ret));
	}
	t->terminal = !opts->json && !opts->once && isatty(STDOUT_FILENO);
	take_keys(t);
	*out = t;
	return 0;
}

void top__free(struct top *t)
{
	if (!t)
		return;
	if (t->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &t->was);
	if (t->records_fd >= 0)
		close(t->records_fd);
	if (t->timer_fd >= 0)
		close(t->timer_fd);
	if (t->winch_fd >= 0)
		close(t->winch_fd);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	free(t);
}

int top__records_fd(const struct top *t)
{
	return t->records_fd;
}

int top__fd(const struct top *t)
{
	return t->epoll_fd;
}

bool top__has_shown(const struct top *t)
{
	return t->shown;
}

void top__start(struct top *t)
{
	struct itimerspec second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };

	t->shown_ns = clock_monotonic_ns();
	timerfd_settime(t->timer_fd, 0, &second, NULL);
}

/* ---- what there is to show ------------------------------------------------------------------- */

/* Names of the threads of TARGET, and where they are. */
static void look(struct top *t, struct target *target, uint64_t time_ns)
{
	struct py_walk_opts wo = { .timeout_ns = time_ns };
	struct py_snapshot *snap = NULL;
	struct python *py = target__python(target, NULL);
	struct top_row *r;

	if (!py || python__walk(py, &wo, &snap, NULL))
		return;
	for (size_t i = 0; i < snap->nthreads; i++) {
		const struct py_thread *th = &snap->thread[i];

		r = th->tid ? top_view__find(&t->view, target->pid, th->tid) : NULL;
		if (r)
			top_row__describe(r, th->name, th->nframes ? th->frame->name : NULL,
					  th->nframes ? th->frame->line : 0);
	}
	py_snapshot__free(snap);
}

static void count(struct top *t, const struct source_ops *ops, struct source *source,
		  struct target *const *target)
{
	struct source_counts counts[SOURCE_MAX_COUNTS];
	uint64_t now = clock_monotonic_ns(), end = now + WALKS_NS;

	t->view.wall_ns = clock_wall_ns();
	t->view.span_ns = now > t->shown_ns ? now - t->shown_ns : 1;
	t->view.nprocs = 0;
	t->shown_ns = now;
	top_view__begin(&t->view);
	for (uint32_t i = 0; i < SOURCE_MAX_PROCS; i++) {
		size_t n = target[i] ? ops->counts(source, i, counts) : 0;

		t->view.nprocs += target[i] != NULL;
		for (size_t k = 0; k < n; k++)
			top_view__add(&t->view, target[i]->pid, &counts[k]);
	}
	for (uint32_t i = 0; i < SOURCE_MAX_PROCS && now < end; i++) {
		if (!target[i])
			continue;
		look(t, target[i], end - now);
		now = clock_monotonic_ns();
	}
	top_view__end(&t->view);
}

/* The records since the last refresh, and the file empty again. NULL: out of memory. */
static char *take_records(struct top *t)
{
	struct stat st;
	size_t len;
	ssize_t n;
	char *text;

	if (fstat(t->records_fd, &st) || st.st_size <= 0)
		return strdup("");
	len = st.st_size < RECORDS_MAX ? (size_t)st.st_size : RECORDS_MAX;
	text = malloc(len + 1);
	n = text ? pread(t->records_fd, text, len, 0) : 0;
	if (text)
		text[n > 0 ? n : 0] = '\0';
	if (ftruncate(t->records_fd, 0) || lseek(t->records_fd, 0, SEEK_SET))
		return text; /* they come again */
	return text;
}

/* ---- showing it ------------------------------------------------------------------------------ */

static void page_size(const struct top *t, size_t *lines, size_t *columns)
{
	struct winsize w;

	*lines = PLAIN_LINES;
	*columns = PLAIN_COLUMNS;
	if (!t->terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_row || !w.ws_col)
		return;
	*lines = w.ws_row - 1u; /* the cursor has the last one */
	*columns = w.ws_col;
}

static int show(struct top *t, json_t *stalls, struct err *err)
{
	struct strbuf out = STRBUF_INIT;
	size_t lines, columns;
	const char *text;
	int ret = 0;

	page_size(t, &lines, &columns);
	if (t->opts->json) {
		top_json__add(&out, &t->view, stalls);
	} else {
		if (t->terminal)
			strbuf_adds(&out, CLEAR);
		top_view__page(&t->view, lines, columns, &out);
	}
	text = strbuf_str(&out);
	if (!text)
		ret = err_set(err, -ENOMEM, "out of memory");
	else if (fputs(text, stdout) < 0 || fflush(stdout))
		ret = err_set(err, -EPIPE, "cannot write to standard output: %s", strerror(errno));
	strbuf_free(&out);
	return ret;
}

static int refresh(struct top *t, const struct source_ops *ops, struct source *source,
		   struct target *const *target, struct err *err)
{
	char *records = take_records(t);
	json_t *stalls = records ? top_json__stalls(records, &t->view) : NULL;
	int ret = -ENOMEM;

	free(records);
	if (!stalls)
		return err_set(err, ret, "out of memory");
	count(t, ops, source, target);
	ret = show(t, stalls, err);
	json_decref(stalls);
	t->shown = true;
	return ret ? ret : t->opts->once;
}

/* Did the user press q? At the end of the input it is looked at no more. */
static bool wants_out(struct top *t)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n <= 0)
		epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
	return n > 0 && (memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n));
}

int top__dispatch(struct top *t, const struct source_ops *ops, struct source *source,
		  struct target *const *target, struct err *err)
{
	struct signalfd_siginfo si;
	struct epoll_event ev[4];
	uint64_t expired;
	int n = epoll_wait(t->epoll_fd, ev, 4, 0), ret = 0;

	for (int i = 0; i < n && !ret; i++) {
		if (ev[i].data.fd == t->timer_fd) {
			if (read(t->timer_fd, &expired, sizeof(expired)) > 0)
				ret = refresh(t, ops, source, target, err);
		} else if (ev[i].data.fd == t->winch_fd) {
			if (read(t->winch_fd, &si, sizeof(si)) > 0 && t->terminal && t->shown)
				ret = show(t, NULL, err);
		} else {
			ret = wants_out(t);
		}
	}
	return ret;
}
