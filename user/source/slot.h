/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Slot pages in a target (bpf/slot_abi.h), v0 and v1: finding them, reading facts, looking again.
 */
#ifndef PERPETUO_SOURCE_SLOT_H
#define PERPETUO_SOURCE_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "bpf/slot_abi.h"

struct mem;

#define SLOT_MAX_PAGES 16 /* pages watched in one process */
#define SLOT_MAX_NAME 1024 /* bytes of a v0 name that are read */

/* All checked: a page that is no page is not listed. */
struct slot_page_info {
	uint64_t addr;
	uint32_t version; /* SLOT_V0, SLOT_V1 */
	uint32_t nwords; /* slots that can be in use: SLOT_V0_SLOTS, or SLOT_WORDS */
	uint32_t in_use; /* of these, the first in_use may be in use now */
	uint64_t generation;
	uint64_t inode; /* v0: of the shared memory in which it lies; v1: 0 */
	uint64_t meta; /* v1: address of slot_meta[0] */
	uint64_t long_ns; /* v1: sections longer than this enter the history */
	uint64_t counters[(SLOT_WORDS + 63) / 64]; /* v1: slots of kind counter, a bit each */
	uint64_t loops[(SLOT_WORDS + 63) / 64]; /* v1: slots of kind loop, likewise */
};

/* What the target says of one slot. */
struct slot_facts {
	char name[SLOT_MAX_NAME * 4 + 1]; /* sanitised; "?" if it cannot be read */
	uint64_t thread_ident; /* 0 = who holds the GIL */
	uint32_t hint_tid; /* in the target's pid namespace, 0 = unknown */
	uint32_t active_tid; /* likewise */
	uint16_t kind; /* enum slot_kind; v0 slots are counters */
	uint64_t progress_addr; /* of a loop: of its count of steps, says the target; 0 = none */
	int32_t idle_fd; /* of a loop: on which it waits, -1 = not known */
	bool closed; /* its tracker was closed: no stall of it counts */
	uint64_t word; /* v0: the count */
};

enum slot_truth {
	SLOT_STILL, /* the section is still active */
	SLOT_WAS_LONG, /* it is over, and lasted for the threshold: *end_ns is when it ended */
	SLOT_WAS_SHORT, /* it is over, and was shorter: no stall */
	SLOT_CANNOT_SAY, /* it is over; its end is not known */
};

/*
 * Finds the pages of PID: *PAGES (free() it) and their number, or negative errno with ERR.
 * 0 = none. *FOREIGN is set if there is a page of a version that is not known (its number).
 */
int slot_pages__find(pid_t pid, struct mem *mem, struct slot_page_info **pages, uint32_t *foreign,
		     struct err *err);

/*
 * A process that was forked has its parent's pages of v0, too, in the same memory: takes those out
 * that PARENT has. How many of the N PAGES are left.
 */
size_t slot_pages__drop_shared(struct slot_page_info *pages, size_t n, pid_t parent);

/* Reads the facts of one page again (in_use, generation, counters, loops). -ESTALE if it is no page
 * any more. */
int slot_page__refresh(struct mem *mem, struct slot_page_info *page);

/* Is the value of slot I a count, not a time? I is below page->nwords. */
bool slot_page__is_counter(const struct slot_page_info *page, uint32_t i);

/* Is slot I that of an event loop? I is below page->nwords. */
bool slot_page__is_loop(const struct slot_page_info *page, uint32_t i);

/* The values of the first page->in_use slots into VALUES (of that many). 0, or -EFAULT, -ESRCH. */
int slot_values__read(struct mem *mem, const struct slot_page_info *page, uint64_t *values);

/* The facts of slot I. 0, or -ERANGE, -EFAULT, -ESRCH. */
int slot_facts__read(struct mem *mem, const struct slot_page_info *page, uint32_t i,
		     struct slot_facts *out);

/*
 * What became of the section WORD of slot I, in which VALUE stood when it was judged. For stamps
 * and loops the target's own stamps decide, and *END_NS (target's clock) is exact. A counter has
 * none: a slot that moved is SLOT_CANNOT_SAY.
 */
enum slot_truth slot_confirm(struct mem *mem, const struct slot_page_info *page, uint32_t i,
			     uint64_t word, uint64_t value, uint64_t threshold_ns,
			     uint64_t *end_ns);

/*
 * The pure part of it: what the history says of section WORD of a slot whose word is now WORD_NOW
 * (larger). With SLOT_CANNOT_SAY, *END_NS is the latest time at which it can have ended.
 */
enum slot_truth slot_history(const struct slot_past past[SLOT_PAST], uint64_t word,
			     uint64_t word_now, uint64_t long_ns, uint64_t threshold_ns,
			     uint64_t *end_ns);

#endif
