/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* System calls of this machine's native ABI: their names, and which argument says what one is
 * about. */
#ifndef PERPETUO_PROC_SYSCALL_H
#define PERPETUO_PROC_SYSCALL_H

/* What a call that sleeps may be about. */
enum syscall_about {
	SYSCALL_NOTHING, /* its name says it all, or nothing is known of it */
	SYSCALL_FD, /* argument 0 is a file descriptor */
	SYSCALL_POLL, /* 0: array of struct pollfd, 1: how many */
	SYSCALL_SELECT, /* 0: how many bits, 1-3: sets of file descriptors */
	SYSCALL_FUTEX, /* 0: address */
	SYSCALL_WAIT4, /* 0: pid, or 0 and less: a group of children */
	SYSCALL_WAITID, /* 0: kind of id, 1: id */
	SYSCALL_PATH, /* 0: path */
	SYSCALL_PATH_AT, /* 0: directory, 1: path */
};

/* "read": a literal; NULL for a number that the headers of the build did not know. */
const char *syscall_name(long nr);

enum syscall_about syscall_about(long nr);

#endif
