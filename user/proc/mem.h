/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The memory of another process, read and never written.
 *
 * A read is all or nothing. Behind it stands a small table of operations, so that a recorded image
 * or a fuzzer's bytes can take the place of a process.
 */
#ifndef PERPETUO_PROC_MEM_H
#define PERPETUO_PROC_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct mem; /* opaque */
struct memo; /* proc/memo.h */

struct mem_range {
	uint64_t addr;
	void *buf; /* the caller's */
	size_t len;
	int err; /* set by the read: 0, or why this range was not read (BUF is then undefined) */
};

struct mem_stats {
	uint64_t calls; /* system calls */
	uint64_t ranges; /* in them */
	uint64_t bytes; /* asked for */
	uint64_t faults; /* ranges that were not there */
};

struct mem_ops {
	/* Reads the ranges in order and stops at the first that is not there. Returns how many are
	 * whole, or negative errno when none could be tried (-ESRCH, -EPERM). */
	ssize_t (*readv)(void *ctx, const struct mem_range *range, size_t cnt);
	/* 0, or -ESRCH when that memory is no more; NULL: it always is */
	int (*check)(void *ctx);
	void (*free)(void *ctx); /* may be NULL */
	bool sparse; /* whole pages are not there, or not wanted: only what is asked for is read */
};

/*
 * Opens the memory of process PID: 0 and *OUT (mem__free), or
 *	-ESRCH	no such process		-EPERM	not allowed to read it
 *	-ENOENT	a kernel thread, or a process that has already ended: no memory
 *	-ENOMEM
 * with one line in ERR. A process whose first thread has ended is read through another thread.
 */
int mem__open(pid_t pid, struct mem **out, struct err *err);

/* Takes the place of a process. Takes ownership of CTX (OPS->free), also when it fails. */
int mem__from_ops(const struct mem_ops *ops, void *ctx, struct mem **out);

void mem__free(struct mem *m); /* NULL is fine */

/* All LEN bytes, or -EFAULT (not all mapped), -ESRCH, -EPERM. LEN 0 always succeeds. */
int mem__read(struct mem *m, uint64_t addr, void *buf, size_t len);

/* One integer; 0 in *OUT when it fails. */
int mem__read_u32(struct mem *m, uint64_t addr, uint32_t *out);
int mem__read_u64(struct mem *m, uint64_t addr, uint64_t *out);

/*
 * Many ranges with as few system calls as possible; one that is not there does not keep the others
 * from being read. 0 when all were read, -EFAULT when one or more were not (range.err says which),
 * -ESRCH or -EPERM when nothing can be read any more (then every range.err is set).
 */
int mem__readv(struct mem *m, struct mem_range *range, size_t cnt);

/*
 * The same for ranges that need not be read in their order, nor at one moment: those that lie close
 * together in one page are read as one, since each range costs more than its bytes.
 */
int mem__readv_any(struct mem *m, struct mem_range *range, size_t cnt);

/*
 * 0 while the memory that was opened exists; -ESRCH once the process has ended or has executed
 * another program. (Where /proc/PID/mem could not be opened, exec goes unnoticed here.)
 */
int mem__check(struct mem *m);

const struct mem_stats *mem__stats(const struct mem *m);

/*
 * Between ON and off mem__read() takes what is small out of whole pages, each of which is read
 * once: for a lookup of many reads that depend on each other. What it sees may be as old as its
 * beginning.
 */
void mem__use_pages(struct mem *m, bool on);

/*
 * For many such lookups side by side, while pages are used: between ON and off mem__read() of what
 * no page has fails with -EAGAIN, and mem__catch_up() reads the pages of all that was missed in one
 * call. False: there was nothing to read, or nothing that can be read.
 */
void mem__defer(struct mem *m, bool on);
bool mem__catch_up(struct mem *m);

/* Every range that is read is told to MEMO (borrowed), until this is called with NULL. */
void mem__set_memo(struct mem *m, struct memo *memo);

#endif
