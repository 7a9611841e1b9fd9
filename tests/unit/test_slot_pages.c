// SPDX-License-Identifier: MIT OR Apache-2.0
/* Finding and reading slot pages of both versions, in this very process; hostile ones among them.
 */
#include "source/slot.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proc/mem.h"
#include "tap.h"

static const uint8_t magic[SLOT_MAGIC_LEN] = SLOT_MAGIC_BYTES;
static struct mem *mem;

/* LEN bytes between two guards, so that the kernel does not merge them with their neighbours. */
static void *island(size_t len)
{
	char *p = mmap(NULL, len + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 4096, len, PROT_READ | PROT_WRITE);
	return p + 4096;
}

static struct slot_page *publish_v1(void)
{
	struct slot_page *p = island(SLOT_MAP_LEN);

	p->self = (uintptr_t)p;
	p->version = SLOT_V1;
	p->word_cap = SLOT_WORDS;
	p->meta_off = SLOT_META_OFF;
	p->meta_len = sizeof(struct slot_meta);
	p->long_ns = SLOT_DEFAULT_LONG_NS;
	p->in_use = 3;
	p->generation = 7;
	memcpy(p->magic, magic, sizeof(magic));
	return p;
}

static struct slot_page_v0 *publish_v0(void)
{
	struct slot_page_v0 *p =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	p->self = (uintptr_t)p;
	memcpy(p->magic, magic, sizeof(magic));
	return p;
}

static const struct slot_page_info *find(const struct slot_page_info *pages, int n,
					 const void *addr)
{
	for (int i = 0; i < n; i++)
		if (pages[i].addr == (uintptr_t)addr)
			return &pages[i];
	return NULL;
}

static int look(struct slot_page_info **pages, uint32_t *foreign)
{
	struct err err;

	return slot_pages__find(getpid(), mem, pages, foreign, &err);
}

static void both_versions(struct slot_page *v1, struct slot_page_v0 *v0)
{
	struct slot_page_info *pages;
	const struct slot_page_info *info;
	uint32_t foreign;
	int n;

	((struct slot_meta *)((char *)v1 + SLOT_META_OFF))[1].kind = SLOT_COUNTER;
	((struct slot_meta *)((char *)v1 + SLOT_META_OFF))[2].kind = SLOT_LOOP;
	n = look(&pages, &foreign);
	is_int(n, 2, "both pages are found");
	is_int(foreign, 0, "and nothing foreign");
	info = find(pages, n, v1);
	ok(info && info->version == SLOT_V1 && info->in_use == 3 && info->generation == 7,
	   "v1 with its facts");
	ok(info && info->counters[0] == 2, "v1: which slots are counters");
	ok(info && info->loops[0] == 4, "v1: and which are loops");
	info = find(pages, n, v0);
	ok(info && info->version == SLOT_V0 && info->nwords == SLOT_V0_SLOTS, "v0 with its facts");
	free(pages);
}

static void facts(struct slot_page *v1, struct slot_page_v0 *v0)
{
	struct slot_meta *meta = (struct slot_meta *)((char *)v1 + SLOT_META_OFF);
	static const char name0[] = "na\x1b[31mme";
	struct slot_page_info *pages;
	const struct slot_page_info *info;
	struct slot_facts f;
	uint32_t foreign;
	int n;

	meta[2].thread_ident = 77;
	meta[2].hint_tid = 78;
	meta[2].name_len = 65535;
	memset(meta[2].name, 'x', SLOT_NAME_CAP);
	v1->word[2] = 1001;
	v0->slot[5].count = 3;
	v0->slot[5].name_ptr = (uintptr_t)name0;
	v0->slot[5].name_len = sizeof(name0) - 1;
	v0->slot[6].name_ptr = 8;
	v0->slot[6].name_len = 5;
	v0->slot[7].name_ptr = (uintptr_t)-4;
	v0->slot[7].name_len = UINT64_MAX;
	n = look(&pages, &foreign);
	info = find(pages, n, v1);
	is_int(slot_facts__read(mem, info, 2, &f), 0, "facts of a v1 slot");
	ok(f.thread_ident == 77 && f.hint_tid == 78 && f.word == 1001, "thread and word");
	is_int(strlen(f.name), SLOT_NAME_CAP, "a name length that lies is bounded");
	is_int(slot_facts__read(mem, info, SLOT_WORDS, &f), -ERANGE, "no slot beyond the last");
	info = find(pages, n, v0);
	is_int(slot_facts__read(mem, info, 5, &f), 0, "facts of a v0 slot");
	is_str(f.name, "na\\x1b[31mme", "its name is fit for a terminal");
	slot_facts__read(mem, info, 6, &f);
	is_str(f.name, "?", "a name pointer to nowhere is no name");
	is_int(slot_facts__read(mem, info, 7, &f), 0, "a name at the end of the address space");
	is_str(f.name, "?", "is none either");
	free(pages);
}

