/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A watch: targets, one backend, one sink, and the loop that waits for a stall.
 *
 * While nothing stalls the loop sleeps: with the BPF backend nothing wakes it but a verdict, the
 * end of a target, and a look for a page every few seconds as long as some target has none.
 */
#ifndef PERPETUO_SESSION_H
#define PERPETUO_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "options.h"

struct session;

/*
 * Chooses the backend (OPTS->backend) and opens the sink; REPORT_FD is where reports go when no
 * --output was given. OPTS stays the caller's and must outlive the session. 0 and *OUT, or negative
 * errno with ERR.
 */
int session__new(const struct options *opts, int report_fd, struct session **out, struct err *err);
void session__free(struct session *s); /* NULL is fine */

/* Adds a process that must be there and run Python. As target__open; -ENOENT if it runs none. */
int session__add(struct session *s, pid_t pid, struct err *err);

/* Adds a process that has yet to execute its program: what it runs now does not matter. */
int session__add_starting(struct session *s, pid_t pid, struct err *err);

struct top;

/* Shows T (borrowed) once a second while it watches. 0, or negative errno with ERR. */
int session__show(struct session *s, struct top *t, struct err *err);

/* Was there a stall, told or not, that is none of --allow? */
bool session__saw_stall(const struct session *s);

/*
 * Watches until the last target has ended, T of session__show is done, or SIGINT, SIGTERM or SIGHUP
 * comes. SIGUSR1 gives a summary. The caller has blocked these four. With FORWARD_TO not 0 they are
 * passed on to that process (but for a Ctrl-C, which it gets by itself) and the watch goes on. 0;
 * or negative errno with ERR when nothing can be reported any more.
 */
int session__run(struct session *s, pid_t forward_to, struct err *err);

#endif
