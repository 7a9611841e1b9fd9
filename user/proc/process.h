/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What /proc says about a process as a whole. */
#ifndef PERPETUO_PROC_PROCESS_H
#define PERPETUO_PROC_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_MAX_ARGS 4096
#define PROCESS_MAX_CMDLINE (128u << 10) /* bytes that are read */

struct process_info {
	pid_t pid;
	uid_t uid, euid; /* as seen from our user namespace */
	bool kernel_thread;
	bool zombie; /* the first thread has ended; others may live */
	uint64_t start_ticks; /* with the pid the identity of a process: task_stat.start_ticks */
	/* When it started, by our CLOCK_BOOTTIME and CLOCK_MONOTONIC, rounded down to 10 ms. Never
	 * later than the truth: time asleep since the start makes the monotonic one too early. */
	uint64_t start_boottime_ns;
	uint64_t start_monotonic_ns;
	/* The process's CLOCK_MONOTONIC minus that of the root time namespace (BPF's clock). */
	int64_t monotonic_offset_ns;
};

/* 0, -ESRCH, or -EPERM (a process hidden by hidepid is -ESRCH). */
int process_info__load(pid_t pid, struct process_info *out);

/* true while PID exists (a zombie does). */
bool process__exists(pid_t pid);

/* Command line, raw (not sanitised): NULL-terminated, owned (process_args__free). */
struct process_args {
	char **arg;
	size_t cnt;
	bool cut; /* PROCESS_MAX_* was reached */
	char *text; /* owned: the arguments lie in it */
};

/* 0, -ESRCH, -EPERM, -ENOMEM. Kernel threads and zombies have none: cnt 0. */
int process_args__load(pid_t pid, struct process_args *out);
void process_args__free(struct process_args *args); /* content only; zeroed structs are fine */

struct task_stat;

/* Tells FN of each process that is there. 0 or negative errno. */
int process__each(void (*fn)(void *ctx, const struct task_stat *stat), void *ctx);

/* "monotonic  SEC  NSEC" of /proc/PID/timens_offsets, in ns. 0 or -EINVAL. */
int timens_monotonic__parse(const char *text, size_t len, int64_t *offset_ns);

#endif
