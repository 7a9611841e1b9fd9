// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/task.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "proc/procfile.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_epoll_wait
#define SYS_epoll_wait -1 /* not on arm64 */
#endif

#define STATUS_MAX \
	4096 /* groups may make it longer: what we want of them stands before and after */
#define STATUS_TAIL_MAX (256u << 10)

/* ---- which threads --------------------------------------------------------------------------- */

static int by_tid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static int add(struct task_list *list, size_t *cap, pid_t tid)
{
	size_t n = *cap ? *cap * 2 : 64;
	pid_t *more;

	if (list->cnt == *cap) {
		more = realloc(list->tid, n * sizeof(*more));
		if (!more)
			return -ENOMEM;
		list->tid = more;
		*cap = n;
	}
	list->tid[list->cnt++] = tid;
	return 0;
}

int task_list__load(pid_t pid, struct task_list *out)
{
	struct dirent *ent;
	size_t cap = 0;
	char path[32];
	int err = 0;
	DIR *dir;
	long tid;

	*out = (struct task_list){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : procfile__error(-errno);
	while (!err && (ent = readdir(dir))) {
		tid = strtol(ent->d_name, NULL, 10);
		if (tid <= 0)
			continue;
		if (out->cnt == TASK_MAX) {
			out->cut = true;
			break;
		}
		err = add(out, &cap, (pid_t)tid);
	}
	closedir(dir);
	if (!err && !out->cnt)
		err = -ESRCH;
	if (err)
		task_list__free(out);
	else
		qsort(out->tid, out->cnt, sizeof(*out->tid), by_tid);
	return err;
}

void task_list__free(struct task_list *list)
{
	free(list->tid);
	*list = (struct task_list){ 0 };
}

/* A file of a thread that is not there means that the thread is not. */
static ssize_t read_task(pid_t pid, pid_t tid, const char *name, char *buf, size_t cap)
{
	ssize_t n = procfile__read(buf, cap, "/proc/%d/task/%d/%s", pid, tid, name);

	return n == -ENOENT ? -ESRCH : n;
}

/* ---- stat ------------------------------------------------------------------------------------ */

/* 1234 (a (strange) name) S 1 ...: the name ends at the last parenthesis of the text. */
int task_stat__parse(const char *text, size_t len, struct task_stat *out)
{
	const char *open = memchr(text, '(', len), *close = len ? memrchr(text, ')', len) : NULL;
	char rest[512];
	size_t n;

	*out = (struct task_stat){ 0 };
	if (!open || !close || close < open)
		return -EINVAL;
	n = (size_t)(open - text);
	if (n >= sizeof(rest))
		return -EINVAL;
	memcpy(rest, text, n);
	rest[n] = '\0';
	if (sscanf(rest, "%d", &out->pid) != 1)
		return -EINVAL;
	n = (size_t)(close - open - 1);
	n = n < sizeof(out->comm) ? n : sizeof(out->comm) - 1;
	memcpy(out->comm, open + 1, n);

	n = len - (size_t)(close + 1 - text);
	n = n < sizeof(rest) ? n : sizeof(rest) - 1;
	memcpy(rest, close + 1, n);
	rest[n] = '\0';
	/* 3 state, 4 ppid, 9 flags, 22 starttime: proc_pid_stat(5) */
	if (sscanf(rest,
		   " %c %d %*d %*d %*d %*d %" SCNu64
		   " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64,
		   &out->state, &out->ppid, &out->flags, &out->start_ticks) != 4)
		return -EINVAL;
	return 0;
}

int task_stat__load(pid_t pid, pid_t tid, struct task_stat *out)
{
	char text[1024];
	ssize_t n = read_task(pid, tid, "stat", text, sizeof(text));

	if (n < 0)
		return (int)n;
	return task_stat__parse(text, (size_t)n, out) ? -EIO : 0;
}

/* ---- status ---------------------------------------------------------------------------------- */

static const char *value_of(const char *line, const char *key)
{
	size_t n = strlen(key);

	return strncmp(line, key, n) ? NULL : line + n;
}

static void status_line(const char *line, struct task_status *out)
{
	const char *v;

	if ((v = value_of(line, "State:"))) {
		sscanf(v, " %c", &out->state);
	} else if ((v = value_of(line, "Uid:"))) {
		sscanf(v, " %u %u", &out->uid, &out->euid);
	} else if ((v = value_of(line, "Gid:"))) {
		sscanf(v, " %*u %u", &out->egid);
	} else if ((v = value_of(line, "NSpid:"))) {
		/* one number per nested namespace, ours first */
		while ((v = strchr(v, '\t'))) {
			out->ns_tid = (pid_t)strtol(++v, NULL, 10);
			out->ns_levels++;
		}
	} else if ((v = value_of(line, "voluntary_ctxt_switches:"))) {
		out->voluntary = strtoull(v, NULL, 10);
	} else if ((v = value_of(line, "nonvoluntary_ctxt_switches:"))) {
		out->involuntary = strtoull(v, NULL, 10);
	}
}

int task_status__parse(const char *text, size_t len, struct task_status *out)
{
	const char *end = text + len, *nl;
	char line[256];
	size_t n;

	*out = (struct task_status){ 0 };
	for (; text < end; text = nl + 1) {
		nl = memchr(text, '\n', (size_t)(end - text));
		if (!nl)
			nl = end;
		n = (size_t)(nl - text);
		/* a longer line (Groups) is none of ours */
		if (n >= sizeof(line))
			continue;
		memcpy(line, text, n);
		line[n] = '\0';
		status_line(line, out);
	}
	return isalpha((unsigned char)out->state) ? 0 : -EINVAL;
}

int task_status__load(pid_t pid, pid_t tid, struct task_status *out)
{
	char text[STATUS_MAX], path[64], *all;
	ssize_t n = read_task(pid, tid, "status", text, sizeof(text));
	int err;

	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(text) - 1)
		return task_status__parse(text, (size_t)n, out) ? -EIO : 0;
	/* thousands of groups: rare, so the common case keeps its small buffer */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	n = procfile__slurp(&all, STATUS_TAIL_MAX, path);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	err = task_status__parse(all, (size_t)n, out) ? -EIO : 0;
	free(all);
	return err;
}

