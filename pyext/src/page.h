/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * page.h - one published page of bpf/slot_abi.h and what the process keeps about it in private.
 *
 * A page is made when the pages before it are full and lives as long as the process: readers,
 * foreign counters and late callers may hold addresses in it. The functions here do no locking;
 * the registry (registry.h) calls them under its own lock.
 */
#ifndef PERPETUO_PAGE_H
#define PERPETUO_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/slot_abi.h"
#include "slot.h"

#define PAGE_LINE_WORDS 8 /* words in a cache line */
#define PAGE_KEPT_WORDS 64 /* in_use does not shrink below this */
#define PAGE_LINES (SLOT_WORDS / PAGE_LINE_WORDS)

struct page {
	struct page *next;
	struct slot_page *pub; /* what readers see; wiped in the child of a fork */
	struct slot_meta *meta; /* pub's, SLOT_WORDS of them */
	uint8_t used[PAGE_LINES]; /* a bit per slot, a byte per cache line of words */
	struct slot slot[SLOT_WORDS];

	/* What the child of a fork publishes: filled by page__save(). */
	uint32_t saved_in_use;
	__u64 saved_generation;
	__u64 saved_word[SLOT_WORDS];
	struct slot_meta saved_meta[SLOT_WORDS];
};

/* Who forked, for page__restore(). */
struct page_forker {
	uint64_t ident; /* pthread_self(), the same in parent and child */
	uint32_t parent_tid;
	uint32_t child_tid;
};

/* Reserves and publishes an empty page. NULL with errno when there is no memory. */
struct page *page__new(void);

/*
 * A free slot of the page, or -1 when it is full: the lowest; with @own_line the lowest on a cache
 * line whose other slots all belong to thread @ident, or on an empty line, if there is one.
 */
int page__find_free(const struct page *p, uint64_t ident, bool own_line);

/* Marks slot @index as used (or free). Where that changes in_use, generation grows. */
void page__set_used(struct page *p, uint32_t index, bool used);
bool page__is_used(const struct page *p, uint32_t index);

/* Tells readers that something that they may have kept has changed. */
void page__touch(struct page *p);

/* SLOT_PAGE_FINALIZED on or off. */
void page__set_finalized(struct page *p, bool on);

/* Copies words and meta aside. In the parent, just before fork. */
void page__save(struct page *p);

/*
 * Publishes the wiped page again, from the copy. In the child: a tracker stays active if its
 * thread and who made it active live on, with a new start, and is idle if not (such a slot gets
 * SLOT_FORCED_IDLE). Only async-signal-safe calls.
 */
void page__restore(struct page *p, const struct page_forker *who);

#endif
