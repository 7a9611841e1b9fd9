// SPDX-License-Identifier: MIT OR Apache-2.0
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "proc/mem.h"
#include "proc/task.h"
#include "py/python.h"

static void forget(struct target *t)
{
	for (size_t i = 0; i < t->ncmdline; i++)
		free(t->cmdline[i]);
	free(t->cmdline);
	t->cmdline = NULL;
	t->ncmdline = 0;
	free(t->pages);
	t->pages = NULL;
	t->npages = 0;
	python__free(t->python);
	t->python = NULL;
	t->no_python.text[0] = '\0';
	t->no_python_is_final = false;
	t->is_settled = false;
	t->next_python_ns = 0;
	mem__free(t->mem);
	t->mem = NULL;
	t->looks = 0;
	t->said_watched = false;
	t->next_refresh_ns = 0;
}

void target__free(struct target *t)
{
	if (!t)
		return;
	forget(t);
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t);
}

static int load_cmdline(struct target *t)
{
	struct process_args args = { 0 };
	int err = process_args__load(t->pid, &args);

	if (err)
		return err == -ENOMEM ? err : 0; /* a report without it is still a report */
	t->cmdline = calloc(args.cnt + 1, sizeof(*t->cmdline));
	for (size_t i = 0; t->cmdline && i < args.cnt; i++) {
		struct strbuf clean = STRBUF_INIT;

		text_sanitize(&clean, args.arg[i], strlen(args.arg[i]));
		t->cmdline[i] = strbuf_detach(&clean);
		if (!t->cmdline[i])
			break;
		t->ncmdline++;
	}
	err = t->cmdline && t->ncmdline == args.cnt ? 0 : -ENOMEM;
	process_args__free(&args);
	return err;
}

/*
 * A caller with file capabilities or setuid root may watch its own processes only: those that the
 * kernel would let it read without. The file is root's where the process may not be dumped, as
 * after a change of its rights, and else that of its effective user and group.
 */
static int check_owner(const struct target *t, struct err *err)
{
	char path[32];
	struct stat st;

	if (!getuid())
		return 0;
	if (t->info.uid != getuid() || t->info.euid != getuid())
		return err_set(
			err, -EPERM,
			"process %d belongs to uid %u: run perpetuo-bpf as root or as that user",
			(int)t->pid, (unsigned int)t->info.uid);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->pid);
	if (stat(path, &st))
		return err_set(err, -ESRCH, "there is no process %d", (int)t->pid);
	if (st.st_uid == getuid() && st.st_gid == getgid())
		return 0;
	return err_set(
		err, -EPERM,
		"process %d has rights that its user has not (or PR_SET_DUMPABLE): run perpetuo-bpf as root",
		(int)t->pid);
}

static int load(struct target *t, struct err *err)
{
	int ret = process_info__load(t->pid, &t->info);

	if (ret == -ESRCH)
		return err_set(err, ret, "there is no process %d", (int)t->pid);
	if (ret)
		return err_set(err, ret, "cannot look at process %d: %s", (int)t->pid,
			       strerror(-ret));
	if (t->info.kernel_thread)
		return err_set(err, -ENOENT, "process %d is a kernel thread: it runs no Python",
			       (int)t->pid);
	ret = check_owner(t, err);
	if (ret)
		return ret;
	ret = mem__open(t->pid, &t->mem, err);
	if (!ret)
		ret = check_owner(t, err); /* it may have executed a program with other rights */
	if (ret)
		return ret;
	ret = load_cmdline(t);
	return ret ? err_set(err, ret, "out of memory") : 0;
}

int target__open(pid_t pid, uint32_t proc, struct target **out, struct err *err)
{
	struct target *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->pid = pid;
	t->proc = proc;
	/* the fd first: what is read of /proc afterwards can only be of this process, or fails */
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (t->pidfd < 0) {
		ret = -errno;
		if (ret == -ESRCH)
			err_set(err, ret, "there is no process %d", (int)pid);
		else if (ret == -EINVAL || ret == -ENOENT) /* the latter since linux 6.16 */
			err_set(err, ret,
				"%d is a thread, not a process: give the pid of its process",
				(int)pid);
		else
			err_set(err, ret, "cannot open process %d: %s", (int)pid, strerror(-ret));
		goto fail;
	}
	ret = load(t, err);
	if (ret)
		goto fail;
	*out = t;
	return 0;
fail:
	target__free(t);
	return ret;
}

int target__reopen(struct target *t, struct err *err)
{
	forget(t);
	return load(t, err);
}

bool target__is_void(struct target *t)
{
	return !t->mem || mem__check(t->mem) == -ESRCH;
}

int target__find_pages(struct target *t, uint32_t *foreign, struct err *err)
{
	struct slot_page_info *pages;
	int n = slot_pages__find(t->pid, t->mem, &pages, foreign, err);

	if (n < 0)
		return n;
	if (n && t->parent)
		n = (int)slot_pages__drop_shared(pages, (size_t)n, t->parent);
	free(t->pages);
	t->pages = pages;
	t->npages = (size_t)n;
	return n;
}

struct slot_page_info *target__page(struct target *t, uint64_t addr)
{
	for (size_t i = 0; i < t->npages; i++)
		if (t->pages[i].addr == addr)
			return &t->pages[i];
	return NULL;
}

struct python *target__python(struct target *t, struct err *err)
{
	int ret;

	if (t->python)
		return t->python;
	if (!t->no_python_is_final && clock_monotonic_ns() >= t->next_python_ns) {
		ret = t->hurried ? python__open_now(t->pid, &t->python, &t->no_python)
				 : python__open(t->pid, &t->python, &t->no_python);
		if (!ret)
			return t->python;
		t->no_python_is_final = ret == -EOPNOTSUPP;
		t->next_python_ns = clock_monotonic_ns() + TARGET_PYTHON_RETRY_NS;
	}
	if (err)
		*err = t->no_python;
	return NULL;
}

static int find_thread(const struct target *t, pid_t ns_tid, pid_t *tid)
{
	struct task_list list = { 0 };
	struct task_status st;
	int err = task_list__load(t->pid, &list);

	*tid = 0;
	for (size_t i = 0; i < list.cnt && !*tid; i++)
		if (!task_status__load(t->pid, list.tid[i], &st) && st.ns_tid == ns_tid)
			*tid = list.tid[i];
	task_list__free(&list);
	return err;
}

bool target__has_thread(const struct target *t, pid_t ns_tid)
{
	pid_t tid;

	/* an error: not known to have ended */
	return find_thread(t, ns_tid, &tid) || tid;
}

pid_t target__tid(const struct target *t, pid_t ns_tid)
{
	struct task_status st;
	pid_t tid = 0;

	if (!ns_tid)
		return 0;
	/* most share our pid namespace */
	if (!task_status__load(t->pid, ns_tid, &st) && st.ns_levels == 1)
		return ns_tid;
	find_thread(t, ns_tid, &tid);
	return tid;
}

uint64_t target__to_our_clock(const struct target *t, uint64_t target_ns)
{
	return target_ns - (uint64_t)t->info.monotonic_offset_ns;
}
