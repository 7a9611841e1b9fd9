/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a file descriptor of another process is, in words. Taken from its link in /proc/PID/fd and
 * from tables of the kernel: the file itself is neither opened nor asked, so that a dead file
 * server holds up its own clients only.
 */
#ifndef PERPETUO_PROC_FILE_H
#define PERPETUO_PROC_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

/* What the link in /proc/PID/fd says. */
struct file_link {
	enum file_kind {
		FILE_PATH, /* a path, or what looks like one */
		FILE_PIPE,
		FILE_SOCKET,
		FILE_EPOLL,
		FILE_PIDFD,
		FILE_ANON, /* eventfd, timerfd, ...: `name` */
	} kind;
	uint64_t inode; /* of a pipe or socket */
	const char *name; /* a piece of the text: the path, or "eventfd" */
	size_t name_len;
};

void file_link__parse(const char *text, size_t len, struct file_link *out);

/* /proc/PID/fdinfo/FD: how many files an epoll watches, which process a pidfd means (0 = none). */
size_t fdinfo__epoll_files(const char *text, size_t len);
pid_t fdinfo__pid(const char *text, size_t len);

/*
 * Adds what FD of process PID is:
 *	/srv/data.csv
 *	pipe from pid 123 (worker)
 *	TCP 127.0.0.1:41022 -> 10.0.0.7:5432, established
 *	epoll of 12 files
 * READS: the caller wants to read from it (of a pipe the other end is told). Nothing if there is no
 * such file or it may not be looked at. Sanitised. Looks at other processes until DEADLINE_NS
 * (CLOCK_MONOTONIC).
 */
void file__describe(pid_t pid, int fd, bool reads, uint64_t deadline_ns, struct strbuf *out);

/* Adds "pid 123 (worker)". */
void process__describe(pid_t pid, struct strbuf *out);

#endif
