// SPDX-License-Identifier: MIT OR Apache-2.0
#include "sink/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a reader that does not read may hold up the watch (outputs that do not block). */
#define STUCK_READER_MS 2000

/* Memory that is kept from one record to the next; rare large ones give theirs back. */
#define KEEP_BYTES (256u << 10)

struct sink {
	const struct sink_format *format;
	struct sink_style style;
	struct strbuf record;
	char *path; /* NULL: fd is the caller's */
	int fd;
	bool torn; /* the last record stands there in part: the next begins on a new line */
	bool stuck; /* the reader did not read in time: not waited for again until it does */
	uint64_t lost;
};

static bool wants_colour(const struct sink_format *format, int fd)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return format == &sink_text && isatty(fd) && !(no_color && *no_color) && term &&
	       strcmp(term, "dumb") != 0;
}

static const char *where(const struct sink *s)
{
	if (s->path)
		return s->path;
	return s->fd == STDERR_FILENO ? "standard error" : "standard output";
}

static int open_path(const char *path, struct err *err)
{
	struct stat st;
	int fd, code;

	/* Without O_NONBLOCK a FIFO that nobody reads would hold us here. */
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd >= 0)
		return fd;
	code = -errno;
	if (code == -ENXIO && !stat(path, &st) && S_ISFIFO(st.st_mode))
		return err_set(err, code, "cannot write to '%s': nobody reads this FIFO (yet)",
			       path);
	return err_set(err, code, "cannot write to '%s': %s", path, strerror(-code));
}

int sink__open(const struct sink_format *format, int fd, const char *path, bool locals,
	       struct sink **out, struct err *err)
{
	struct sink *s = calloc(1, sizeof(*s));
	int code = -ENOMEM;

	*out = NULL;
	if (!s)
		goto fail;
	s->format = format;
	s->fd = fd;
	if (path) {
		s->fd = -1;
		s->path = strdup(path);
		if (!s->path)
			goto fail;
		s->fd = open_path(path, err);
		if (s->fd < 0) {
			code = s->fd;
			goto free;
		}
	}
	s->style.colour = wants_colour(format, s->fd);
	s->style.locals = locals;
	*out = s;
	return 0;
fail:
	err_set(err, code, "%s", strerror(-code));
free:
	sink__free(s);
	return code;
}

void sink__show_all(struct sink *s)
{
	s->style.full = true;
}

void sink__free(struct sink *s)
{
	if (!s)
		return;
	if (s->path && s->fd >= 0)
		close(s->fd);
	free(s->path);
	strbuf_free(&s->record);
	free(s);
}

/* 0 when the output takes bytes again (or write() will say why not), -EAGAIN when it does not. */
static int wait_writable(struct sink *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };

	s->stuck = poll(&p, 1, s->stuck ? 0 : STUCK_READER_MS) == 0;
	return s->stuck ? -EAGAIN : 0;
}

/* As much of DATA as the output takes: *DONE bytes. 0 when that is all, else negative errno. */
static int write_all(struct sink *s, const char *data, size_t len, size_t *done)
{
	ssize_t n;
	int err;

	*done = 0;
	while (*done < len) {
		n = write(s->fd, data + *done, len - *done);
		if (n > 0) {
			*done += (size_t)n;
			continue;
		}
		err = n < 0 ? -errno : -EIO;
		if (err == -EAGAIN)
			err = wait_writable(s);
		else if (err == -EINTR)
			err = 0;
		if (err)
			return err;
	}
	return 0;
}

/*
 * Cuts the LEN bytes off again that were just written to FD. Only of a file, and only when nobody
 * has written behind them.
 */
static bool take_back(int fd, size_t len)
{
	struct stat st;
	off_t end;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
	end = lseek(fd, 0, SEEK_CUR);
	if (end < (off_t)len || end != st.st_size)
		return false;
	return !ftruncate(fd, end - (off_t)len) && lseek(fd, end - (off_t)len, SEEK_SET) >= 0;
}

static int write_record(struct sink *s, struct err *err)
{
	const char *text = strbuf_str(&s->record);
	size_t done = 0;
	int code = -ENOMEM;

	if (text)
		code = write_all(s, text, s->record.len, &done);
	if (!code) {
		s->torn = false;
		return 0;
	}
	s->lost++;
	if (done && !take_back(s->fd, done))
		s->torn = true;
	return err_set(err, code, "cannot write a record to %s: %s", where(s), strerror(-code));
}

/* The one place where records go out. */
static int emit(struct sink *s, struct err *err)
{
	int code = write_record(s, err);

	if (s->record.cap > KEEP_BYTES)
		strbuf_free(&s->record);
	return code;
}

static struct strbuf *begin(struct sink *s)
{
	strbuf_reset(&s->record);
	if (s->torn)
		strbuf_addc(&s->record, '\n');
	return &s->record;
}

int sink__stall(struct sink *s, const struct report_stall *r, struct err *err)
{
	s->format->stall(begin(s), &s->style, r);
	return emit(s, err);
}

int sink__info(struct sink *s, const struct report_info *r, struct err *err)
{
	s->format->info(begin(s), &s->style, r);
	return emit(s, err);
}

int sink__summary(struct sink *s, const struct report_summary *r, struct err *err)
{
	s->format->summary(begin(s), &s->style, r);
	return emit(s, err);
}

int sink__dump(struct sink *s, const struct report_dump *r, struct err *err)
{
	s->format->dump(begin(s), &s->style, r);
	return emit(s, err);
}

uint64_t sink__lost(const struct sink *s)
{
	return s->lost;
}
