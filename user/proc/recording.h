/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What was read of a process's memory, kept: so that a dump can be made again without the process,
 * for tests and reports of errors. A file of it is gzip of
 *
 *	perpetuo-recording 1
 *	exe PATH
 *	maps LENGTH, and so many bytes: lines of /proc/PID/maps, files only
 *	pieces COUNT, and of each: address and length (8 bytes each, little endian), its bytes
 *
 * Memory is kept in lines of RECORDING_LINE bytes, so that a reader that looks a little further
 * than the one that recorded finds what it looks for.
 */
#ifndef PERPETUO_PROC_RECORDING_H
#define PERPETUO_PROC_RECORDING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "proc/mem.h"

#define RECORDING_LINE 64 /* a power of two that divides a page: all of it is there, or nothing */
#define RECORDING_MAX_BYTES (16u << 20)
#define RECORDING_MAX_MAPS (1u << 20)

struct recording_piece {
	uint64_t addr;
	size_t len;
	uint8_t *data; /* in the recording's memory; may be changed: a fuzzer does */
};

struct recording {
	char *exe, *maps; /* owned */
	struct recording_piece *piece; /* owned; by address, none touches the next */
	size_t cnt;
	uint8_t *data; /* owned: the pieces lie in it one after the other */
	size_t len;
};

struct recorder; /* opaque: what has been read so far */

/*
 * *OUT (mem__free) reads what FROM reads, which it takes over, also when it fails; *REC, which must
 * outlive it, keeps it. 0 or -ENOMEM.
 */
int recorder__new(struct mem *from, struct mem **out, struct recorder **rec);
void recorder__free(struct recorder *rec); /* NULL is fine */

/* Writes what was read of process PID to the file PATH, which is replaced. 0, or -EFBIG (more than
 * RECORDING_MAX_BYTES), -ENOMEM, -ESRCH, -EPERM, -EIO with a line in ERR. */
int recorder__save(struct recorder *rec, pid_t pid, const char *path, struct err *err);

/* 0 and *OUT (recording__free its content), or -ENOENT, -EINVAL (no such file, or damaged),
 * -ENOMEM, -EIO with a line in ERR. */
int recording__load(const char *path, struct recording *out, struct err *err);
void recording__free(struct recording *r); /* content only; zeroed structs are fine */

/* Memory that is what R has, which is borrowed. 0 and *OUT (mem__free) or -ENOMEM. */
int recording__mem(struct recording *r, struct mem **out);

#endif
