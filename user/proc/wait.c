// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/wait.h"

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/text.h"
#include "proc/file.h"
#include "proc/mem.h"
#include "proc/procfile.h"
#include "proc/syscall.h"

#define MAX_POLL 64 /* entries of which one is looked for that is told */
#define MAX_PATH_BYTES 256
#define MAX_CHILDREN 4096 /* bytes of a list of children */

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* Those that read from the file. Others write to it, or care for neither. */
static bool reads(long nr)
{
	switch (nr) {
	case SYS_write:
	case SYS_writev:
	case SYS_pwrite64:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_sendfile: /* argument 0 is where it goes */
		return false;
	default:
		return true;
	}
}

/* An argument is a whole register; of a file descriptor the lower half counts. */
static int fd_of(uint64_t arg)
{
	int32_t fd = (int32_t)(uint32_t)arg;

	return fd >= 0 ? fd : -1;
}

void wait__init(struct wait *out, const struct task_syscall *call)
{
	const char *name = syscall_name(call->nr);

	*out = (struct wait){ .fd = -1 };
	if (!call->blocked || call->nr < 0)
		return;
	if (name)
		snprintf(out->call, sizeof(out->call), "%s", name);
	else
		snprintf(out->call, sizeof(out->call), "system call %ld", call->nr);
	switch (syscall_about(call->nr)) {
	case SYSCALL_FD:
		out->fd = fd_of(call->arg[0]);
		break;
	case SYSCALL_FUTEX:
		out->futex = call->arg[0];
		break;
	case SYSCALL_WAITID:
		if (call->arg[0] == P_PIDFD)
			out->fd = fd_of(call->arg[1]);
		break;
	default:
		break;
	}
}

/* ---- several files --------------------------------------------------------------------------- */

struct files {
	int first; /* -1 = none */
	bool reads; /* the first one is to be read from */
	uint64_t cnt;
};

/* The array lies in the target: what it says may be anything. */
static void poll_files(const struct task_syscall *call, const struct waits *w, struct files *out)
{
	struct pollfd fds[MAX_POLL];
	uint64_t n = call->arg[1] < MAX_POLL ? call->arg[1] : MAX_POLL;

	out->cnt = call->arg[1];
	if (!w->mem || mem__read(w->mem, call->arg[0], fds, n * sizeof(fds[0])))
		return;
	for (uint64_t i = 0; i < n; i++) {
		if (fds[i].fd < 0) {
			out->cnt--;
		} else if (out->first < 0) {
			out->first = fds[i].fd;
			out->reads = !(fds[i].events & POLLOUT);
		}
	}
}

/* Sets of bits as the caller wants them, not as they will be given back: it sleeps. */
static void select_files(const struct task_syscall *call, const struct waits *w, struct files *out)
{
	uint64_t n = call->arg[0] < FD_SETSIZE ? call->arg[0] : FD_SETSIZE;
	uint8_t set[FD_SETSIZE / 8];

	for (int i = 1; w->mem && i <= 3; i++) {
		if (!call->arg[i] || mem__read(w->mem, call->arg[i], set, (n + 7) / 8))
			continue;
		for (uint64_t fd = 0; fd < n; fd++) {
			if (!(set[fd / 8] & 1u << fd % 8))
				continue;
			out->cnt++;
			if (out->first >= 0)
				continue;
			out->first = (int)fd;
			out->reads = i != 2;
		}
	}
}

static void look_at_files(struct wait *out, const struct task_syscall *call, const struct waits *w,
			  struct strbuf *about)
{
	struct files f = { .first = -1, .reads = true };

	if (syscall_about(call->nr) == SYSCALL_POLL)
		poll_files(call, w, &f);
	else
		select_files(call, w, &f);
	out->fd = f.first;
	if (f.first >= 0)
		file__describe(w->pid, f.first, f.reads, w->deadline_ns, about);
	if (f.first >= 0 && f.cnt > 1)
		strbuf_addf(about, "%sand %" PRIu64 " more", about->len ? ", " : "", f.cnt - 1);
}

/* ---- children -------------------------------------------------------------------------------- */

