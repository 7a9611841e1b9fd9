// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proc/memo.h"
#include "proc/pages.h"
#include "proc/process.h"
#include "proc/task.h"

/* Ranges of one system call, all that it takes: 32 KiB of iovecs on the stack. */
#define BATCH 1024
/* That are read together: with their neighbours they fill half of the pages. */
#define MAX_MISSES 32
#define PAGE PAGES_SIZE
#define PAGES_AT_ONCE 4 /* that one call reads where a lookup wants one */
#define MAX_GAP 1024 /* bytes between two ranges that are read as one */

/* Ranges of one batch, sorted, and the bytes of those that are read together. */
struct scratch {
	struct mem_range *sorted[BATCH];
	struct mem_range joined[BATCH];
	size_t last[BATCH]; /* of `sorted`: the last one that joined[i] holds */
	size_t used; /* of `bytes` */
	uint8_t bytes[64u << 10];
};

struct mem {
	const struct mem_ops *ops;
	void *ctx; /* owned: ops->free */
	struct memo *memo; /* told of all that is read, NULL = nobody is */
	struct pages *pages; /* NULL: reads go to the process itself */
	bool deferred; /* what no page has is missed, and noted: */
	uint64_t miss[MAX_MISSES];
	size_t nmisses;
	struct scratch *scratch; /* of mem__readv_any(), made when it is needed */
	struct mem_stats stats;
};

/* ---- a live process ----------------------------------------------------------------------------
 *
 * process_vm_readv() takes many ranges in one call but names the process by a tid, which must
 * belong to a living thread. The file /proc/PID/mem holds on to the address space itself: it shows
 * when that is gone (exec, exit), and it stands in where process_vm_readv() is refused (seccomp
 * profiles of containers) or its thread has just ended.
 */

struct process_mem {
	pid_t pid;
	pid_t tid; /* a thread that lived when we looked */
	int fd; /* /proc/PID/task/TID/mem, or -1 */
	bool no_readv; /* process_vm_readv() is refused */
};

/* 0 if TID's memory may be read by process_vm_readv(). No process has a page at address 0. */
static int probe(pid_t tid)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { NULL, 1 };

	if (process_vm_readv(tid, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT)
		return 0;
	return -errno;
}

static int pick_thread(struct process_mem *p)
{
	struct task_list list;
	int err;

	err = task_list__load(p->pid, &list);
	if (err)
		return err;
	err = -ESRCH;
	for (size_t i = 0; i < list.cnt; i++) {
		if (probe(list.tid[i]) == -ESRCH)
			continue;
		p->tid = list.tid[i];
		err = 0;
		break;
	}
	task_list__free(&list);
	return err;
}

static ssize_t read_by_file(struct process_mem *p, const struct mem_range *range, size_t cnt)
{
	ssize_t n;

	if (p->fd < 0)
		return -EPERM;
	for (size_t i = 0; i < cnt; i++) {
		/* pread() takes no negative offset: the upper half is the kernel's anyway */
		if (range[i].addr > INT64_MAX - range[i].len)
			return (ssize_t)i;
		n = pread(p->fd, range[i].buf, range[i].len, (off_t)range[i].addr);
		if (n == 0 && range[i].len)
			return i ? (ssize_t)i : -ESRCH;
		if (n != (ssize_t)range[i].len)
			return (ssize_t)i;
	}
	return (ssize_t)cnt;
}

static ssize_t process_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	struct iovec local[BATCH], remote[BATCH];
	struct process_mem *p = ctx;
	size_t whole = 0;
	ssize_t n;

	if (!cnt)
		return 0;
	if (p->no_readv)
		return read_by_file(p, range, cnt);
	for (size_t i = 0; i < cnt; i++) {
		local[i] = (struct iovec){ range[i].buf, range[i].len };
		remote[i] = (struct iovec){ (void *)(uintptr_t)range[i].addr, range[i].len };
	}
	n = process_vm_readv(p->tid, local, cnt, remote, cnt, 0);
	if (n < 0 && errno == ESRCH && !pick_thread(p))
		n = process_vm_readv(p->tid, local, cnt, remote, cnt, 0);
	if (n < 0 && errno == EFAULT)
		return 0;
	if (n < 0)
		return errno == EPERM || errno == ENOSYS ? -EPERM : -ESRCH;
	for (; whole < cnt && (size_t)n >= range[whole].len; whole++)
		n -= (ssize_t)range[whole].len;
	return (ssize_t)whole;
}

