// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Where a thread is in the kernel: bpf/kstack.bpf.c is run for it, and writes what the kernel calls
 * the functions. From 6.1 on the kernel goes straight to the thread; before, it passes all of the
 * machine.
 */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <unistd.h>

#include "perpetuo.skel.h"
#include "proc/kstack.h"

/* union bpf_iter_link_info as it is from 6.1 on (f0d74c4da1f0 "bpf: Parameterize task iterators."):
 * the headers that we are built with may be older. */
struct one_task {
	uint32_t tid, pid, pid_fd;
};

/* A file that runs the program when it is read, or negative errno. */
static int open_iterator(const struct source *s, pid_t tid, bool one)
{
	struct one_task info = { .tid = (uint32_t)tid };
	LIBBPF_OPTS(bpf_link_create_opts, opts);
	int link, fd;

	if (one) {
		opts.iter_info = (union bpf_iter_link_info *)&info;
		opts.iter_info_len = sizeof(info);
	}
	link = bpf_link_create(bpf_program__fd(s->skel->progs.kstack_show), 0, BPF_TRACE_ITER,
			       &opts);
	if (link < 0)
		return link;
	fd = bpf_iter_create(link);
	close(link);
	return fd;
}

static int read_all(int fd, char *buf, size_t cap, size_t *len)
{
	ssize_t n;

	*len = 0;
	do {
		n = read(fd, buf + *len, cap - *len);
		if (n < 0)
			return -errno;
		*len += (size_t)n;
	} while (n && *len < cap);
	return 0;
}

int bpf_kstack__read(struct source *s, pid_t tid, const uint64_t *ip, size_t cnt,
		     struct kernel_stack *out)
{
	char text[KSTACK_TEXT_MAX];
	size_t len;
	int fd, err;

	*out = (struct kernel_stack){ .cnt = 0 };
	if (cnt > KSTACK_FRAMES)
		cnt = KSTACK_FRAMES;
	s->skel->bss->kstack.tid = (uint32_t)tid;
	s->skel->bss->kstack.cnt = (uint32_t)cnt;
	if (cnt)
		memcpy(s->skel->bss->kstack.ip, ip, cnt * sizeof(*ip));
	fd = open_iterator(s, tid, true);
	if (fd == -E2BIG || fd == -EINVAL)
		fd = open_iterator(s, tid, false);
	if (fd < 0)
		return fd;
	err = read_all(fd, text, sizeof(text), &len);
	close(fd);
	if (!err)
		kernel_stack__parse(text, len, out);
	return err ? err : len ? 0 : -ESRCH;
}