/* ---- syscall --------------------------------------------------------------------------------- */

/* "running", "-1 SP PC", or "NR ARG0 ... ARG5 SP PC" */
int task_syscall__parse(const char *text, size_t len, struct task_syscall *out)
{
	char line[256];
	size_t n = len < sizeof(line) ? len : sizeof(line) - 1;

	*out = (struct task_syscall){ .nr = -1 };
	memcpy(line, text, n);
	line[n] = '\0';
	if (!strncmp(line, "running", 7))
		return 0;
	out->blocked = true;
	if (sscanf(line, "%ld", &out->nr) != 1)
		return -EINVAL;
	if (out->nr == -1)
		return sscanf(line, "-1 %" SCNx64 " %" SCNx64, &out->sp, &out->pc) == 2 ? 0
											: -EINVAL;
	return sscanf(line,
		      "%*d %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
		      " %" SCNx64 " %" SCNx64,
		      &out->arg[0], &out->arg[1], &out->arg[2], &out->arg[3], &out->arg[4],
		      &out->arg[5], &out->sp, &out->pc) == 8
		       ? 0
		       : -EINVAL;
}

int task_syscall__load(pid_t pid, pid_t tid, struct task_syscall *out)
{
	char text[256];
	ssize_t n = procfile__read(text, sizeof(text), "/proc/%d/task/%d/syscall", pid, tid);
	struct task_stat stat;

	if (n == -ENOENT)
		return task_stat__load(pid, tid, &stat) ? -ESRCH : -EOPNOTSUPP;
	if (n < 0)
		return (int)n;
	/* a thread that is ending gives an empty file */
	if (n == 0)
		return -ESRCH;
	return task_syscall__parse(text, (size_t)n, out) ? -EIO : 0;
}

int task_syscall__epoll_fd(const struct task_syscall *call)
{
	if (!call->blocked || (call->nr != SYS_epoll_pwait && call->nr != SYS_epoll_pwait2 &&
			       call->nr != SYS_epoll_wait))
		return -1;
	return (int)call->arg[0];
}