static int process_check(void *ctx)
{
	struct process_mem *p = ctx;
	char byte;

	if (p->fd < 0)
		return process__exists(p->pid) ? 0 : -ESRCH;
	/* end of file = no address space any more; a hole in a living one is an error */
	return pread(p->fd, &byte, 1, 0) == 0 ? -ESRCH : 0;
}

static void process_free(void *ctx)
{
	struct process_mem *p = ctx;

	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static const struct mem_ops process_ops = {
	.readv = process_readv,
	.check = process_check,
	.free = process_free,
};

static int no_memory(pid_t pid, struct err *err)
{
	struct process_info info;

	if (process_info__load(pid, &info))
		return err_set(err, -ESRCH, "there is no process %d", pid);
	return err_set(err, -ENOENT, "process %d %s", pid,
		       info.kernel_thread ? "is a kernel thread: it has no memory of its own"
					  : "has already ended: its memory is gone");
}

static int open_process(struct process_mem *p, struct err *err)
{
	char path[64], byte;
	int ret;

	p->tid = p->pid;
	ret = probe(p->tid);
	if (ret == -ESRCH && (!process__exists(p->pid) || pick_thread(p)))
		return no_memory(p->pid, err);
	if (ret == -ESRCH)
		ret = probe(p->tid);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/mem", p->pid, p->tid);
	p->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->fd >= 0 && pread(p->fd, &byte, 1, 0) == 0)
		return no_memory(p->pid, err);
	if (ret && p->fd < 0)
		return err_set(
			err, -EPERM,
			"may not read the memory of process %d: be root, or have CAP_SYS_PTRACE (see ptrace(2), kernel.yama.ptrace_scope)",
			p->pid);
	p->no_readv = ret != 0;
	return 0;
}

int mem__open(pid_t pid, struct mem **out, struct err *err)
{
	struct process_mem *p;
	int ret;

	*out = NULL;
	if (pid <= 0)
		return err_set(err, -ESRCH, "there is no process %d", pid);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "no memory for reading process %d", pid);
	p->pid = pid;
	p->fd = -1;
	ret = open_process(p, err);
	if (ret) {
		process_free(p);
		return ret;
	}
	ret = mem__from_ops(&process_ops, p, out);
	return ret ? err_set(err, ret, "no memory for reading process %d", pid) : 0;
}

/* ---- any memory ------------------------------------------------------------------------------ */

int mem__from_ops(const struct mem_ops *ops, void *ctx, struct mem **out)
{
	struct mem *m = calloc(1, sizeof(*m));

	*out = m;
	if (!m) {
		if (ops->free)
			ops->free(ctx);
		return -ENOMEM;
	}
	m->ops = ops;
	m->ctx = ctx;
	return 0;
}

void mem__free(struct mem *m)
{
	if (!m)
		return;
	if (m->ops->free)
		m->ops->free(m->ctx);
	pages__free(m->pages);
	free(m->scratch);
	free(m);
}

/* One batch of at most BATCH ranges: the first that is not there ends a call, not the batch. */
static int read_batch(struct mem *m, struct mem_range *range, size_t cnt)
{
	int err = 0;
	ssize_t n;

	for (size_t i = 0; i < cnt;) {
		m->stats.calls++;
		n = m->ops->readv(m->ctx, range + i, cnt - i);
		if (n < 0) {
			for (; i < cnt; i++)
				range[i].err = (int)n;
			return (int)n;
		}
		for (ssize_t k = 0; k < n; k++)
			range[i + (size_t)k].err = 0;
		i += (size_t)n;
		if (i < cnt) {
			m->stats.faults++;
			range[i++].err = err = -EFAULT;
		}
	}
	return err;
}

