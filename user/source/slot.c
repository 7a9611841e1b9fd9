// SPDX-License-Identifier: MIT OR Apache-2.0
#include "source/slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "bpf/slot_abi.h"
#include "proc/maps.h"
#include "proc/mem.h"

/*
 * Where a page can begin: at the start of its own mapping (v1 has guards around it), or anywhere in
 * a small one (v0 merges with its neighbours). Of large mappings only the ends are looked at.
 */
#define PAGE_LEN 4096
#define SMALL_MAPPING (4u << 20)
#define MAX_LOOKS 65536 /* pages looked at in one process */
#define BATCH 64 /* ranges of one vectored read */

static const uint8_t magic[SLOT_MAGIC_LEN] = SLOT_MAGIC_BYTES;

/* The part of the header that v0 and v1 share. */
struct head {
	uint8_t magic[SLOT_MAGIC_LEN];
	uint64_t self;
	uint64_t version;
};

struct finder {
	struct mem *mem;
	struct slot_page_info *pages; /* SLOT_MAX_PAGES */
	int npages;
	uint32_t foreign;
	size_t looks;
	uint64_t end; /* of the mapping that is looked at */
	uint64_t inode; /* of that mapping, 0 = it is private */
	struct mem_range range[BATCH];
	struct head head[BATCH];
	size_t pending;
};

static int load_v1(struct mem *mem, uint64_t addr, uint64_t end, struct slot_page_info *out)
{
	struct slot_page page;
	int err = mem__read(mem, addr, &page, offsetof(struct slot_page, word));

	if (err)
		return err;
	if (memcmp(page.magic, magic, sizeof(magic)) || page.self != addr ||
	    page.version != SLOT_V1 || page.word_cap != SLOT_WORDS ||
	    page.meta_len != sizeof(struct slot_meta) || page.meta_off < sizeof(page) ||
	    page.in_use > SLOT_WORDS)
		return -ESTALE;
	/* all metas inside the same mapping: then no later address can overflow */
	if (end && (page.meta_off > end - addr ||
		    SLOT_WORDS * sizeof(struct slot_meta) > end - addr - page.meta_off))
		return -ESTALE;
	out->addr = addr;
	out->version = SLOT_V1;
	out->nwords = SLOT_WORDS;
	out->in_use = page.in_use;
	out->generation = page.generation;
	out->meta = addr + page.meta_off;
	out->long_ns = page.long_ns;
	return 0;
}

/* Which slots are counters and which are loops: two bytes of each meta, BATCH at a time. */
static int load_kinds(struct mem *mem, struct slot_page_info *page)
{
	struct mem_range range[BATCH];
	uint16_t kind[BATCH];
	int err;

	memset(page->counters, 0, sizeof(page->counters));
	memset(page->loops, 0, sizeof(page->loops));
	for (uint32_t i = 0; i < page->in_use; i += BATCH) {
		uint32_t n = page->in_use - i < BATCH ? page->in_use - i : BATCH;

		for (uint32_t k = 0; k < n; k++)
			range[k] = (struct mem_range){
				.addr = page->meta + (i + k) * sizeof(struct slot_meta) +
					offsetof(struct slot_meta, kind),
				.buf = &kind[k],
				.len = sizeof(kind[k]),
			};
		err = mem__readv(mem, range, n);
		if (err)
			return err;
		for (uint32_t k = 0; k < n; k++) {
			if (kind[k] == SLOT_COUNTER)
				page->counters[(i + k) / 64] |= 1ULL << (i + k) % 64;
			if (kind[k] == SLOT_LOOP)
				page->loops[(i + k) / 64] |= 1ULL << (i + k) % 64;
		}
	}
	return 0;
}

int slot_page__refresh(struct mem *mem, struct slot_page_info *page)
{
	struct head head;
	int err;

	if (page->version == SLOT_V1) {
		err = load_v1(mem, page->addr, 0, page);
		return err ? err : load_kinds(mem, page);
	}
	err = mem__read(mem, page->addr, &head, sizeof(head));
	if (err)
		return err;
	if (memcmp(head.magic, magic, sizeof(magic)) || head.self != page->addr ||
	    head.version != SLOT_V0)
		return -ESTALE;
	return 0;
}

/* A page that is known to begin with the magic: listed if everything else fits. */
static void consider(struct finder *f, const struct head *head, uint64_t addr)
{
	struct slot_page_info *page = &f->pages[f->npages];

	if (head->self != addr || f->npages == SLOT_MAX_PAGES)
		return;
	memset(page, 0, sizeof(*page));
	if (head->version == SLOT_V0) {
		page->addr = addr;
		page->inode = f->inode;
		page->version = SLOT_V0;
		page->nwords = SLOT_V0_SLOTS;
		page->in_use = SLOT_V0_SLOTS;
		f->npages++;
	} else if ((uint32_t)head->version == SLOT_V1) {
		if (!load_v1(f->mem, addr, f->end, page) && !load_kinds(f->mem, page))
			f->npages++;
	} else {
		f->foreign = (uint32_t)head->version;
	}
}

