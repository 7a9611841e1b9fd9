// SPDX-License-Identifier: MIT OR Apache-2.0
/* The tables of table_abi.h, from the loader's side. */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "perpetuo.skel.h"
#include "proc/mem.h"
#include "source/slot.h"

#define ROUND_SLOTS 64 /* new trackers of a page are read, without a word to us, in so many */
#define OBSERVE_TURNS 64
#define LOCK_TRIES 10000000 /* a program holds a lock for about a microsecond */
#define PASS_TRIES 200
#define PASS_WAIT_US 50

/* What one segment of a page is to be. */
struct want {
	const struct slot_page_info *page;
	uint32_t first;
	uint32_t n;
	uint32_t index; /* the segment that serves it */
	bool fresh; /* it was not watched before */
};

static void *map_table(struct bpf_map *map, size_t value_len, uint32_t cnt, size_t *len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	*len = ((value_len + 7) / 8 * 8 * cnt + page - 1) / page * page;
	p = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	return p == MAP_FAILED ? NULL : p;
}

int bpf_table__open(struct source *s, struct err *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	size_t walk_len;

	s->nsegments = bpf_map__max_entries(s->skel->maps.segments);
	s->proc = map_table(s->skel->maps.procs, sizeof(*s->proc), s->opts.max_procs, &s->proc_len);
	if (s->proc)
		s->segment = map_table(s->skel->maps.segments, sizeof(*s->segment), s->nsegments,
				       &s->segment_len);
	if (s->segment)
		s->walk = map_table(s->skel->maps.walks, sizeof(*s->walk), 1, &walk_len);
	if (!s->walk)
		return err_set(err, -errno, "cannot map the BPF tables: %s", strerror(errno));
	s->target = calloc(s->opts.max_procs, sizeof(*s->target));
	s->taken = calloc(s->nsegments, sizeof(*s->taken));
	if (!s->target || !s->taken)
		return err_set(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < s->opts.max_procs; i++)
		s->target[i].pidfd = -1;
	if (bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.core_pid_level), &run))
		return err_set(err, -errno, "cannot ask for the depth of our pid namespace: %s",
			       strerror(errno));
	for (uint32_t i = 0; i < PROC_PLACES && s->skel->bss->pid_level; i++)
		s->skel->bss->proc_at[i] = PROC_ASK;
	return 0;
}

/* Each pass looks at what lies below these: the lowest free indices are taken first. */
static void set_used(struct source *s)
{
	struct pass_state *pass = &s->skel->bss->pass;
	uint32_t procs = s->opts.max_procs, segments = s->nsegments;

	while (procs && !s->target[procs - 1].used)
		procs--;
	while (segments && !s->taken[segments - 1])
		segments--;
	if (segments > s->segments_seen)
		s->segments_seen = segments;
	__atomic_store_n(&pass->procs, procs, __ATOMIC_SEQ_CST);
	__atomic_store_n(&pass->segments, segments, __ATOMIC_SEQ_CST);
}

/* See PROC_PLACES: what stands at the place of PID, now that a process of that place came or went.
 */
static void set_place(struct source *s, pid_t pid)
{
	uint32_t place = (uint32_t)pid % PROC_PLACES;
	uint16_t at = 0;

	if (s->skel->bss->pid_level)
		return;
	for (uint32_t i = 0; i < s->opts.max_procs && !at; i++)
		if (s->target[i].used && (uint32_t)s->target[i].pid % PROC_PLACES == place)
			at = (uint16_t)(i + 1);
	__atomic_store_n(&s->skel->bss->proc_at[place], at, __ATOMIC_SEQ_CST);
}

static void watched__clear(struct watched *t)
{
	mem__free(t->mem);
	if (t->pidfd >= 0)
		close(t->pidfd);
	*t = (struct watched){ .pidfd = -1, .use = t->use };
}

void bpf_table__close(struct source *s)
{
	for (uint32_t i = 0; s->target && i < s->opts.max_procs; i++)
		watched__clear(&s->target[i]);
	free(s->target);
	free(s->taken);
	if (s->walk)
		munmap(s->walk, sizeof(*s->walk));
	if (s->segment)
		munmap(s->segment, s->segment_len);
	if (s->proc)
		munmap(s->proc, s->proc_len);
}

