// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The ticks that read the slots of a thread while it is on a CPU: a cpu-clock event for each CPU.
 * The event of a CPU that goes offline is dead for good, so one that comes online gets a new one;
 * the kernel says so by a uevent, and a filter lets only those through.
 */
#include "source/bpf.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "perpetuo.skel.h"

#define MODULE "bpf"
#define KERNEL_UEVENTS 1 /* multicast group */
#define UEVENT_LEN 4096
#define ONLINE "online@/devices/system/cpu/cpu%d"

int ticks_cpu_clock(pid_t tid, int cpu, uint64_t period_ns)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = period_ns,
	};
	long fd = syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

bool ticks_allowed(void)
{
	long ncpus = sysconf(_SC_NPROCESSORS_CONF);

	for (int cpu = 0; cpu < ncpus; cpu++) {
		int fd = ticks_cpu_clock(-1, cpu, 1000000000);

		if (fd >= 0) {
			close(fd);
			return true;
		}
	}
	return false;
}

/* 0, or negative errno: -ENODEV if the CPU is offline. */
static int tick_on(struct source *s, int cpu)
{
	struct bpf_link *link;
	int err, fd;

	bpf_link__destroy(s->ticks.link[cpu]);
	s->ticks.link[cpu] = NULL;
	fd = ticks_cpu_clock(-1, cpu, s->tick_ns);
	if (fd < 0)
		return fd;
	link = bpf_program__attach_perf_event(s->skel->progs.slots_tick, fd);
	if (!link) {
		err = -errno;
		close(fd);
		return err;
	}
	s->ticks.link[cpu] = link; /* and the fd with it */
	return 0;
}

/* Only messages that begin with "online@/devices/system/cpu/cpu"; words in network order. */
static int watch_cpus(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x6f6e6c69, 0, 7), /* onli */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x6e65402f, 0, 5), /* ne@/ */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x656d2f63, 0, 3), /* em/c */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 24),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x70752f63, 0, 1), /* pu/c */
		BPF_STMT(BPF_RET | BPF_K, UEVENT_LEN),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = sizeof(filter) / sizeof(*filter), .filter = filter };
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_UEVENTS };
	int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

int ticks__open(struct source *s, struct err *err)
{
	int opened = 0, ret;

	if (!s->perf)
		return 0;
	s->ticks.ncpus = libbpf_num_possible_cpus();
	if (s->ticks.ncpus <= 0)
		return err_set(err, -EIO, "cannot learn the number of CPUs");
	s->ticks.link = calloc((size_t)s->ticks.ncpus, sizeof(*s->ticks.link));
	if (!s->ticks.link)
		return err_set(err, -ENOMEM, "out of memory");
	/* before the first event, so that no CPU comes online unseen */
	s->ticks.uevent_fd = watch_cpus();
	if (s->ticks.uevent_fd < 0)
		log_msg(LOG_DEBUG, MODULE, "no uevents: a CPU that comes online gets no tick");
	for (int cpu = 0; cpu < s->ticks.ncpus; cpu++) {
		ret = tick_on(s, cpu);
		if (!ret)
			opened++;
		else if (ret != -ENODEV && ret != -ENXIO)
			return err_set(err, ret, "cannot open a clock event on CPU %d: %s", cpu,
				       strerror(-ret));
	}
	return opened ? 0 : err_set(err, -ENODEV, "no CPU takes a clock event");
}

void ticks__close(struct source *s)
{
	for (int cpu = 0; s->ticks.link && cpu < s->ticks.ncpus; cpu++)
		bpf_link__destroy(s->ticks.link[cpu]);
	free(s->ticks.link);
	if (s->ticks.uevent_fd >= 0)
		close(s->ticks.uevent_fd);
}

void ticks__dispatch(struct source *s)
{
	char text[UEVENT_LEN + 1];
	struct sockaddr_nl from;
	struct iovec iov = { .iov_base = text, .iov_len = UEVENT_LEN };
	struct msghdr msg = { .msg_name = &from, .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t len;
	int cpu, err;

	for (;;) {
		msg.msg_namelen = sizeof(from);
		len = recvmsg(s->ticks.uevent_fd, &msg, 0);
		if (len <= 0)
			return;
		text[len] = '\0';
		/* 0: from the kernel */
		if (from.nl_pid || sscanf(text, ONLINE, &cpu) != 1 || cpu < 0 ||
		    cpu >= s->ticks.ncpus)
			continue;
		err = tick_on(s, cpu);
		if (err)
			log_msg(LOG_WARN, MODULE,
				"CPU %d came online and takes no clock event (%s): threads that compute there are seen at switches only",
				cpu, strerror(-err));
	}
}