int mem__readv(struct mem *m, struct mem_range *range, size_t cnt)
{
	int err = 0, ret;
	size_t n;

	for (size_t i = 0; i < cnt; i += n) {
		n = cnt - i < BATCH ? cnt - i : BATCH;
		m->stats.ranges += n;
		for (size_t k = i; k < i + n; k++)
			m->stats.bytes += range[k].len;
		ret = read_batch(m, range + i, n);
		for (size_t k = i; m->memo && k < i + n; k++)
			memo__note(m->memo, &range[k]);
		if (ret && ret != -EFAULT) {
			for (size_t k = i + n; k < cnt; k++)
				range[k].err = ret;
			return ret;
		}
		err = ret ? ret : err;
	}
	return err;
}

/* ---- ranges in any order --------------------------------------------------------------------- */

static int by_addr(const void *a, const void *b)
{
	const struct mem_range *x = *(struct mem_range *const *)a;
	const struct mem_range *y = *(struct mem_range *const *)b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Can what reaches from START to END hold R, too, without leaving its page? *END is then moved. */
static bool joins(const struct scratch *sc, uint64_t start, uint64_t *end,
		  const struct mem_range *r)
{
	uint64_t page_end = start - start % PAGE + PAGE, to;

	if (*end > page_end || r->addr >= page_end || r->len > page_end - r->addr ||
	    r->addr > *end + MAX_GAP)
		return false;
	to = r->addr + r->len > *end ? r->addr + r->len : *end;
	if (to - start > sizeof(sc->bytes) - sc->used)
		return false;
	*end = to;
	return true;
}

/* Joins neighbours of sorted[0..CNT). Returns how many ranges are left. */
static size_t join(struct scratch *sc, size_t cnt)
{
	size_t n = 0;

	sc->used = 0;
	for (size_t i = 0; i < cnt; i++, n++) {
		struct mem_range *out = &sc->joined[n];
		uint64_t start = sc->sorted[i]->addr, end = start + sc->sorted[i]->len;
		size_t first = i;

		*out = *sc->sorted[i];
		/* what wraps around is for the read to refuse, alone */
		while (end >= start && i + 1 < cnt && joins(sc, start, &end, sc->sorted[i + 1]))
			i++;
		if (i > first) {
			out->buf = sc->bytes + sc->used;
			out->len = end - start;
			sc->used += out->len;
		}
		sc->last[n] = i;
	}
	return n;
}

/* What was read together goes where it was wanted. */
static void spread(struct scratch *sc, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const struct mem_range *in = &sc->joined[i];

		for (; k <= sc->last[i]; k++) {
			struct mem_range *r = sc->sorted[k];

			r->err = 0;
			if (r->buf != in->buf)
				memcpy(r->buf, (uint8_t *)in->buf + (r->addr - in->addr), r->len);
		}
	}
}

int mem__readv_any(struct mem *m, struct mem_range *range, size_t cnt)
{
	int err = 0, ret;
	size_t n, joined;

	if (!m->scratch && !m->ops->sparse)
		m->scratch = malloc(sizeof(*m->scratch));
	if (!m->scratch)
		return mem__readv(m, range, cnt);
	for (size_t i = 0; i < cnt; i += n) {
		n = cnt - i < BATCH ? cnt - i : BATCH;
		for (size_t k = 0; k < n; k++)
			m->scratch->sorted[k] = &range[i + k];
		qsort(m->scratch->sorted, n, sizeof(m->scratch->sorted[0]), by_addr);
		joined = join(m->scratch, n);
		ret = mem__readv(m, m->scratch->joined, joined);
		/* something is not there, or (of a recording) not all of a page: each for itself */
		if (ret == -EFAULT)
			ret = mem__readv(m, range + i, n);
		else if (!ret)
			spread(m->scratch, joined);
		if (ret && ret != -EFAULT) {
			for (size_t k = i; k < cnt; k++)
				range[k].err = ret;
			return ret;
		}
		err = ret ? ret : err;
	}
	return err;
}

