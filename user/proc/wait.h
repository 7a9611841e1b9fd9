/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a thread that sleeps in the kernel waits for: the system call, and what it is about. In
 * words: "blocked in read(fd 5: pipe from pid 123 (worker))".
 */
#ifndef PERPETUO_PROC_WAIT_H
#define PERPETUO_PROC_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"
#include "proc/task.h"

#define WAIT_CALL_MAX 40
#define WAIT_ABOUT_MAX 256

struct mem;

struct wait {
	char call[WAIT_CALL_MAX]; /* "read"; "" = in no system call */
	int fd; /* that it is about, of several the first; -1 = none, or not known */
	uint64_t futex; /* its address, 0 = none */
	/* The file, path or child that it is about, sanitised; "" = none, or not known. Of several
	 * files the first one and how many there are. */
	char about[WAIT_ABOUT_MAX];
};

/* What was found out about one process: it is looked for once, and not for ever. */
struct waits {
	pid_t pid;
	struct mem *mem; /* borrowed; NULL: what lies in the memory is not told */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC: not looked for after that */
};

/* The call and what its arguments say without another look at anything. */
void wait__init(struct wait *out, const struct task_syscall *call);

/* And what these are. OUT was initialised with CALL. */
void wait__look(struct wait *out, const struct task_syscall *call, const struct waits *w);

/* Adds "read(fd 5: /srv/data.csv)"; nothing where there is no call. */
void wait__add(const struct wait *w, struct strbuf *out);

#endif
