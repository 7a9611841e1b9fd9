// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/task.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/process.h"
#include "proc/procfile.h"
#include "tap.h"

static void stat_line(void)
{
	static const char odd[] =
		"1234 (a) (b)\n) S 1 2 3 4 5 4194304 7 8 9 10 11 12 13 14 15 16 17 18 98765 20 21";
	struct task_stat s;

	is_int(task_stat__parse(odd, sizeof(odd) - 1, &s), 0,
	       "a name with parentheses and a newline");
	is_int(s.pid, 1234, "pid");
	is_str(s.comm, "a) (b)\n", "the name as it is");
	is_int(s.state, 'S', "state");
	is_int(s.ppid, 1, "ppid");
	is_int(s.flags, 4194304, "flags");
	is_int(s.start_ticks, 98765, "start time");
	is_int(task_stat__parse("1 (x) S 1", 9, &s), -EINVAL, "cut short");
	is_int(task_stat__parse("", 0, &s), -EINVAL, "empty");
	is_int(task_stat__parse(")(", 2, &s), -EINVAL, "the wrong way round");
}

static void status_text(void)
{
	static const char text[] =
		"Name:\tState:\tR\nState:\tS (sleeping)\nUid:\t1000\t1001\t3\t4\n"
		"NSpid:\t1234\t17\t3\nvoluntary_ctxt_switches:\t42\n"
		"nonvoluntary_ctxt_switches:\t7\n";
	struct task_status s;

	is_int(task_status__parse(text, sizeof(text) - 1, &s), 0, "a status");
	is_int(s.state, 'S', "its state, whatever the name says");
	ok(s.uid == 1000 && s.euid == 1001, "real and effective uid");
	is_int(s.ns_tid, 3, "the innermost id");
	is_int(s.ns_levels, 3, "three namespaces");
	ok(s.voluntary == 42 && s.involuntary == 7, "switches");
	is_int(task_status__parse("Name:\tx\n", 8, &s), -EINVAL, "no state");
	is_int(task_status__parse("", 0, &s), -EINVAL, "empty");
}

static void syscall_text(void)
{
	struct task_syscall c;
	static const char in[] = "202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd 0x55d0\n";

	is_int(task_syscall__parse("running\n", 8, &c), 0, "running");
	ok(!c.blocked, "is not blocked");
	is_int(task_syscall__parse(in, sizeof(in) - 1, &c), 0, "in a system call");
	ok(c.blocked && c.nr == 202 && c.arg[0] == 1 && c.arg[5] == 6 && c.sp == 0x7ffd &&
		   c.pc == 0x55d0,
	   "number, arguments, sp, pc");
	is_int(task_syscall__parse("-1 0x7ffd 0x55d0\n", 17, &c), 0, "blocked in no system call");
	ok(c.blocked && c.nr == -1 && c.pc == 0x55d0, "-1");
	is_int(task_syscall__parse("202 0x1", 7, &c), -EINVAL, "cut short");
	is_int(task_syscall__parse("", 0, &c), -EINVAL, "empty");
}

static int pipe_fds[2];

static void *sleeper(void *tid)
{
	char byte;

	__atomic_store_n((pid_t *)tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	return read(pipe_fds[0], &byte, 1) == 1 ? NULL : tid;
}

static void threads(void)
{
	struct task_syscall call = { 0 };
	struct task_list list;
	struct task_stat stat;
	pthread_t thread;
	pid_t tid = 0;

	if (pipe(pipe_fds) || pthread_create(&thread, NULL, sleeper, &tid))
		exit(1);
	/* generous: the thread only has to reach its read() */
	for (int i = 0; i < 5000; i++) {
		pid_t seen = __atomic_load_n(&tid, __ATOMIC_ACQUIRE);

		if (seen && !task_syscall__load(getpid(), seen, &call) && call.blocked &&
		    call.nr == SYS_read)
			break;
		usleep(1000);
	}
	ok(call.blocked && call.nr == SYS_read, "a thread that reads is blocked in read()");
	is_int(call.arg[0], pipe_fds[0], "from that descriptor");
	is_int(task_list__load(getpid(), &list), 0, "our threads");
	ok(list.cnt == 2 && list.tid[1] == tid, "are two");
	task_list__free(&list);
	is_int(task_stat__load(getpid(), tid, &stat) ?: stat.state, 'S', "it sleeps");
	if (write(pipe_fds[1], "x", 1) != 1)
		exit(1);
	pthread_join(thread, NULL);
	/* the kernel takes the thread out of /proc a little after its join */
	for (int i = 0; i < 5000 && task_stat__load(getpid(), tid, &stat) != -ESRCH; i++)
		usleep(1000);
	is_int(task_stat__load(getpid(), tid, &stat), -ESRCH, "and is gone");
	is_int(task_syscall__load(getpid(), tid, &call), -ESRCH, "everywhere");
	is_int(task_list__load(0x7fffffff, &list), -ESRCH, "no such process");
}

static void process(void)
{
	struct process_info info;
	struct process_args args;
	struct task_stat stat;
	int64_t offset;

	is_int(process_info__load(getpid(), &info), 0, "ourselves");
	ok(info.uid == getuid() && !info.kernel_thread && !info.zombie, "a user's process");
	ok(info.start_monotonic_ns <= clock_monotonic_ns(), "that has started");
	/* generous: this program is young, even on a machine that is loaded */
	ok(clock_monotonic_ns() - info.start_monotonic_ns < 600 * NSEC_PER_SEC, "not long ago");
	if (!task_stat__load(2, 2, &stat) && !strcmp(stat.comm, "kthreadd"))
		ok(!process_info__load(2, &info) && info.kernel_thread, "pid 2 is a kernel thread");
	else
		skip(1, "no kernel threads in this pid namespace");
	is_int(process_info__load(-1, &info), -ESRCH, "no such process");
	is_int(process_args__load(getpid(), &args), 0, "our arguments");
	ok(args.cnt == 1 && strstr(args.arg[0], "test_task") && !args.arg[1], "are one");
	process_args__free(&args);
	is_int(timens_monotonic__parse("monotonic -5 250000000\nboottime 0 0\n", 37, &offset), 0,
	       "a time namespace");
	is_int(offset, -4750000000, "seconds and nanoseconds");
	is_int(timens_monotonic__parse("monotonic 99999999999999999 0", 29, &offset), -EINVAL,
	       "an offset that overflows");
	is_int(timens_monotonic__parse("x", 1, &offset), -EINVAL, "nonsense");
}

/* Control groups of containers have names of 200 bytes. */
static void long_path(void)
{
	char path[400] = "/proc", text[64];

	while (strlen(path) < 300)
		strcat(path, "/self/..");
	ok(procfile__read(text, sizeof(text), "%s/self/comm", path) > 0, "a long path is read");
}

int main(void)
{
	plan(10 + 8 + 8 + 8 + 12 + 1);
	stat_line();
	status_text();
	syscall_text();
	threads();
	process();
	long_path();
	return done();
}
