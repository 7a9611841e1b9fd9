// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "proc/holder.h"
#include "proc/procfile.h"
#include "proc/socket.h"
#include "proc/task.h"

#define MAX_FDINFO (256u << 10) /* an epoll has a line for each file */
#define MAX_NAME 160 /* bytes of a path that are told: its end */

/* ---- the link -------------------------------------------------------------------------------- */

/* "pipe:[1234]": its number, 0 if TEXT is none of that kind */
static uint64_t inode_of(const char *text, size_t len, const char *head)
{
	size_t n = strlen(head);
	uint64_t inode = 0;

	if (len < n + 2 || memcmp(text, head, n) || text[len - 1] != ']')
		return 0;
	for (size_t i = n; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9' || inode > UINT64_MAX / 10 - 1)
			return 0;
		inode = inode * 10 + (uint64_t)(text[i] - '0');
	}
	return inode;
}

/* "anon_inode:[eventfd]", "anon_inode:inotify" */
static void parse_anon(const char *text, size_t len, struct file_link *out)
{
	out->kind = FILE_ANON;
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	out->name = text;
	out->name_len = len;
	if (len == 9 && !memcmp(text, "eventpoll", len))
		out->kind = FILE_EPOLL;
	else if (len == 5 && !memcmp(text, "pidfd", len))
		out->kind = FILE_PIDFD;
}

void file_link__parse(const char *text, size_t len, struct file_link *out)
{
	static const char anon[] = "anon_inode:";

	*out = (struct file_link){ .kind = FILE_PATH, .name = text, .name_len = len };
	if ((out->inode = inode_of(text, len, "pipe:[")))
		out->kind = FILE_PIPE;
	else if ((out->inode = inode_of(text, len, "socket:[")))
		out->kind = FILE_SOCKET;
	else if (inode_of(text, len, "pidfd:["))
		out->kind = FILE_PIDFD;
	else if (len >= sizeof(anon) - 1 && !memcmp(text, anon, sizeof(anon) - 1))
		parse_anon(text + sizeof(anon) - 1, len - (sizeof(anon) - 1), out);
}

/* ---- fdinfo ---------------------------------------------------------------------------------- */

/* The next line after POS that begins with KEY; *POS is set behind it. NULL: there is none. */
static const char *next_line(const char *text, size_t len, const char *key, size_t *pos)
{
	size_t n = strlen(key), at = *pos;
	const char *end;

	while (at < len) {
		const char *line = text + at;

		end = memchr(line, '\n', len - at);
		*pos = end ? (size_t)(end - text) + 1 : len;
		if (len - at >= n && !memcmp(line, key, n))
			return line + n;
		at = *pos;
	}
	return NULL;
}

size_t fdinfo__epoll_files(const char *text, size_t len)
{
	size_t pos = 0, cnt = 0;

	while (next_line(text, len, "tfd:", &pos))
		cnt++;
	return cnt;
}

pid_t fdinfo__pid(const char *text, size_t len)
{
	size_t pos = 0;
	const char *p = next_line(text, len, "Pid:", &pos);
	long pid = 0;

	for (; p && p < text + len && (*p == '\t' || *p == ' '); p++)
		;
	for (; p && p < text + len && *p >= '0' && *p <= '9' && pid < INT_MAX / 10; p++)
		pid = pid * 10 + (*p - '0');
	return (pid_t)pid;
}

/* ---- in words -------------------------------------------------------------------------------- */

static void add_name(const char *text, size_t len, struct strbuf *out)
{
	size_t skip = len > MAX_NAME ? len - MAX_NAME : 0;

	if (skip)
		strbuf_adds(out, "...");
	text_sanitize(out, text + skip, len - skip);
}

void process__describe(pid_t pid, struct strbuf *out)
{
	struct task_stat stat;

	strbuf_addf(out, "pid %d", pid);
	if (task_stat__load(pid, pid, &stat))
		return;
	strbuf_adds(out, " (");
	text_sanitize(out, stat.comm, strlen(stat.comm));
	strbuf_addc(out, ')');
}

/* " from pid 123 (worker) and 2 more": who holds the other end */
static void add_other_end(pid_t pid, const char *link, bool reads, uint64_t deadline_ns,
			  struct strbuf *out)
{
	struct holders h;

	holders__find(pid, link, reads, deadline_ns, &h);
	if (!h.cnt) {
		strbuf_addf(out, ", its other end %s",
			    h.cut ? "was not found" : "is held by nobody");
		return;
	}
	strbuf_adds(out, reads ? " from " : " to ");
	if (h.pid == pid) {
		strbuf_adds(out, "this process");
	} else {
		strbuf_addf(out, "pid %d (", h.pid);
		text_sanitize(out, h.comm, strlen(h.comm));
		strbuf_addc(out, ')');
		if (h.self)
			strbuf_adds(out, " and this process");
	}
	if (h.cnt > 1u + (h.self && h.pid != pid))
		strbuf_addf(out, " and %zu more", h.cnt - 1 - (h.self && h.pid != pid));
}

static void add_fdinfo(pid_t pid, int fd, enum file_kind kind, struct strbuf *out)
{
	char path[64], *text = NULL;
	ssize_t len;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	len = procfile__slurp(&text, MAX_FDINFO, path);
	if (kind == FILE_PIDFD) {
		pid = len > 0 ? fdinfo__pid(text, (size_t)len) : 0;
		strbuf_adds(out, "process ");
		if (pid)
			process__describe(pid, out);
		else
			strbuf_adds(out, "that has ended");
	} else if (len >= 0) {
		n = fdinfo__epoll_files(text, (size_t)len);
		strbuf_addf(out, "epoll of %zu file%s", n, n == 1 ? "" : "s");
	} else {
		strbuf_adds(out, "epoll");
	}
	free(text);
}

/* What is cached is enough: asking a file server could take for ever. */
static bool is_fifo(const char *path)
{
	struct statx st;

	return !statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &st) && S_ISFIFO(st.stx_mode);
}

void file__describe(pid_t pid, int fd, bool reads, uint64_t deadline_ns, struct strbuf *out)
{
	char path[64], text[PATH_MAX];
	struct file_link link;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	n = readlink(path, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	file_link__parse(text, (size_t)n, &link);
	switch (link.kind) {
	case FILE_SOCKET:
		socket__describe(pid, fd, link.inode, deadline_ns, out);
		return;
	case FILE_PIPE:
		strbuf_adds(out, "pipe");
		add_other_end(pid, text, reads, deadline_ns, out);
		return;
	case FILE_EPOLL:
	case FILE_PIDFD:
		add_fdinfo(pid, fd, link.kind, out);
		return;
	case FILE_PATH:
		if (!is_fifo(path))
			break;
		strbuf_adds(out, "FIFO ");
		add_name(link.name, link.name_len, out);
		add_other_end(pid, text, reads, deadline_ns, out);
		return;
	case FILE_ANON:
		break;
	}
	add_name(link.name, link.name_len, out);
}