/* 0, or negative errno when nothing can be read any more. */
static int flush(struct finder *f)
{
	int err;

	if (!f->pending)
		return 0;
	err = mem__readv(f->mem, f->range, f->pending);
	for (size_t i = 0; i < f->pending; i++)
		if (!f->range[i].err && !memcmp(f->head[i].magic, magic, sizeof(magic)))
			consider(f, &f->head[i], f->range[i].addr);
	f->pending = 0;
	return err == -EFAULT ? 0 : err;
}

static int look(struct finder *f, uint64_t addr)
{
	if (f->looks++ >= MAX_LOOKS)
		return 0;
	f->range[f->pending] = (struct mem_range){
		.addr = addr,
		.buf = &f->head[f->pending],
		.len = sizeof(f->head[0]),
	};
	return ++f->pending == BATCH ? flush(f) : 0;
}

static int look_in(struct finder *f, const struct map *map)
{
	uint64_t len = map->end - map->start;
	int err = 0;

	f->end = map->end;
	f->inode = map->inode;
	if (len <= SMALL_MAPPING) {
		for (uint64_t at = map->start; at < map->end && !err; at += PAGE_LEN)
			err = look(f, at);
	} else {
		err = look(f, map->start);
		if (!err)
			err = look(f, map->end - PAGE_LEN);
	}
	return err ? err : flush(f);
}

/* v1 is private; v0 is shared anonymous memory, which the kernel shows as this file. */
static bool can_hold_page(const struct map *map)
{
	if (!map->readable || !map->writable)
		return false;
	return map->shared ? !strcmp(map->path, "/dev/zero (deleted)") : !map->inode;
}

int slot_pages__find(pid_t pid, struct mem *mem, struct slot_page_info **pages, uint32_t *foreign,
		     struct err *err)
{
	struct finder *f = calloc(1, sizeof(*f));
	struct maps maps = { 0 };
	int ret = -ENOMEM;

	*pages = NULL;
	*foreign = 0;
	if (!f)
		return err_set(err, ret, "out of memory");
	f->mem = mem;
	f->pages = calloc(SLOT_MAX_PAGES + 1, sizeof(*f->pages));
	if (!f->pages) {
		err_set(err, ret, "out of memory");
		goto out;
	}
	ret = maps__load(pid, &maps, err);
	if (ret)
		goto out;
	for (size_t i = 0; i < maps.cnt && !ret; i++) {
		const struct map *map = &maps.map[i];

		if (can_hold_page(map))
			ret = look_in(f, map);
	}
	if (ret) {
		err_set(err, ret, "cannot read the memory of process %d: %s", (int)pid,
			strerror(-ret));
		goto out;
	}
	*foreign = f->foreign;
	*pages = f->pages;
	f->pages = NULL;
	ret = f->npages;
out:
	maps__free(&maps);
	free(f->pages);
	free(f);
	return ret;
}

size_t slot_pages__drop_shared(struct slot_page_info *pages, size_t n, pid_t parent)
{
	struct maps maps = { 0 };
	size_t kept = 0;
	struct err err;
	bool any = false;

	for (size_t i = 0; i < n; i++)
		any |= pages[i].inode != 0;
	/* a parent that is gone leaves them to the child */
	if (!any || maps__load(parent, &maps, &err))
		return n;
	for (size_t i = 0; i < n; i++) {
		bool shared = false;

		for (size_t k = 0; k < maps.cnt && pages[i].inode && !shared; k++)
			shared = maps.map[k].shared && maps.map[k].inode == pages[i].inode &&
				 maps.map[k].start <= pages[i].addr &&
				 maps.map[k].end > pages[i].addr;
		if (!shared)
			pages[kept++] = pages[i];
	}
	maps__free(&maps);
	return kept;
}

static void set_name(struct slot_facts *out, const char *name, size_t len)
{
	struct strbuf clean = STRBUF_INIT;
	const char *s;

	text_sanitize(&clean, name, len);
	s = strbuf_str(&clean);
	if (!s || !*s)
		s = "?";
	out->name[0] = '\0';
	strncat(out->name, s, sizeof(out->name) - 1);
	strbuf_free(&clean);
}

static int facts_v0(struct mem *mem, const struct slot_page_info *page, uint32_t i,
		    struct slot_facts *out)
{
	char name[SLOT_MAX_NAME];
	struct slot_v0 slot;
	size_t len;
	int err;

	err = mem__read(mem, page->addr + offsetof(struct slot_page_v0, slot) + i * sizeof(slot),
			&slot, sizeof(slot));
	if (err)
		return err;
	len = slot.name_len < sizeof(name) ? (size_t)slot.name_len : sizeof(name);
	if (mem__read(mem, slot.name_ptr, name, len))
		len = 0;
	set_name(out, name, len);
	out->thread_ident = slot.thread_hint;
	out->kind = SLOT_COUNTER;
	out->word = slot.count;
	return 0;
}

static uint64_t meta_addr(const struct slot_page_info *page, uint32_t i)
{
	return page->meta + i * sizeof(struct slot_meta);
}

