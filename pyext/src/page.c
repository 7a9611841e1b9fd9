// SPDX-License-Identifier: MIT OR Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "page.h"

#define GUARD_LEN 4096UL

static const unsigned char page_magic[SLOT_MAGIC_LEN] = SLOT_MAGIC_BYTES;

/* Address space of which only what is touched is ever backed; NULL with errno. */
static void *reserve(size_t len, int prot)
{
	void *addr = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return addr == MAP_FAILED ? NULL : addr;
}

static struct slot_page *reserve_published(void)
{
	long unit = sysconf(_SC_PAGESIZE);
	size_t guard = unit > 0 ? (size_t)unit : GUARD_LEN;
	size_t len = (SLOT_MAP_LEN + guard - 1) / guard * guard;
	char *addr = reserve(len + 2 * guard, PROT_NONE);
	int err;

	if (!addr)
		return NULL;
	if (mprotect(addr + guard, len, PROT_READ | PROT_WRITE) < 0) {
		err = errno;
		munmap(addr, len + 2 * guard);
		errno = err;
		return NULL;
	}
	/* Kernels before 4.14 refuse: page__restore() then overwrites what the child inherited. */
	madvise(addr + guard, len, MADV_WIPEONFORK);
	return (struct slot_page *)(addr + guard);
}

/* Fills the header; the magic last, because with it readers believe the rest. */
static void page__publish(struct page *p, uint32_t in_use, __u64 generation)
{
	struct slot_page *pub = p->pub;

	memset(pub->magic, 0, SLOT_MAGIC_LEN);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	pub->self = (uintptr_t)pub;
	pub->version = SLOT_V1;
	pub->word_cap = SLOT_WORDS;
	pub->meta_off = SLOT_META_OFF;
	pub->meta_len = sizeof(struct slot_meta);
	pub->pid = (uint32_t)getpid();
	pub->publish_ns = slot_clock_ns();
	pub->long_ns = SLOT_DEFAULT_LONG_NS;
	pub->flags = 0;
	__atomic_store_n(&pub->in_use, in_use, __ATOMIC_RELAXED);
	__atomic_store_n(&pub->generation, generation, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy(pub->magic, page_magic, SLOT_MAGIC_LEN);
}

struct page *page__new(void)
{
	struct page *p = reserve(sizeof(*p), PROT_READ | PROT_WRITE);
	uint32_t i;
	int err;

	if (!p)
		return NULL;
	p->pub = reserve_published();
	if (!p->pub) {
		err = errno;
		munmap(p, sizeof(*p));
		errno = err;
		return NULL;
	}
	p->meta = (struct slot_meta *)((char *)p->pub + SLOT_META_OFF);
	for (i = 0; i < SLOT_WORDS; i++) {
		p->slot[i].word = &p->pub->word[i];
		p->slot[i].meta = &p->meta[i];
		p->slot[i].page = p;
		p->slot[i].index = i;
	}
	page__publish(p, 0, 1);
	return p;
}

static int page__find_lowest(const struct page *p)
{
	uint32_t line;

	for (line = 0; line < PAGE_LINES; line++)
		if (p->used[line] != 0xff)
			return (int)(line * PAGE_LINE_WORDS) +
			       __builtin_ctz(~(unsigned int)p->used[line]);
	return -1;
}

int page__find_free(const struct page *p, uint64_t ident, bool own_line)
{
	uint32_t line, first;
	int empty = -1;

	for (line = 0; own_line && line < PAGE_LINES; line++) {
		if (p->used[line] == 0) {
			if (empty < 0)
				empty = (int)(line * PAGE_LINE_WORDS);
			continue;
		}
		if (p->used[line] == 0xff)
			continue;
		first = line * PAGE_LINE_WORDS + (uint32_t)__builtin_ctz(p->used[line]);
		if (p->meta[first].thread_ident == ident)
			return (int)(line * PAGE_LINE_WORDS) +
			       __builtin_ctz(~(unsigned int)p->used[line]);
	}
	return empty >= 0 ? empty : page__find_lowest(p);
}

bool page__is_used(const struct page *p, uint32_t index)
{
	return p->used[index / PAGE_LINE_WORDS] >> index % PAGE_LINE_WORDS & 1;
}

static void set_in_use(struct page *p, uint32_t in_use)
{
	__atomic_store_n(&p->pub->in_use, in_use, __ATOMIC_RELEASE);
	page__touch(p);
}

/*
 * A reader copies all words below in_use at every context switch, so what a burst of trackers took
 * is given back; by halves and not below a few cache lines, since each change makes readers look
 * again.
 */
static void shrink(struct page *p)
{
	uint32_t in_use = p->pub->in_use, top = in_use;

	while (top > PAGE_KEPT_WORDS && !page__is_used(p, top - 1))
		top--;
	if (top < in_use / 2)
		set_in_use(p, top);
}

void page__set_used(struct page *p, uint32_t index, bool used)
{
	uint8_t bit = (uint8_t)(1U << index % PAGE_LINE_WORDS);

	if (used) {
		p->used[index / PAGE_LINE_WORDS] |= bit;
		if (index >= p->pub->in_use)
			set_in_use(p, index + 1);
	} else {
		p->used[index / PAGE_LINE_WORDS] &= (uint8_t)~bit;
		shrink(p);
	}
}

void page__touch(struct page *p)
{
	__atomic_fetch_add(&p->pub->generation, 1, __ATOMIC_RELEASE);
}

void page__set_finalized(struct page *p, bool on)
{
	__atomic_store_n(&p->pub->flags, on ? SLOT_PAGE_FINALIZED : 0, __ATOMIC_RELEASE);
	page__touch(p);
}

void page__save(struct page *p)
{
	uint32_t i;

	p->saved_in_use = p->pub->in_use;
	p->saved_generation = p->pub->generation;
	for (i = 0; i < p->saved_in_use; i++)
		p->saved_word[i] = __atomic_load_n(&p->pub->word[i], __ATOMIC_RELAXED);
	memcpy(p->saved_meta, p->meta, p->saved_in_use * sizeof(*p->meta));
}

/* The word of a slot in the child. A counter's parity belongs to the code that adds to it. */
static __u64 restored_word(struct slot *s, const struct slot_meta *m, __u64 word,
			   const struct page_forker *who)
{
	bool has_thread = m->thread_ident == 0 || m->thread_ident == who->ident;
	bool has_caller = m->active_tid == 0 || m->active_tid == who->parent_tid;

	if (!(word & 1))
		return word;
	if (s->flags & SLOT_IS_COUNTER)
		return has_thread ? word : word + 1;
	if (has_thread && has_caller)
		return slot_active_word(word);
	s->flags |= SLOT_FORCED_IDLE;
	return slot_idle_word(word);
}

static void page__restore_slot(struct page *p, uint32_t i, const struct page_forker *who)
{
	struct slot_meta m = p->saved_meta[i];

	p->pub->word[i] = restored_word(&p->slot[i], &m, p->saved_word[i], who);
	m.hint_tid = m.thread_ident == who->ident ? who->child_tid : 0;
	if (m.thread_ident != who->ident)
		m.tstate = 0;
	m.active_tid = m.active_tid == who->parent_tid ? who->child_tid : 0;
	memset(m.past, 0, sizeof(m.past));
	m.past_cnt = 0;
	p->meta[i] = m;
}

void page__restore(struct page *p, const struct page_forker *who)
{
	uint32_t i;

	for (i = 0; i < p->saved_in_use; i++)
		page__restore_slot(p, i, who);
	page__publish(p, p->saved_in_use, p->saved_generation + 1);
}