/* No pass can be using any more what was not live when this was called. */
static void wait_for_pass(struct source *s)
{
	uint64_t seq = __atomic_load_n(&s->skel->bss->pass.seq, __ATOMIC_SEQ_CST);

	for (int i = 0; i < PASS_TRIES && seq & 1; i++) {
		if (__atomic_load_n(&s->skel->bss->pass.seq, __ATOMIC_SEQ_CST) != seq)
			return;
		usleep(PASS_WAIT_US);
	}
}

static bool segment__try_lock(struct segment *seg)
{
	uint32_t zero = 0;

	return __atomic_compare_exchange_n(&seg->lock, &zero, 1, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static void segment__unlock(struct segment *seg)
{
	__atomic_store_n(&seg->lock, 0, __ATOMIC_SEQ_CST);
}

/* A program that holds the lock cannot sleep: this is short. Who fails goes on all the same, and
 * what he writes may be read half. */
static void segment__lock(struct segment *seg)
{
	for (int i = 0; i < LOCK_TRIES; i++)
		if (segment__try_lock(seg))
			return;
}

static void segment__read(struct source *s, struct segment *seg)
{
	const struct proc *p = &s->proc[seg->proc];
	__u64 *raw = seg->raw[(seg->seq + 1) & 1];

	s->reread++;
	if (mem__read(s->target[seg->proc].mem, seg->addr, raw, seg->len))
		return; /* it is gone or goes: the programs say when it can be read again */
	if (seg->has_counters)
		segment_settle_counters(seg, raw, bpf_clock_ns(s) + (uint64_t)p->clock_off);
	__atomic_store_n(&seg->unread, SEGMENT_READ, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&seg->seq, 1, __ATOMIC_SEQ_CST);
}

void bpf_table__observe(struct source *s, uint32_t index)
{
	struct segment *seg;
	uint64_t seen;

	if (index >= s->nsegments || !s->taken[index])
		return;
	seg = &s->segment[index];
	__atomic_fetch_add(&seg->pending, 1, __ATOMIC_SEQ_CST);
	for (int turn = 0; turn < OBSERVE_TURNS; turn++) {
		if (!segment__try_lock(seg))
			return;
		seen = __atomic_load_n(&seg->pending, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&seg->live, __ATOMIC_SEQ_CST))
			segment__read(s, seg);
		segment__unlock(seg);
		if (__atomic_load_n(&seg->pending, __ATOMIC_SEQ_CST) == seen)
			return;
	}
	__atomic_store_n(&seg->unread, SEGMENT_UNREAD, __ATOMIC_SEQ_CST);
}

int bpf_table__add(struct source *s, uint32_t proc, pid_t pid, int pidfd, int64_t clock_off,
		   uint64_t start_ns, struct err *err)
{
	struct watched *t = &s->target[proc];
	struct proc *p = &s->proc[proc];
	int ret;

	bpf_table__remove(s, proc);
	ret = mem__open(pid, &t->mem, err);
	if (ret)
		return ret;
	t->pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
	if (t->pidfd < 0) {
		ret = err_set(err, -errno, "cannot keep the pidfd of process %d: %s", (int)pid,
			      strerror(errno));
		watched__clear(t);
		return ret;
	}
	t->used = true;
	t->use++;
	t->pid = pid;
	set_used(s);
	memset(p, 0, sizeof(*p));
	bpf_gil__reset(s, proc);
	bpf_loop__reset(s, proc);
	bpf_top__reset(s, proc);
	p->handle = PROC_HANDLE(proc, t->use);
	p->clock_off = clock_off + s->own_off;
	p->start_ns = start_ns + (uint64_t)clock_off;
	p->tgid = s->skel->bss->pid_level ? 0 : (uint32_t)pid;
	__atomic_store_n(&p->live, 1, __ATOMIC_SEQ_CST);
	set_place(s, pid);
	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.proc_of), &t->pidfd, &proc, BPF_ANY)) {
		ret = err_set(err, -errno, "cannot register process %d with BPF: %s", (int)pid,
			      strerror(errno));
		bpf_table__remove(s, proc);
		return ret;
	}
	return 0;
}

static void drop_segments(struct source *s, const uint32_t *index, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++)
		__atomic_store_n(&s->segment[index[i]].live, 0, __ATOMIC_SEQ_CST);
	if (cnt)
		wait_for_pass(s);
	for (uint32_t i = 0; i < cnt; i++)
		s->taken[index[i]] = false;
}

