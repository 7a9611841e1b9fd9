/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * slot_abi.h - the page that a target publishes and a watcher reads.
 *
 * Written by pyext/, read by bpf/ and user/. Both versions are little endian
 * and for 64-bit processes.
 *
 * A tracker owns one slot. What must be known to find a stall is one 64-bit
 * word per slot; everything else (names, threads, history) is read only when
 * there is something to tell.
 *
 * THE WORD (v1)
 *	odd:  active since that CLOCK_MONOTONIC nanosecond (of the target's
 *	      time namespace)
 *	even: idle since that nanosecond; 0: never used
 * Every change stores max(now with the right parity, old + 1) by
 * compare-and-swap, or under a lock that all writers of the word hold (Python's
 * GIL). It follows that
 *	- one aligned 8-byte read is the whole truth (state, identity and exact
 *	  start of the section): nothing can tear, nothing needs to have been
 *	  seen before;
 *	- words only grow, so of two readings the larger is the newer, and two
 *	  sections of one slot never have the same word;
 *	- a writer that comes late cannot bring back an old section.
 * A word is never reset, not even when its slot is given to another tracker
 * (slot_meta.reuse_seq tells the users apart).
 *
 * THE HISTORY
 * A reader that looks some time after a section ended sees only that the word
 * moved on. So the thread that ends a section longer than `long_ns` first
 * writes {start, end} to past[past_cnt % SLOT_PAST], then stores the word
 * that ends it (idle, or active since then), then adds 1 to past_cnt. A reader
 * looks for the start that it knows in all SLOT_PAST entries; no entry means
 * that the section was shorter than long_ns, or that SLOT_PAST longer ones have
 * followed it.
 *
 * KINDS
 *	stamp:   the word as above
 *	counter: the word's address was handed to foreign code that adds 1 at
 *		 every change: odd still means active, but the value is no time;
 *		 a section starts when a reader first sees its value
 *	loop:    the thread runs an event loop, whose steps move the word at
 *		 `progress_addr` (context_ver of CPython's thread state); it is idle
 *		 while the thread waits on `idle_fd`. The slot's own word stays idle.
 *
 * THE PAGE
 * One private anonymous mapping between two PROT_NONE guards (neighbouring
 * mappings of the same kind merge into one line of maps otherwise), reserved
 * once and touched on use: addresses never move while the process lives. It is
 * MADV_WIPEONFORK; a forked child publishes anew. A reader finds it by the
 * magic at the start of a page of a small anonymous mapping and believes it
 * only if `self` is that very address. `magic` is written last.
 *
 * `generation` grows when something changes that a reader keeps from before:
 * in_use changed, a slot became a counter, a loop came or went, the child of a fork
 * published again, or (of the first page) another page was added because all others
 * are full.
 * in_use grows with need and shrinks only by halves, so a program that makes and
 * closes trackers all the time changes nothing of the kind. The
 * `in_use`, `generation` and `word` fields are one dense run, so that a kernel
 * program reads them all in one call: SLOT_HOT_OFF, SLOT_HOT_LEN(n).
 *
 * Everything here is written by the target: a reader checks every field.
 *
 * v0 (perpetuo 0.2 to 0.7.4) is read as it is: one shared anonymous page, one
 * counter per slot (odd = active), the start of a section only by observation.
 */
#ifndef PERPETUO_SLOT_ABI_H
#define PERPETUO_SLOT_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#ifdef __cplusplus
#define SLOT_ASSERT(cond) static_assert(cond, #cond)
#else
#define SLOT_ASSERT(cond) _Static_assert(cond, #cond)
#endif
#define SLOT_AT(type, field, off) SLOT_ASSERT(__builtin_offsetof(struct type, field) == (off))

/* The same 16 bytes in both versions; the version word tells them apart. */
#define SLOT_MAGIC_LEN 16
#define SLOT_MAGIC_BYTES                                                                      \
	{                                                                                     \
		0xad, 0xce, 0x61, 0x74, 0x17, 0x49, 0xff, 0x41, 0xe8, 0xd4, 0xe8, 0x0a, 0x50, \
			0xb1, 0xfc, 0x86                                                      \
	}

/* ---- v1 ---- */

#define SLOT_V1 1
#define SLOT_WORDS 4080 /* header + words = 32 KiB */
#define SLOT_PAST 4
#define SLOT_NAME_CAP 136
#define SLOT_DEFAULT_LONG_NS 10000000ULL

enum slot_kind {
	SLOT_FREE = 0,
	SLOT_STAMP = 1,
	SLOT_COUNTER = 2,
	SLOT_LOOP = 3,
};

enum slot_page_flags {
	SLOT_PAGE_FINALIZED = 1, /* the interpreter has ended: no word moves any more */
};

enum slot_meta_flags {
	SLOT_NAME_CUT = 1, /* the name was longer than SLOT_NAME_CAP and was cut */
	SLOT_CLOSED = 2, /* a counter whose tracker was closed: what it says now concerns nobody */
};

struct slot_page {
	__u8 magic[SLOT_MAGIC_LEN];
	__u64 self; /* address of this page in the target */
	__u32 version; /* SLOT_V1; v0 has a 64-bit version here */
	__u32 word_cap; /* SLOT_WORDS */
	__u32 meta_off; /* bytes from here to struct slot_meta[word_cap] */
	__u32 meta_len; /* sizeof(struct slot_meta) */
	__u32 pid; /* of the publisher, in its own pid namespace */
	__u32 pad0;
	__u64 publish_ns; /* CLOCK_MONOTONIC of the target when it published */
	__u64 long_ns; /* sections longer than this enter slot_meta.past */
	__u64 desc_off; /* runtime descriptor: bytes from here, 0 = none */
	__u64 desc_len;
	__u64 reserved[4];
	__u32 in_use; /* words [0, in_use) may be in use */
	__u32 flags; /* enum slot_page_flags */
	__u64 generation;
	__u64 word[SLOT_WORDS];
};

struct slot_past {
	__u64 start; /* the word while the section was active */
	__u64 end; /* the word that ended it: idle, or the next section */
};

struct slot_meta {
	__u64 thread_ident; /* pthread_self() of the thread that is responsible; 0 = who holds the
			       GIL */
	__u32 hint_tid; /* its native thread id, 0 = unknown */
	__u32 active_tid; /* native thread id of who made it active last, 0 = unknown */
	__u16 kind; /* enum slot_kind */
	__u16 flags; /* enum slot_meta_flags */
	__u32 reuse_seq; /* how many trackers have owned this slot before */
	__u64 progress_addr; /* a u64 that moves when this loop takes a step, 0 = none */
	__s32 idle_fd; /* the loop is idle when it blocks on this fd, -1 = none */
	__u32 interp_id; /* interpreter that owns the tracker */
	__u64 tstate; /* PyThreadState of the responsible thread, a hint, 0 = unknown */
	struct slot_past past[SLOT_PAST];
	__u32 past_cnt;
	__u16 name_len; /* bytes, cut at a UTF-8 boundary */
	__u16 pad0;
	char name[SLOT_NAME_CAP]; /* UTF-8, not NUL-terminated */
};

#define SLOT_HOT_OFF 112
#define SLOT_HOT_LEN(n) (16 + 8 * (n))
#define SLOT_META_OFF 32768
#define SLOT_MAP_LEN (SLOT_META_OFF + SLOT_WORDS * 256)

SLOT_AT(slot_page, magic, 0);
SLOT_AT(slot_page, self, 16);
SLOT_AT(slot_page, version, 24);
SLOT_AT(slot_page, word_cap, 28);
SLOT_AT(slot_page, meta_off, 32);
SLOT_AT(slot_page, meta_len, 36);
SLOT_AT(slot_page, pid, 40);
SLOT_AT(slot_page, publish_ns, 48);
SLOT_AT(slot_page, long_ns, 56);
SLOT_AT(slot_page, desc_off, 64);
SLOT_AT(slot_page, desc_len, 72);
SLOT_AT(slot_page, reserved, 80);
SLOT_AT(slot_page, in_use, SLOT_HOT_OFF);
SLOT_AT(slot_page, flags, 116);
SLOT_AT(slot_page, generation, 120);
SLOT_AT(slot_page, word, SLOT_HOT_OFF + SLOT_HOT_LEN(0));
SLOT_ASSERT(sizeof(struct slot_page) == SLOT_META_OFF);

SLOT_AT(slot_meta, thread_ident, 0);
SLOT_AT(slot_meta, hint_tid, 8);
SLOT_AT(slot_meta, active_tid, 12);
SLOT_AT(slot_meta, kind, 16);
SLOT_AT(slot_meta, flags, 18);
SLOT_AT(slot_meta, reuse_seq, 20);
SLOT_AT(slot_meta, progress_addr, 24);
SLOT_AT(slot_meta, idle_fd, 32);
SLOT_AT(slot_meta, interp_id, 36);
SLOT_AT(slot_meta, tstate, 40);
SLOT_AT(slot_meta, past, 48);
SLOT_AT(slot_meta, past_cnt, 112);
SLOT_AT(slot_meta, name_len, 116);
SLOT_AT(slot_meta, name, 120);
SLOT_ASSERT(sizeof(struct slot_meta) == 256);

/* ---- v0: perpetuo 0.2 to 0.7.4, src/shmem.rs ---- */

#define SLOT_V0 0
#define SLOT_V0_SLOTS 127

struct slot_v0 {
	__u64 count; /* odd = active */
	__u64 name_ptr; /* in the target, UTF-8; set before the slot is first active */
	__u64 name_len;
	__u64 thread_hint; /* pthread_self(), 0 = who holds the GIL */
};

struct slot_page_v0 {
	__u8 magic[SLOT_MAGIC_LEN];
	__u64 self;
	__u64 version; /* SLOT_V0 */
	struct slot_v0 slot[SLOT_V0_SLOTS];
};

SLOT_AT(slot_v0, count, 0);
SLOT_AT(slot_v0, name_ptr, 8);
SLOT_AT(slot_v0, name_len, 16);
SLOT_AT(slot_v0, thread_hint, 24);
SLOT_ASSERT(sizeof(struct slot_v0) == 32);
SLOT_AT(slot_page_v0, self, 16);
SLOT_AT(slot_page_v0, version, 24);
SLOT_AT(slot_page_v0, slot, 32);
SLOT_ASSERT(sizeof(struct slot_page_v0) == 4096);

#endif
