/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whole small files of /proc, for the parsers beside this. */
#ifndef PERPETUO_PROC_PROCFILE_H
#define PERPETUO_PROC_PROCFILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads the file named by FMT into BUF and ends it with a NUL (which is not counted); what does not
 * fit is left out. Returns the bytes read, or -ESRCH (the process is gone), -EPERM, -ENOENT (it
 * lives, but has no such file), -EIO.
 */
ssize_t procfile__read(char *buf, size_t cap, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same for files of any length: *OUT is the caller's (free() it) and ends with a NUL. At most
 * MAX bytes; more is cut at MAX. Also -ENOMEM.
 */
ssize_t procfile__slurp(char **out, size_t max, const char *path);

/* Maps an errno (negative) of /proc to one of the above. */
int procfile__error(int err);

#endif