/* Plans to read the page at ADDR and its neighbours: what a lookup wants next lies often beside. */
static size_t plan_pages(struct mem *m, uint64_t addr, struct mem_range *range)
{
	uint64_t first = addr - addr % (PAGES_AT_ONCE * PAGE);
	size_t n = 0;

	for (uint64_t at = first; at - first < PAGES_AT_ONCE * PAGE; at += PAGE)
		if (!pages__find(m->pages, at))
			range[n++] = (struct mem_range){ .addr = at,
							 .buf = pages__place(m->pages, at),
							 .len = PAGE };
	return n;
}

/* How many of them are there now. */
static size_t fill_pages(struct mem *m, struct mem_range *range, size_t cnt)
{
	size_t whole = cnt;

	m->stats.ranges += cnt;
	m->stats.bytes += cnt * PAGE;
	read_batch(m, range, cnt);
	for (size_t i = 0; i < cnt; i++) {
		if (!range[i].err)
			continue;
		pages__drop(m->pages, range[i].addr);
		whole--;
	}
	return whole;
}

/* The page at ADDR. NULL: it cannot be read as a whole, or later (mem__defer). */
static const uint8_t *page_at(struct mem *m, uint64_t addr)
{
	const uint8_t *bytes = pages__find(m->pages, addr);
	struct mem_range range[PAGES_AT_ONCE];

	if (bytes)
		return bytes;
	if (m->deferred && m->nmisses < MAX_MISSES)
		m->miss[m->nmisses++] = addr;
	if (m->deferred)
		return NULL;
	fill_pages(m, range, plan_pages(m, addr, range));
	return pages__find(m->pages, addr);
}

/* Out of the one or two pages that have it all. */
static bool read_pages(struct mem *m, struct mem_range *range)
{
	uint64_t addr = range->addr, page;
	uint8_t *buf = range->buf;
	const uint8_t *bytes;
	size_t len;

	if (range->len > PAGE || addr + range->len < addr)
		return false;
	for (size_t left = range->len; left; left -= len, addr += len, buf += len) {
		page = addr - addr % PAGE;
		bytes = page_at(m, page);
		if (!bytes)
			return false;
		len = PAGE - (addr - page) < left ? PAGE - (addr - page) : left;
		memcpy(buf, bytes + (addr - page), len);
	}
	range->err = 0;
	if (m->memo)
		memo__note(m->memo, range);
	return true;
}

void mem__defer(struct mem *m, bool on)
{
	m->deferred = on && m->pages;
	m->nmisses = 0;
}

bool mem__catch_up(struct mem *m)
{
	struct mem_range range[MAX_MISSES * PAGES_AT_ONCE];
	size_t n = 0;

	for (size_t i = 0; i < m->nmisses; i++)
		n += plan_pages(m, m->miss[i], &range[n]);
	m->nmisses = 0;
	return n && fill_pages(m, range, n);
}

int mem__read(struct mem *m, uint64_t addr, void *buf, size_t len)
{
	struct mem_range range = { .addr = addr, .buf = buf, .len = len };

	if (!len || (m->pages && read_pages(m, &range)))
		return 0;
	if (m->deferred && len <= PAGE)
		return -EAGAIN;
	return mem__readv(m, &range, 1);
}

int mem__read_u32(struct mem *m, uint64_t addr, uint32_t *out)
{
	int err = mem__read(m, addr, out, sizeof(*out));

	if (err)
		*out = 0;
	return err;
}

int mem__read_u64(struct mem *m, uint64_t addr, uint64_t *out)
{
	int err = mem__read(m, addr, out, sizeof(*out));

	if (err)
		*out = 0;
	return err;
}

int mem__check(struct mem *m)
{
	return m->ops->check ? m->ops->check(m->ctx) : 0;
}

void mem__use_pages(struct mem *m, bool on)
{
	pages__free(m->pages);
	/* without memory for them it is only slower */
	m->pages = on && !m->ops->sparse ? pages__new() : NULL;
	mem__defer(m, false);
}

void mem__set_memo(struct mem *m, struct memo *memo)
{
	m->memo = memo;
}

const struct mem_stats *mem__stats(const struct mem *m)
{
	return &m->stats;
}
