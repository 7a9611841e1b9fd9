// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The stack of a running thread: a cpu-clock event of its own interrupts it a few microseconds from
 * now, and bpf/pywalk.bpf.c walks its Python frames there. Where perf_event_open is refused, the
 * fallback tick does it when it next meets the thread.
 */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "perpetuo.skel.h"

#define PERIOD_NS 20000
#define WAIT_NS (60 * NSEC_PER_MSEC) /* for one that is on a CPU, or comes to one */
#define TRIES 3 /* a thread is hardly ever between two stores twice running */
#define HEADER_LEN offsetof(struct pywalk_record, frame)

int bpf_walk__open(struct source *s, struct err *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);

	if (bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.pywalk_level), &run))
		return err_set(err, -errno, "cannot run a BPF program: %s", strerror(errno));
	return run.retval ? err_set(err, -EIO, "a BPF program failed (%u)", run.retval) : 0;
}

/* It lies in the map: the program leaves it alone until it is asked again. */
static void copy_native(struct source *s, struct pywalk_native *out)
{
	const struct pywalk_native *in = &s->walk->record.native;

	memcpy(out, in, offsetof(struct pywalk_native, stack));
	if (out->nkernel > PYWALK_KERNEL)
		out->nkernel = PYWALK_KERNEL;
	if (out->stack_len > PYWALK_STACK)
		out->stack_len = PYWALK_STACK;
	memcpy(out->stack, in->stack, out->stack_len);
}

int bpf_walk__record(void *ctx, void *data, size_t len)
{
	const struct pywalk_record *rec = data;
	struct source *s = ctx;

	/* an answer that nobody waits for any more is passed over */
	if (!s->captured || len < HEADER_LEN || rec->request != s->cookie ||
	    rec->nframes > PYWALK_FRAMES || len < HEADER_LEN + rec->nframes * sizeof(*rec->frame))
		return 0;
	memcpy(s->captured, rec, HEADER_LEN + rec->nframes * sizeof(*rec->frame));
	copy_native(s, &s->captured->native);
	s->answered = true;
	return 0;
}

/* Offsets that the program can follow: it reads 8 bytes at aligned ones. */
static bool layout_fits(const struct pywalk_layout *l)
{
	const uint32_t words[] = { l->f_prev, l->f_code, l->f_instr };
	const uint32_t bytes[] = { l->f_owner, l->f_mark };

	if (l->f_size > PYWALK_FRAME_BYTES)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (words[i] % 8 || words[i] + 8 > l->f_size)
			return false;
	for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++)
		if (bytes[i] != PYWALK_NONE && bytes[i] >= l->f_size)
			return false;
	return true;
}

static int wait_for_record(struct source *s, uint64_t until_ns)
{
	struct pollfd pfd = { .fd = ring_buffer__epoll_fd(s->stacks), .events = POLLIN };

	while (!s->answered) {
		uint64_t now = clock_monotonic_ns();

		if (now >= until_ns)
			return -EAGAIN;
		if (poll(&pfd, 1, (int)((until_ns - now) / NSEC_PER_MSEC) + 1) > 0)
			ring_buffer__consume(s->stacks);
	}
	return 0;
}

/* The event that interrupts thread TID from now on, or negative errno. */
static int interrupt_thread(struct source *s, pid_t tid)
{
	int fd = ticks_cpu_clock(tid, -1, PERIOD_NS), err;

	if (fd < 0)
		return fd;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, bpf_program__fd(s->skel->progs.pywalk_once))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/*
 * Has TID interrupted soon: by an event of its own (*FD), or, where that is refused, by the next
 * tick
 * (*FD -1). Debian's and Ubuntu's kernels want CAP_SYS_ADMIN for perf_event_open by default, which
 * the loader has given up when it watches. 0 or negative errno.
 */
static int request_tick(struct source *s, pid_t tid, int *fd)
{
	*fd = -1;
	if (s->one_shot) {
		*fd = interrupt_thread(s, tid);
		if (*fd >= 0)
			return 0;
		if (*fd != -EACCES && *fd != -EPERM)
			return *fd == -ESRCH ? -EAGAIN : *fd;
		*fd = -1;
		s->one_shot = false;
	}
	__atomic_store_n(&s->skel->bss->walk_wanted, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* Until when an answer can be expected. */
static uint64_t patience_ns(const struct source *s)
{
	return s->one_shot || s->tick_ns < WAIT_NS / 2 ? WAIT_NS : 2 * s->tick_ns;
}

/* One record, whatever it says. */
static int walk_once(struct source *s, pid_t tid, uint64_t start_ns)
{
	int fd, err;

	s->answered = false;
	s->walk->request.cookie = ++s->cookie;
	__atomic_store_n(&s->walk->request.state, WALK_WANTED, __ATOMIC_SEQ_CST);
	err = request_tick(s, tid, &fd);
	if (!err)
		err = wait_for_record(s, start_ns + patience_ns(s));
	if (fd >= 0)
		close(fd);
	__atomic_store_n(&s->skel->bss->walk_wanted, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->walk->request.state, WALK_NONE, __ATOMIC_SEQ_CST);
	return err;
}

int bpf_walk__capture(void *ctx, pid_t tid, uint64_t tstate, const struct pywalk_layout *layout,
		      struct pywalk_record *out)
{
	struct source *s = ctx;
	uint64_t start_ns = clock_monotonic_ns();
	int err = -EAGAIN;

	if (!layout_fits(layout))
		return -EOPNOTSUPP;
	s->walk->layout = *layout;
	s->walk->request.tid = (uint32_t)tid;
	s->walk->request.tstate = tstate;
	s->walk->request.proc = 0;
	memset(out, 0, HEADER_LEN);
	s->captured = out;
	for (int i = 0; i < TRIES; i++) {
		err = walk_once(s, tid, start_ns);
		if (err || !(out->flags & PYWALK_STALE))
			break;
	}
	s->captured = NULL;
	if (!err)
		out->taken_ns += (uint64_t)s->own_off;
	return err;
}
