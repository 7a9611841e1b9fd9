// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/procfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLURP_FIRST (64u << 10)

int procfile__error(int err)
{
	switch (err) {
	case -EACCES:
	case -EPERM:
		return -EPERM;
	case -ESRCH:
	case -ENOENT:
	case -ENOMEM:
		return err;
	default:
		return -EIO;
	}
}

/* Without the process's folder it is the process that is missing, not the file. */
static int missing(const char *path)
{
	char dir[32];
	int pid;

	if (sscanf(path, "/proc/%d/", &pid) != 1)
		return -ENOENT;
	snprintf(dir, sizeof(dir), "/proc/%d", pid);
	return access(dir, F_OK) ? -ESRCH : -ENOENT;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = -errno;

	if (fd >= 0)
		return fd;
	return err == -ENOENT ? missing(path) : procfile__error(err);
}

/* Up to CAP bytes; short only at the end of the file. */
static ssize_t read_full(int fd, char *buf, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	while (len < cap) {
		n = read(fd, buf + len, cap - len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return procfile__error(-errno);
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

ssize_t procfile__read(char *buf, size_t cap, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	ssize_t n;
	int fd;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -EIO;
	fd = open_file(path);
	if (fd < 0)
		return fd;
	n = read_full(fd, buf, cap - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

ssize_t procfile__slurp(char **out, size_t max, const char *path)
{
	size_t cap = max < SLURP_FIRST ? max : SLURP_FIRST;
	char *buf = NULL, *more;
	size_t len = 0;
	ssize_t n;
	int fd;

	*out = NULL;
	fd = open_file(path);
	if (fd < 0)
		return fd;
	for (;;) {
		more = realloc(buf, cap + 1);
		if (!more) {
			n = -ENOMEM;
			goto out;
		}
		buf = more;
		n = read_full(fd, buf + len, cap - len);
		if (n < 0)
			goto out;
		len += (size_t)n;
		if (len < cap || cap >= max)
			break;
		cap = cap > max / 2 ? max : cap * 2;
	}
	buf[len] = '\0';
	*out = buf;
	buf = NULL;
	n = (ssize_t)len;
out:
	free(buf);
	close(fd);
	return n;
}