/* Segments that the table says are of PROC, also those that the programs have dropped. */
static uint32_t segments_of(const struct source *s, uint32_t proc, uint32_t index[PROC_SEGMENTS])
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < s->nsegments && cnt < PROC_SEGMENTS; i++)
		if (s->taken[i] && s->segment[i].proc == proc)
			index[cnt++] = i;
	return cnt;
}

void bpf_table__remove(struct source *s, uint32_t proc)
{
	uint32_t index[PROC_SEGMENTS], cnt;
	struct watched *t = &s->target[proc];
	struct proc *p = &s->proc[proc];
	pid_t pid;

	if (!t->used)
		return;
	__atomic_store_n(&p->live, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&p->nsegments, 0, __ATOMIC_SEQ_CST);
	/* -ESRCH: it has ended, and what hung on it with it */
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.proc_of), &t->pidfd);
	cnt = segments_of(s, proc, index);
	drop_segments(s, index, cnt);
	bpf_gil__drop_guards(s, proc);
	bpf_account__forget(s, p->handle);
	pid = t->pid;
	watched__clear(t);
	set_place(s, pid);
	set_used(s);
}

/* How PAGES are cut into segments. The number of WANT, or -ENOSPC. */
static int cut_pages(const struct slot_page_info *pages, size_t npages,
		     struct want want[PROC_SEGMENTS])
{
	int cnt = 0;

	for (size_t i = 0; i < npages; i++) {
		uint32_t first = 0, n, left;

		do {
			if (cnt == PROC_SEGMENTS)
				return -ENOSPC;
			left = pages[i].nwords - first;
			n = pages[i].in_use - first;
			if (pages[i].version == SLOT_V1)
				n = (n / ROUND_SLOTS + !!(n % ROUND_SLOTS || !n)) * ROUND_SLOTS;
			n = n < left ? n : left;
			n = n < SEGMENT_SLOTS ? n : SEGMENT_SLOTS;
			want[cnt++] = (struct want){ .page = &pages[i], .first = first, .n = n };
			first += n;
		} while (first < pages[i].in_use);
	}
	return cnt;
}

/* Finds the segment that serves each WANT already, or a free one. 0 or -ENOSPC. */
static int assign_segments(struct source *s, uint32_t proc, struct want *want, int cnt)
{
	uint32_t free_at = 0;

	for (int k = 0; k < cnt; k++) {
		struct want *w = &want[k];

		w->fresh = true;
		for (uint32_t i = 0; i < s->nsegments && w->fresh; i++) {
			const struct segment *seg = &s->segment[i];

			if (!s->taken[i] || seg->proc != proc || !seg->live ||
			    seg->page != w->page->addr || seg->first != w->first ||
			    seg->v0 != (w->page->version == SLOT_V0))
				continue;
			w->index = i;
			w->fresh = false;
		}
		if (!w->fresh)
			continue;
		while (free_at < s->nsegments && s->taken[free_at])
			free_at++;
		if (free_at == s->nsegments)
			return -ENOSPC;
		w->index = free_at++;
	}
	return 0;
}

/* Facts of the page; a segment that was watched before keeps what was seen and told. */
static void segment__update(struct segment *seg, const struct want *w, uint32_t head)
{
	const struct slot_page_info *page = w->page;

	seg->has_counters = page->version == SLOT_V0;
	memset(seg->counters, 0, sizeof(seg->counters));
	for (uint32_t i = 0; i < w->n && page->version == SLOT_V1; i++) {
		uint32_t slot = w->first + i;

		if (page->counters[slot / 64] >> slot % 64 & 1) {
			seg->counters[i / 64] |= 1ULL << i % 64;
			seg->has_counters = 1;
		}
	}
	seg->head = head;
	seg->generation = page->generation;
	seg->n = w->n;
	seg->len = page->version == SLOT_V0 ? sizeof(struct slot_page_v0) : SLOT_HOT_LEN(w->n);
}

