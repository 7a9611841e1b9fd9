/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* slot_layout.h - the numbers of bpf/slot_abi.h, for C and C++. */
#ifndef PERPETUO_SLOT_LAYOUT_H
#define PERPETUO_SLOT_LAYOUT_H

#include <stddef.h>

#include "bpf/slot_abi.h"

struct slot_layout_row {
	const char *what;
	size_t got, want;
};

#define SLOT_ROW(type, field, want)                                  \
	{                                                            \
#type "." #field, offsetof(struct type, field), want \
	}

static const struct slot_layout_row slot_layout[] = {
	SLOT_ROW(slot_page, magic, 0),
	SLOT_ROW(slot_page, self, 16),
	SLOT_ROW(slot_page, version, 24),
	SLOT_ROW(slot_page, word_cap, 28),
	SLOT_ROW(slot_page, meta_off, 32),
	SLOT_ROW(slot_page, meta_len, 36),
	SLOT_ROW(slot_page, pid, 40),
	SLOT_ROW(slot_page, publish_ns, 48),
	SLOT_ROW(slot_page, long_ns, 56),
	SLOT_ROW(slot_page, desc_off, 64),
	SLOT_ROW(slot_page, desc_len, 72),
	SLOT_ROW(slot_page, in_use, 112),
	SLOT_ROW(slot_page, flags, 116),
	SLOT_ROW(slot_page, generation, 120),
	SLOT_ROW(slot_page, word, 128),
	SLOT_ROW(slot_meta, thread_ident, 0),
	SLOT_ROW(slot_meta, hint_tid, 8),
	SLOT_ROW(slot_meta, active_tid, 12),
	SLOT_ROW(slot_meta, kind, 16),
	SLOT_ROW(slot_meta, flags, 18),
	SLOT_ROW(slot_meta, reuse_seq, 20),
	SLOT_ROW(slot_meta, progress_addr, 24),
	SLOT_ROW(slot_meta, idle_fd, 32),
	SLOT_ROW(slot_meta, interp_id, 36),
	SLOT_ROW(slot_meta, tstate, 40),
	SLOT_ROW(slot_meta, past, 48),
	SLOT_ROW(slot_meta, past_cnt, 112),
	SLOT_ROW(slot_meta, name_len, 116),
	SLOT_ROW(slot_meta, name, 120),
	SLOT_ROW(slot_past, end, 8),
	SLOT_ROW(slot_page_v0, self, 16),
	SLOT_ROW(slot_page_v0, version, 24),
	SLOT_ROW(slot_page_v0, slot, 32),
	SLOT_ROW(slot_v0, count, 0),
	SLOT_ROW(slot_v0, name_ptr, 8),
	SLOT_ROW(slot_v0, name_len, 16),
	SLOT_ROW(slot_v0, thread_hint, 24),
	{ "size of slot_page", sizeof(struct slot_page), 32768 },
	{ "size of slot_meta", sizeof(struct slot_meta), 256 },
	{ "size of slot_past", sizeof(struct slot_past), 16 },
	{ "size of slot_page_v0", sizeof(struct slot_page_v0), 4096 },
	{ "size of slot_v0", sizeof(struct slot_v0), 32 },
	{ "SLOT_HOT_LEN(0)", SLOT_HOT_LEN(0), 16 },
	{ "SLOT_MAP_LEN", SLOT_MAP_LEN, 1077248 },
};

#define SLOT_LAYOUT_CNT (sizeof(slot_layout) / sizeof(slot_layout[0]))

#endif