static void confirm(struct slot_page *v1)
{
	struct slot_meta *meta = (struct slot_meta *)((char *)v1 + SLOT_META_OFF);
	const uint64_t start = 1000000001, T = 200000000;
	struct slot_page_info *pages;
	const struct slot_page_info *info;
	uint32_t foreign;
	uint64_t end;
	int n;

	v1->word[0] = start;
	v1->word[1] = 41;
	n = look(&pages, &foreign);
	info = find(pages, n, v1);
	is_int(slot_confirm(mem, info, 0, start, start, T, &end), SLOT_STILL,
	       "the same word: still active");
	meta[0].past[3] = (struct slot_past){ start, start + 299999999 };
	v1->word[0] = start + 299999999;
	is_int(slot_confirm(mem, info, 0, start, start, T, &end), SLOT_WAS_LONG, "over, and long");
	is_int(end, start + 299999999, "by the target's stamp");
	is_int(slot_confirm(mem, info, 1, 5, 41, T, &end), SLOT_STILL,
	       "a counter that did not move");
	is_int(slot_confirm(mem, info, 1, 5, 40, T, &end), SLOT_CANNOT_SAY, "one that did");
	is_int(slot_confirm(mem, info, SLOT_WORDS, 5, 5, T, &end), SLOT_CANNOT_SAY, "no such slot");
	free(pages);
}

static void hostile(struct slot_page *v1, struct slot_page_v0 *v0)
{
	struct slot_page_info *pages, info;
	uint32_t foreign;

	look(&pages, &foreign);
	info = *find(pages, 2, v1);
	free(pages);
	v1->in_use = SLOT_WORDS + 1;
	is_int(look(&pages, &foreign), 1, "in_use beyond the end: no page");
	free(pages);
	is_int(slot_page__refresh(mem, &info), -ESTALE, "nor when it is looked at again");
	v1->in_use = 3;
	v1->meta_off = SLOT_MAP_LEN - 255;
	is_int(look(&pages, &foreign), 1, "metas beyond the mapping: no page");
	free(pages);
	v1->meta_off = SLOT_META_OFF;
	v1->self++;
	is_int(look(&pages, &foreign), 1, "a copy of a page is no page");
	free(pages);
	v1->self--;
	v0->version = 9;
	is_int(look(&pages, &foreign), 1, "an unknown version is no page");
	is_int(foreign, 9, "but its number is told");
	free(pages);
	munmap(v1, SLOT_MAP_LEN);
	is_int(slot_page__refresh(mem, &info), -EFAULT, "a page that has gone");
}

int main(void)
{
	struct slot_page_v0 *v0;
	struct slot_page *v1;
	struct err err;

	plan(28);
	mem__open(getpid(), &mem, &err);
	v1 = publish_v1();
	v0 = publish_v0();
	both_versions(v1, v0);
	facts(v1, v0);
	confirm(v1);
	hostile(v1, v0);
	mem__free(mem);
	return done();
}
