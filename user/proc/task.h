/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The threads of a process, as /proc/PID/task tells. A thread that is gone is -ESRCH everywhere. */
#ifndef PERPETUO_PROC_TASK_H
#define PERPETUO_PROC_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TASK_MAX 65536 /* threads of one process that are listed */
#define TASK_COMM_MAX 64 /* bytes of a name, with its NUL */

struct task_list {
	pid_t *tid; /* owned; in our pid namespace, ascending */
	size_t cnt;
	bool cut; /* there were more than TASK_MAX */
};

/* 0 (task_list__free), or -ESRCH, -EPERM, -ENOMEM. */
int task_list__load(pid_t pid, struct task_list *out);
void task_list__free(struct task_list *list); /* content only; zeroed structs are fine */

struct task_stat {
	pid_t pid; /* the tid, for a thread */
	char comm[TASK_COMM_MAX]; /* raw: not sanitised, may end inside a UTF-8 sequence */
	char state; /* R S D T t Z X I ... */
	pid_t ppid;
	uint64_t flags; /* PF_* of the kernel */
	uint64_t start_ticks; /* since boot (CLOCK_BOOTTIME), in clock ticks (100 a second) */
};

/* One /proc/.../stat. The name may hold spaces, parentheses and newlines. 0 or -EINVAL. */
int task_stat__parse(const char *text, size_t len, struct task_stat *out);
int task_stat__load(pid_t pid, pid_t tid, struct task_stat *out);

struct task_status {
	char state;
	uid_t uid; /* real, effective: as seen from our user namespace */
	uid_t euid;
	gid_t egid; /* effective */
	pid_t ns_tid; /* in the innermost pid namespace of the process: what gettid() says there */
	unsigned int ns_levels; /* pid namespaces from ours to that one; 1 = the same */
	uint64_t voluntary; /* times that it went off CPU to wait */
	uint64_t involuntary; /* times that it was taken off the CPU */
};

/* One /proc/.../status. Missing lines leave zeros (ns_tid 0 = unknown); -EINVAL without a state. */
int task_status__parse(const char *text, size_t len, struct task_status *out);
int task_status__load(pid_t pid, pid_t tid, struct task_status *out);

/*
 * The system call in which the thread is, and the proof that it is off CPU: the kernel waits until
 * the thread has really been switched out before it prints one.
 */
struct task_syscall {
	bool blocked; /* off CPU at one moment of the look; false: running or runnable */
	long nr; /* -1: blocked, but in no system call (a page fault) */
	uint64_t arg[6];
	uint64_t sp, pc;
};

/* One /proc/.../syscall. 0 or -EINVAL. */
int task_syscall__parse(const char *text, size_t len, struct task_syscall *out);
/* -EPERM where the ptrace permission is missing, -EOPNOTSUPP where the kernel has no such file. */
int task_syscall__load(pid_t pid, pid_t tid, struct task_syscall *out);

/* The descriptor on which a blocked thread waits for events in epoll, -1 = it does something else.
 */
int task_syscall__epoll_fd(const struct task_syscall *call);

#endif
