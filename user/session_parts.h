/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What session.c (the watch) and session_open.c (its beginning and end) share. */
#ifndef PERPETUO_SESSION_PARTS_H
#define PERPETUO_SESSION_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "bench.h"
#include "lookout.h"
#include "options.h"
#include "source/source.h"
#include "stall/report.h"

struct allow;
struct family;
struct gil_judge;
struct hook;
struct judge;
struct life;
struct loop_judge;
struct policy;
struct queue;
struct redact;
struct sink;
struct target;
struct top;

struct session {
	const struct options *opts;
	struct sink *sink;
	const struct source_ops *ops;
	struct source *source;
	struct policy *policy;
	struct redact *redact; /* owned; NULL: no local variables */
	struct bench bench;
	struct life *life;
	struct allow *allow; /* owned; NULL: no stall is known */
	struct hook *hook; /* owned; NULL: no command waits for stalls */
	struct judge *judge;
	struct gil_judge *gil; /* NULL: not asked for, or the backend has no means */
	struct loop_judge *loop; /* likewise */
	int epoll_fd;
	int look_fd; /* timer of the looks for pages */
	int life_fd; /* timer of what is due of stalls that go on; set only while one is open */
	int signal_fd;
	struct target *target[SOURCE_MAX_PROCS]; /* by handle */
	size_t ntargets;
	struct family *family; /* NULL: children are not followed */
	struct queue *queue; /* told by the backend, to be handled after dispatch */
	struct lookout lookout;
	struct top *top; /* borrowed; NULL: records go out by themselves */
	uint64_t lost_untold;
	uint64_t lost; /* records of the backend that did not fit, by its own count and here */
	int fatal; /* negative errno: the sink is gone, nothing can be told any more */
	struct err fatal_why;
};

/* epoll_event.data: a small handle of a target, or one of these. */
enum { TAG_SOURCE = SOURCE_MAX_PROCS, TAG_LOOK, TAG_LIFE, TAG_HOOK, TAG_SIGNAL, TAG_TOP };

/* How many processes this watch may have at once: the tables in the kernel are as large. */
uint32_t session_max_procs(const struct options *opts);

/* An information record. A sink that is gone ends the watch. CTX is the session. */
void session_tell_text(void *ctx, enum report_severity severity, pid_t pid, const char *text);

/* 0, or negative errno with ERR. */
int session_epoll_add(struct session *s, int fd, uint64_t tag, struct err *err);

/* The target that is process PID, or NULL. CTX is the session. */
struct target *session_find_target(void *ctx, pid_t pid);

/* For family.h: as struct family_house has them. CTX is the session. */
int session_add_child(void *ctx, pid_t pid, struct target **out, struct err *err);
void session_drop_child(void *ctx, struct target *t);

#endif
