/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where a thread is in the kernel, by the names that the kernel itself gives. */
#ifndef PERPETUO_PROC_KSTACK_H
#define PERPETUO_PROC_KSTACK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/unwind.h"

#define KSTACK_MAX_FRAMES 24
#define KSTACK_NAME_MAX 96
#define KSTACK_TEXT_MAX 4096

struct kernel_frame {
	char function[KSTACK_NAME_MAX];
	char module[KSTACK_NAME_MAX]; /* "" = the kernel itself */
	uint64_t offset;
};

struct kernel_stack {
	struct kernel_frame frame[KSTACK_MAX_FRAMES]; /* innermost first */
	size_t cnt;
	struct unwind_regs regs; /* with which it entered the kernel; ip 0 = not known */
};

/*
 * The text of kstack_abi.h, or of /proc/PID/task/TID/stack, LEN bytes. Lines that are
 * neither a frame nor registers, and frames without a name, are left out; so are those by which
 * every thread enters and leaves the kernel.
 */
void kernel_stack__parse(const char *text, size_t len, struct kernel_stack *out);

/*
 * The same from /proc: all frames for CAP_SYS_ADMIN, else the innermost one. 0, or negative errno
 * where not even that is told.
 */
int kernel_stack__load(pid_t pid, pid_t tid, struct kernel_stack *out);

#endif
