/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* perpetuo-bpf -- COMMAND ...: a program that is started in order to be watched. */
#ifndef PERPETUO_COMMAND_H
#define PERPETUO_COMMAND_H

#include <sys/types.h>

#include "base/err.h"

#define COMMAND_EXIT_OURS 125 /* perpetuo-bpf itself failed */
#define COMMAND_EXIT_CANNOT 126 /* the command was found and cannot be executed */
#define COMMAND_EXIT_NOT_FOUND 127

struct command {
	pid_t pid;
	int gate_fd; /* writing a byte lets it execute; closing it makes it exit */
	int status_fd; /* EOF: it has executed; else an errno arrives */
};

/*
 * Forks a child that waits at the gate. It runs as identity__find says of USER. 0; or -EINVAL (no
 * such user), -errno, with ERR.
 */
int command__start(struct command *cmd, char *const argv[], const char *user, struct err *err);

/* Opens the gate. 0 when the command has executed; else the exit status to leave with, and ERR. */
int command__execute(struct command *cmd, const char *name, struct err *err);

/* Waits for its end; the exit status as a shell gives it (128 + signal). */
int command__wait(struct command *cmd);

#endif
