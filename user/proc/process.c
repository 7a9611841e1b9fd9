// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/process.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/procfile.h"
#include "proc/task.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

static uint64_t boottime_ns(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

int timens_monotonic__parse(const char *text, size_t len, int64_t *offset_ns)
{
	char line[256];
	size_t n = len < sizeof(line) ? len : sizeof(line) - 1;
	int64_t sec, nsec, ns;

	*offset_ns = 0;
	memcpy(line, text, n);
	line[n] = '\0';
	if (sscanf(line, "monotonic %" SCNd64 " %" SCNd64, &sec, &nsec) != 2)
		return -EINVAL;
	if (__builtin_mul_overflow(sec, (int64_t)NSEC_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, nsec, &ns))
		return -EINVAL;
	*offset_ns = ns;
	return 0;
}

/* A kernel without time namespaces has no such file, and no offsets. */
static int64_t timens_offset(pid_t pid)
{
	char text[256];
	int64_t offset;
	ssize_t n = procfile__read(text, sizeof(text), "/proc/%d/timens_offsets", pid);

	if (n < 0 || timens_monotonic__parse(text, (size_t)n, &offset))
		return 0;
	return offset;
}

static void start_times(struct process_info *info)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t mono = clock_monotonic_ns(), boot = boottime_ns();
	uint64_t start = info->start_ticks > UINT64_MAX / NSEC_PER_SEC
				 ? boot
				 : info->start_ticks * (NSEC_PER_SEC / hz);
	uint64_t age = boot > start ? boot - start : 0;

	info->start_boottime_ns = start;
	info->start_monotonic_ns = mono > age ? mono - age : 0;
}

int process_info__load(pid_t pid, struct process_info *out)
{
	struct task_status status;
	struct task_stat stat;
	int err;

	*out = (struct process_info){ .pid = pid };
	if (pid <= 0)
		return -ESRCH;
	err = task_stat__load(pid, pid, &stat);
	if (!err)
		err = task_status__load(pid, pid, &status);
	if (err)
		return err;
	out->uid = status.uid;
	out->euid = status.euid;
	out->kernel_thread = stat.flags & PF_KTHREAD;
	out->zombie = stat.state == 'Z' || stat.state == 'X';
	out->start_ticks = stat.start_ticks;
	out->monotonic_offset_ns = timens_offset(pid);
	start_times(out);
	return 0;
}

bool process__exists(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return pid > 0 && !access(path, F_OK);
}

int process__each(void (*fn)(void *ctx, const struct task_stat *stat), void *ctx)
{
	DIR *dir = opendir("/proc");
	struct task_stat stat;
	struct dirent *ent;
	pid_t pid;

	if (!dir)
		return -errno;
	while ((ent = readdir(dir))) {
		pid = (pid_t)strtol(ent->d_name, NULL, 10);
		if (pid > 0 && !task_stat__load(pid, pid, &stat))
			fn(ctx, &stat);
	}
	closedir(dir);
	return 0;
}

int process_args__load(pid_t pid, struct process_args *out)
{
	char path[32], *p, *end;
	ssize_t len;

	*out = (struct process_args){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	len = procfile__slurp(&out->text, PROCESS_MAX_CMDLINE, path);
	if (len < 0)
		return len == -ENOENT ? -ESRCH : (int)len;
	out->cut = len == PROCESS_MAX_CMDLINE;
	out->arg = calloc(PROCESS_MAX_ARGS + 1, sizeof(*out->arg));
	if (!out->arg) {
		process_args__free(out);
		return -ENOMEM;
	}
	for (p = out->text, end = p + len; p < end; p += strlen(p) + 1) {
		if (out->cnt == PROCESS_MAX_ARGS) {
			out->cut = true;
			break;
		}
		out->arg[out->cnt++] = p;
	}
	return 0;
}

void process_args__free(struct process_args *args)
{
	free(args->arg);
	free(args->text);
	*args = (struct process_args){ 0 };
}