static void segment__set_up(struct source *s, struct segment *seg, uint32_t proc,
			    const struct want *w, uint32_t head)
{
	segment__lock(seg);
	if (w->fresh) {
		memset((char *)seg + sizeof(seg->live), 0,
		       offsetof(struct segment, lock) - sizeof(seg->live));
		memset(seg->raw, 0, sizeof(*seg) - offsetof(struct segment, raw));
		seg->unread = SEGMENT_ASKED; /* we read it below */
		seg->seq = 0;
		seg->proc = proc;
		seg->page = w->page->addr;
		seg->v0 = w->page->version == SLOT_V0;
		seg->first = w->first;
		seg->addr = seg->page;
		if (!seg->v0)
			seg->addr += SLOT_HOT_OFF + w->first * sizeof(uint64_t);
	}
	segment__update(seg, w, head);
	segment__unlock(seg);
	s->taken[w->index] = true;
	__atomic_store_n(&seg->live, 1, __ATOMIC_SEQ_CST);
}

/* Of the segments OLD those that are none of WANT. */
static uint32_t no_longer(const uint32_t *old, uint32_t nold, const struct want *want, int cnt,
			  uint32_t *gone)
{
	uint32_t ngone = 0;

	for (uint32_t i = 0; i < nold; i++) {
		bool kept = false;

		for (int k = 0; k < cnt; k++)
			kept |= want[k].index == old[i];
		if (!kept)
			gone[ngone++] = old[i];
	}
	return ngone;
}

/*
 * In this order, no reading is lost: what is new is in the list that the programs follow before it
 * is read from here, and what is no longer wanted goes after that.
 */
int bpf_table__set_pages(struct source *s, uint32_t proc, const struct slot_page_info *pages,
			 size_t npages, struct err *err)
{
	uint32_t old[PROC_SEGMENTS], gone[PROC_SEGMENTS], nold, ngone, head = 0;
	struct want want[PROC_SEGMENTS];
	struct watched *t = &s->target[proc];
	struct proc *p = &s->proc[proc];
	int cnt = cut_pages(pages, npages, want);

	if (cnt >= 0 && assign_segments(s, proc, want, cnt))
		cnt = -ENOSPC;
	if (cnt < 0)
		return err_set(err, cnt,
			       "no room to watch all trackers of process %d: watch fewer processes",
			       (int)t->pid);
	nold = segments_of(s, proc, old);
	for (int k = 0; k < cnt; k++) {
		if (!want[k].first)
			head = want[k].index;
		segment__set_up(s, &s->segment[want[k].index], proc, &want[k], head);
		p->segment[k] = want[k].index;
	}
	__atomic_store_n(&p->nsegments, cnt, __ATOMIC_SEQ_CST);
	ngone = no_longer(old, nold, want, cnt, gone);
	drop_segments(s, gone, ngone);
	set_used(s);
	/* exec by another thread than the first has left this with the old task */
	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.proc_of), &t->pidfd, &proc, BPF_ANY) &&
	    errno != ESRCH)
		return err_set(err, -errno, "cannot register process %d with BPF: %s", (int)t->pid,
			       strerror(errno));
	for (int k = 0; k < cnt; k++)
		bpf_table__observe(s, want[k].index);
	return cnt ? bpf_kick(s, err) : 0;
}

uint64_t bpf_table__last_word(const struct source *s, uint32_t proc, uint64_t page, uint32_t slot)
{
	for (uint32_t k = 0; k < s->nsegments; k++) {
		const struct segment *seg = &s->segment[k];
		uint32_t i = slot - seg->first;

		if (!s->taken[k] || seg->proc != proc || seg->page != page || slot < seg->first ||
		    i >= seg->n || !seg->seq)
			continue;
		if (seg->v0 || (seg->counters[i / 64] >> i % 64 & 1))
			return seg->counter[i].word;
		return seg->raw[seg->seq & 1][SEGMENT_HEAD + i];
	}
	return 0;
}

uint64_t bpf_table__stopped_ns(const struct source *s, uint32_t proc, bool *now)
{
	const struct stall_pause *pause = &s->proc[proc].pause;
	uint64_t since = __atomic_load_n(&pause->since, __ATOMIC_SEQ_CST);
	uint64_t clock = bpf_clock_ns(s) + (uint64_t)s->proc[proc].clock_off;

	*now = since != 0;
	/* 1 (PAUSE_ENDING): it ends at this moment, and `total` is about to have it */
	if (since <= 1 || clock < since)
		return pause->total;
	return pause->total + (clock - since);
}