static uint64_t word_addr(const struct slot_page_info *page, uint32_t i)
{
	if (page->version == SLOT_V0)
		return page->addr + offsetof(struct slot_page_v0, slot) +
		       i * sizeof(struct slot_v0);
	return page->addr + offsetof(struct slot_page, word) + i * sizeof(uint64_t);
}

int slot_values__read(struct mem *mem, const struct slot_page_info *page, uint64_t *values)
{
	struct slot_page_v0 v0;
	int err;

	if (page->version != SLOT_V0)
		return mem__read(mem, word_addr(page, 0), values, page->in_use * sizeof(*values));
	err = mem__read(mem, page->addr, &v0, sizeof(v0));
	for (uint32_t i = 0; !err && i < page->in_use && i < SLOT_V0_SLOTS; i++)
		values[i] = v0.slot[i].count;
	return err;
}

int slot_facts__read(struct mem *mem, const struct slot_page_info *page, uint32_t i,
		     struct slot_facts *out)
{
	struct slot_meta meta;
	struct mem_range range[2];
	size_t len;

	memset(out, 0, sizeof(*out));
	if (i >= page->nwords)
		return -ERANGE;
	if (page->version == SLOT_V0)
		return facts_v0(mem, page, i, out);
	range[0] = (struct mem_range){ meta_addr(page, i), &meta, sizeof(meta), 0 };
	range[1] = (struct mem_range){ word_addr(page, i), &out->word, sizeof(out->word), 0 };
	if (mem__readv(mem, range, 2))
		return range[0].err ? range[0].err : range[1].err;
	len = meta.name_len < sizeof(meta.name) ? meta.name_len : sizeof(meta.name);
	set_name(out, meta.name, len);
	out->thread_ident = meta.thread_ident;
	out->hint_tid = meta.hint_tid;
	out->active_tid = meta.active_tid;
	out->kind = meta.kind;
	out->progress_addr = meta.progress_addr;
	out->idle_fd = meta.idle_fd;
	out->closed = meta.kind == SLOT_COUNTER && (meta.flags & SLOT_CLOSED);
	return 0;
}

/*
 * The history of a slot, read until two readings agree: an entry that was being written could show
 * one section's start with another's end.
 */
static int read_past(struct mem *mem, const struct slot_page_info *page, uint32_t i,
		     struct slot_past past[SLOT_PAST])
{
	uint64_t addr = meta_addr(page, i) + offsetof(struct slot_meta, past);
	size_t len = SLOT_PAST * sizeof(*past);
	struct slot_past again[SLOT_PAST];
	int err;

	for (int turn = 0; turn < 4; turn++) {
		err = mem__read(mem, addr, past, len);
		if (!err)
			err = mem__read(mem, addr, again, len);
		if (err)
			return err;
		if (!memcmp(past, again, len))
			return 0;
	}
	return -EAGAIN;
}

enum slot_truth slot_history(const struct slot_past past[SLOT_PAST], uint64_t word,
			     uint64_t word_now, uint64_t long_ns, uint64_t threshold_ns,
			     uint64_t *end_ns)
{
	uint64_t bound = word_now & ~1ULL; /* it ended no later than this */
	bool overwritten = true;

	*end_ns = bound;
	if (bound <= word || bound - word < threshold_ns)
		return SLOT_WAS_SHORT;
	for (int k = 0; k < SLOT_PAST; k++) {
		if (past[k].start == word && past[k].end > word) {
			*end_ns = past[k].end;
			return past[k].end - word >= threshold_ns ? SLOT_WAS_LONG : SLOT_WAS_SHORT;
		}
		if (past[k].start <= word)
			overwritten = false;
		else if (past[k].start < bound)
			bound = past[k].start;
	}
	*end_ns = bound;
	/* it is in none of the entries, though they reach back to its time: it was shorter than
	 * long_ns */
	if (bound - word < threshold_ns || (!overwritten && long_ns < threshold_ns))
		return SLOT_WAS_SHORT;
	return SLOT_CANNOT_SAY;
}

bool slot_page__is_counter(const struct slot_page_info *page, uint32_t i)
{
	return page->version == SLOT_V0 || (page->counters[i / 64] >> i % 64 & 1);
}

bool slot_page__is_loop(const struct slot_page_info *page, uint32_t i)
{
	return page->loops[i / 64] >> i % 64 & 1;
}

enum slot_truth slot_confirm(struct mem *mem, const struct slot_page_info *page, uint32_t i,
			     uint64_t word, uint64_t value, uint64_t threshold_ns, uint64_t *end_ns)
{
	struct slot_past past[SLOT_PAST];
	uint64_t now;

	*end_ns = 0;
	if (i >= page->nwords || mem__read_u64(mem, word_addr(page, i), &now))
		return SLOT_CANNOT_SAY;
	if (slot_page__is_counter(page, i))
		return now == value ? SLOT_STILL : SLOT_CANNOT_SAY;
	if (now == word)
		return SLOT_STILL;
	if (read_past(mem, page, i, past))
		return SLOT_CANNOT_SAY;
	return slot_history(past, word, now, page->long_ns, threshold_ns, end_ns);
}
