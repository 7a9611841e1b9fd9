// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc/procfile.h"

#define ROOT "/sys/fs/cgroup"
#define MAX_DEPTH 64
#define FILE_MAX 4096

/* Is "cpu" among the controllers "cpu,cpuacct"? */
static int lists_cpu(const char *list, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = strcspn(list + at, ",:");

		if (n == 3 && !strncmp(list + at, "cpu", 3))
			return 1;
		at += n + 1;
	}
	return 0;
}

/* Lines "4:cpu,cpuacct:/path" of version 1, "0::/path" of version 2 */
int cgroup_path__parse(const char *text, char out[CGROUP_PATH_MAX], int *v1)
{
	int found = -ENOENT;

	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		const char *list = memchr(line, ':', len), *path;

		path = list ? memchr(list + 1, ':', len - (size_t)(list + 1 - line)) : NULL;
		if (path) {
			size_t n = len - (size_t)(path + 1 - line);
			int is_v2 = path == list + 1;

			list++;
			if (n < CGROUP_PATH_MAX &&
			    (lists_cpu(list, (size_t)(path - list)) || (is_v2 && found))) {
				memcpy(out, path + 1, n);
				out[n] = '\0';
				*v1 = !is_v2;
				found = 0;
			}
		}
		line += len + !!line[len];
	}
	return found;
}

/* The quota that DIR sets, in CPUs; 0 = none. */
static double quota_of(const char *dir, int v1)
{
	double quota = 0, period = 0;
	char text[64];

	if (!v1) {
		if (procfile__read(text, sizeof(text), "%s/cpu.max", dir) <= 0 ||
		    sscanf(text, "%lf %lf", &quota, &period) != 2) /* "max 100000" */
			return 0;
	} else {
		if (procfile__read(text, sizeof(text), "%s/cpu.cfs_quota_us", dir) <= 0 ||
		    sscanf(text, "%lf", &quota) != 1 ||
		    procfile__read(text, sizeof(text), "%s/cpu.cfs_period_us", dir) <= 0 ||
		    sscanf(text, "%lf", &period) != 1)
			return 0;
	}
	return quota > 0 && period > 0 ? quota / period : 0;
}

int cgroup_quota__load(pid_t pid, struct cgroup_quota *out)
{
	char text[FILE_MAX], path[CGROUP_PATH_MAX], dir[CGROUP_PATH_MAX + 32];
	ssize_t n = procfile__read(text, sizeof(text), "/proc/%d/cgroup", (int)pid);
	int v1 = 0, err;

	if (n < 0)
		return (int)n;
	err = cgroup_path__parse(text, path, &v1);
	if (err)
		return err;
	*out = (struct cgroup_quota){ 0 };
	/* "" at last: a container sees its own group as the root, and that may have a quota */
	for (int i = 0; i < MAX_DEPTH; i++) {
		char *slash;
		double cpus;

		snprintf(dir, sizeof(dir), "%s%s%s", ROOT, v1 ? "/cpu" : "", path);
		cpus = quota_of(dir, v1);
		if (cpus > 0 && (!out->cpus || cpus < out->cpus)) {
			out->cpus = cpus;
			snprintf(out->path, sizeof(out->path), "%s", *path ? path : "/");
		}
		slash = strrchr(path, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	return out->cpus > 0 ? 0 : -ENOENT;
}
