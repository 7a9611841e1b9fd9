// SPDX-License-Identifier: MIT OR Apache-2.0
/* The texts of /proc: names of threads and files are the target's own words. */
#include <stdlib.h>
#include <string.h>

#include "proc/kstack.h"
#include "proc/maps.h"
#include "proc/process.h"
#include "proc/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len ? len : 1);
	struct task_syscall call;
	struct task_status status;
	struct kernel_stack kernel;
	struct task_stat stat;
	struct map map;
	int64_t offset;

	if (!text)
		abort();
	/* a copy of the exact size: what is read behind it is noticed */
	if (len)
		memcpy(text, data, len);
	if (!map__parse(text, len, &map) &&
	    (map.start >= map.end || map.path < text || map.path + map.path_len != text + len))
		abort();
	if (!task_stat__parse(text, len, &stat) &&
	    strnlen(stat.comm, sizeof(stat.comm)) == sizeof(stat.comm))
		abort();
	task_status__parse(text, len, &status);
	task_syscall__parse(text, len, &call);
	timens_monotonic__parse(text, len, &offset);
	kernel_stack__parse(text, len, &kernel);
	free(text);
	return 0;
}