/* The child whose innermost id is NS_PID (0: any); *CNT is how many children were found. */
static pid_t find_child(const struct waits *w, pid_t ns_pid, size_t *cnt)
{
	struct task_list tasks;
	struct task_status status;
	char text[MAX_CHILDREN], *p, *end;
	pid_t found = 0;
	long child;

	*cnt = 0;
	if (task_list__load(w->pid, &tasks))
		return 0;
	for (size_t i = 0; i < tasks.cnt && clock_monotonic_ns() < w->deadline_ns; i++) {
		if (procfile__read(text, sizeof(text), "/proc/%d/task/%d/children", w->pid,
				   tasks.tid[i]) <= 0)
			continue;
		for (p = text; (child = strtol(p, &end, 10)) > 0 && end != p; p = end) {
			++*cnt;
			if (found || child > INT_MAX)
				continue;
			if (!ns_pid || (!task_status__load((pid_t)child, (pid_t)child, &status) &&
					(status.ns_tid == ns_pid || child == ns_pid)))
				found = (pid_t)child;
		}
	}
	task_list__free(&tasks);
	return found;
}

static void look_at_child(pid_t ns_pid, const struct waits *w, struct strbuf *about)
{
	size_t cnt;
	pid_t child = find_child(w, ns_pid, &cnt);

	if (!ns_pid && cnt != 1)
		strbuf_addf(about, cnt ? "any of %zu children" : "any child", cnt);
	else if (child)
		process__describe(child, about);
	else
		strbuf_addf(about, "pid %d", ns_pid);
}

/* ---- all ------------------------------------------------------------------------------------- */

/* As far as the page of its first byte goes: the next one may not be there. */
static void look_at_path(uint64_t addr, const struct waits *w, struct strbuf *about)
{
	size_t len = 4096 - addr % 4096;
	char path[MAX_PATH_BYTES];

	len = len < sizeof(path) ? len : sizeof(path);
	if (w->mem && !mem__read(w->mem, addr, path, len))
		text_sanitize(about, path, strnlen(path, len));
}

static void look(struct wait *out, const struct task_syscall *call, const struct waits *w,
		 struct strbuf *about)
{
	int32_t id = (int32_t)(uint32_t)call->arg[0];

	switch (syscall_about(call->nr)) {
	case SYSCALL_FD:
		if (out->fd >= 0)
			file__describe(w->pid, out->fd, reads(call->nr), w->deadline_ns, about);
		break;
	case SYSCALL_POLL:
	case SYSCALL_SELECT:
		look_at_files(out, call, w, about);
		break;
	case SYSCALL_WAIT4:
		/* a group (0, -PGID) is any child of it */
		look_at_child(id > 0 ? id : 0, w, about);
		break;
	case SYSCALL_WAITID:
		if (out->fd >= 0)
			file__describe(w->pid, out->fd, true, w->deadline_ns, about);
		else
			look_at_child(call->arg[0] == P_PID ? (int32_t)(uint32_t)call->arg[1] : 0,
				      w, about);
		break;
	case SYSCALL_PATH:
		look_at_path(call->arg[0], w, about);
		break;
	case SYSCALL_PATH_AT:
		look_at_path(call->arg[1], w, about);
		break;
	case SYSCALL_FUTEX:
	case SYSCALL_NOTHING:
		break;
	}
}

void wait__look(struct wait *out, const struct task_syscall *call, const struct waits *w)
{
	struct strbuf about = STRBUF_INIT;

	if (!out->call[0])
		return;
	look(out, call, w, &about);
	if (strbuf_str(&about))
		text_copy(out->about, sizeof(out->about), strbuf_str(&about));
	strbuf_free(&about);
}

void wait__add(const struct wait *w, struct strbuf *out)
{
	strbuf_adds(out, w->call);
	if (w->futex)
		strbuf_addf(out, " 0x%" PRIx64, w->futex);
	if (w->fd < 0 && !*w->about)
		return;
	strbuf_addc(out, '(');
	if (w->fd >= 0)
		strbuf_addf(out, "fd %d%s", w->fd, *w->about ? ": " : "");
	strbuf_adds(out, w->about);
	strbuf_addc(out, ')');
}
