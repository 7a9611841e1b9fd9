/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A socket of another process, as the tables of its network namespace show it (/proc/PID/net). The
 * socket itself is not touched: who holds a copy of a file, if only for a moment, may change what
 * its owner's close() does.
 */
#ifndef PERPETUO_PROC_SOCKET_H
#define PERPETUO_PROC_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

/* The kinds of tables there are. */
enum socket_table {
	SOCKET_TCP,
	SOCKET_TCP6,
	SOCKET_UDP,
	SOCKET_UDP6,
	SOCKET_UNIX,
	SOCKET_TABLES,
};

/* One line of a table. */
struct socket_line {
	uint64_t inode;
	unsigned int state; /* TCP_* of the kernel; of SOCKET_UNIX SS_* */
	bool listens; /* SOCKET_UNIX */
	uint8_t local[16], remote[16]; /* 4 bytes of IPv4; network order */
	uint16_t local_port, remote_port;
	/* SOCKET_UNIX: as the kernel prints it, '@' first where it is abstract; not sanitised, a
	 * piece of the line */
	const char *path;
	size_t path_len;
};

/* Parses one line without its newline. 0 or -EINVAL (the head of a table, too). */
int socket_line__parse(enum socket_table table, const char *line, size_t len,
		       struct socket_line *out);

/* "TCP 127.0.0.1:41022 -> 10.0.0.7:5432, established" */
void socket_line__add(enum socket_table table, const struct socket_line *s, struct strbuf *out);

/*
 * Adds what the socket with this inode is, that PID has as FD. Where it is in no table its kind is
 * said, if that is known. Looks on until DEADLINE_NS (CLOCK_MONOTONIC).
 */
void socket__describe(pid_t pid, int fd, uint64_t inode, uint64_t deadline_ns, struct strbuf *out);

#endif
