/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One process that is watched: what is known of it, until it exits or executes something else. */
#ifndef PERPETUO_TARGET_H
#define PERPETUO_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "proc/process.h"
#include "source/slot.h"

struct mem;
struct python;

struct target {
	pid_t pid;
	pid_t parent; /* of a child that is followed; 0 = we were told to watch it */
	uint32_t proc; /* handle at the source */
	int pidfd; /* readable when it has exited */
	struct mem *mem;
	struct process_info info;
	char **cmdline; /* sanitised, NULL-terminated */
	size_t ncmdline;
	struct slot_page_info *pages;
	size_t npages;
	struct python *python; /* NULL: not looked for yet, or see no_python */
	struct err no_python; /* why there are no stacks, "" = not known to be impossible */
	bool no_python_is_final;
	bool hurried; /* one that starts is not waited for */
	bool is_settled; /* a child: it is known to run Python */
	bool said_followed;
	uint64_t next_python_ns; /* when to look for it again */
	bool said_no_pages;
	bool said_watched; /* that it is, without any page */
	bool was_watched; /* it had pages at some time */
	unsigned int looks; /* for pages, in vain, since the last exec */
	uint64_t next_look_ns; /* when to look for pages again; 0 = not at all */
	uint64_t refreshed_ns; /* when the facts of the pages were read last */
	uint64_t next_refresh_ns; /* when to read them again; 0 = when they change */
};

/*
 * Opens PID as PROC. 0 and *OUT (target__free); -ESRCH, -EPERM, -ENOENT (kernel thread), -ENOMEM,
 * -EIO with one line in ERR that says what to do. Pages and Python are not looked for yet.
 */
int target__open(pid_t pid, uint32_t proc, struct target **out, struct err *err);
void target__free(struct target *t); /* NULL is fine */

/* The process executes another program: forgets everything but the pid and opens it anew. As
 * target__open; where it fails T is void. */
int target__reopen(struct target *t, struct err *err);

/* Has it exited, or does it execute another program since it was opened? Also where it could not be
 * opened again. */
bool target__is_void(struct target *t);

/* Looks for slot pages. How many there are now, or negative errno with ERR. *FOREIGN as in
 * slot_pages__find. */
int target__find_pages(struct target *t, uint32_t *foreign, struct err *err);

/* The page at ADDR or NULL. */
struct slot_page_info *target__page(struct target *t, uint64_t addr);

/*
 * The reader for its Python, opened at the first call; NULL and why in ERR (which may be NULL) if
 * there is none. One that may come yet is looked for again after this time: a program can stall
 * thousands of times.
 */
#define TARGET_PYTHON_RETRY_NS 40000000ULL
struct python *target__python(struct target *t, struct err *err);

/* Does a thread live that has this id in the target's pid namespace? */
bool target__has_thread(const struct target *t, pid_t ns_tid);

/* What that thread's id is in our pid namespace; 0: there is none. */
pid_t target__tid(const struct target *t, pid_t ns_tid);

/* The target's clock to ours. */
uint64_t target__to_our_clock(const struct target *t, uint64_t target_ns);

#endif
