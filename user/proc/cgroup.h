/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How much CPU the control group of a process may use. */
#ifndef PERPETUO_PROC_CGROUP_H
#define PERPETUO_PROC_CGROUP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 512

struct cgroup_quota {
	double cpus; /* 0.2: 20 % of one */
	char path[CGROUP_PATH_MAX]; /* of the group that sets it, not sanitised */
};

/* The path of the group in one /proc/PID/cgroup that limits CPU, of version 2 or 1 (*V1). 0 or
 * -ENOENT. */
int cgroup_path__parse(const char *text, char out[CGROUP_PATH_MAX], int *v1);

/*
 * The tightest quota among the group of PID and those above it. 0; -ENOENT: there is none, or it is
 * not to be found below /sys/fs/cgroup; -ESRCH, -EPERM.
 */
int cgroup_quota__load(pid_t pid, struct cgroup_quota *out);

#endif
