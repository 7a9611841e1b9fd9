// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define MAX_FILES 65536 /* looked at in one process */
#define LATE_EVERY 64 /* files between two looks at the clock */

struct search {
	const char *link;
	size_t len;
	mode_t mode; /* that the link of such a file has: S_IRUSR or S_IWUSR */
	uint64_t deadline_ns;
};

/* The link of /proc/PID/fd/N is never followed: that could wait for whoever serves the file. */
static bool is_it(const struct search *s, int dir, const char *name)
{
	char link[PATH_MAX];
	ssize_t n = readlinkat(dir, name, link, sizeof(link));
	struct stat st;

	return n > 0 && (size_t)n == s->len && !memcmp(link, s->link, s->len) &&
	       !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && (st.st_mode & s->mode);
}

/* *CUT is set where not all files could be looked at. */
static bool holds(const struct search *s, pid_t pid, bool *cut)
{
	struct dirent *ent;
	bool found = false;
	char path[32];
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir) {
		*cut |= errno == EACCES || errno == EPERM;
		return false;
	}
	while (!found && (ent = readdir(dir))) {
		if (n++ >= MAX_FILES ||
		    (n % LATE_EVERY == 0 && clock_monotonic_ns() > s->deadline_ns)) {
			*cut = true;
			break;
		}
		found = isdigit((unsigned char)ent->d_name[0]) && is_it(s, dirfd(dir), ent->d_name);
	}
	closedir(dir);
	return found;
}

static void add(struct holders *out, pid_t pid)
{
	struct task_stat stat;

	out->cnt++;
	if (out->pid)
		return;
	out->pid = pid;
	if (!task_stat__load(pid, pid, &stat))
		memcpy(out->comm, stat.comm, sizeof(out->comm));
}

void holders__find(pid_t pid, const char *link, bool writer, uint64_t deadline_ns,
		   struct holders *out)
{
	struct search s = { link, strlen(link), writer ? S_IWUSR : S_IRUSR, deadline_ns };
	struct dirent *ent;
	DIR *dir;
	long one;

	*out = (struct holders){ 0 };
	out->self = holds(&s, pid, &out->cut);
	dir = opendir("/proc");
	while (dir && (ent = readdir(dir))) {
		if (!isdigit((unsigned char)ent->d_name[0]))
			continue;
		if (clock_monotonic_ns() > deadline_ns) {
			out->cut = true;
			break;
		}
		one = strtol(ent->d_name, NULL, 10);
		if (one > 0 && one <= INT_MAX && one != pid && one != getpid() &&
		    holds(&s, (pid_t)one, &out->cut))
			add(out, (pid_t)one);
	}
	if (dir)
		closedir(dir);
	if (out->self) {
		out->cnt++;
		if (!out->pid)
			out->pid = pid;
	}
}
