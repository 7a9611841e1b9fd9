/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * slot.h - the word of one slot: active, idle.
 *
 * An owner (StallTracker, event loop) holds a `struct slot *` that becomes NULL
 * when the owner is closed. The functions here take the address of that pointer, so that a call and
 * a close from another thread can meet without a lock: the closer first clears the pointer, then
 * moves the word; a caller first reads the word, then checks the pointer, then changes the word
 * only if it is still what it read. Slots are never unmapped, so a caller that comes late reads
 * valid memory and changes nothing.
 */
#ifndef PERPETUO_SLOT_H
#define PERPETUO_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "bpf/slot_abi.h"

struct page;

enum slot_flags {
	SLOT_IS_COUNTER = 1, /* foreign code may add to the word; it is never given away again */
	SLOT_FORCED_IDLE = 2, /* made idle by fork or exit, not by its owner, who may not know */
};

/* Private twin of a published slot. Fixed once its page exists, apart from flags. */
struct slot {
	__u64 *word;
	struct slot_meta *meta;
	struct page *page;
	uint32_t index;
	uint32_t flags; /* enum slot_flags, atomic */
};

/* 0, -EALREADY if it is active, -EBADF if the owner is closed. */
int slot__go_active(struct slot **owner);

/* 0, -EALREADY if it is idle, -EBADF if the owner is closed. */
int slot__go_idle(struct slot **owner);

/* 1 active, 0 idle, -EBADF if the owner is closed. */
int slot__is_active(struct slot **owner);

/*
 * Ends the section if there is one, and moves the word in any case, so that no caller that has read
 * it before can still change it.
 */
void slot__end(struct slot *s);

/* For pages: the values to store after @old at the present time, odd and even. */
__u64 slot_active_word(__u64 old);
__u64 slot_idle_word(__u64 old);

static inline uint64_t slot_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

#endif
