// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The poll backend: the slots, and the counts of the event loops that the program has registered,
 * are read from here on a timer, by process_vm_readv. For containers without CAP_BPF, old kernels,
 * and programs that watch themselves without root. It runs the state machine of the kernel backend
 * and, like its timer, wakes at the next deadline if that is before the next poll.
 */
#include "source/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "bpf/slot_abi.h"
#include "bpf/stall_state.h"
#include "proc/mem.h"
#include "proc/task.h"
#include "source/poll_loop.h"
#include "source/slot.h"
#include "stall/threshold.h"

#define FLOOR_NS 500000 /* between two passes: a deadline that has just passed must not spin */
#define LATE_PERIODS 3 /* later than this, the machine (or we) did not run: counted as a pause */

struct page {
	struct slot_page_info info;
	uint32_t cap; /* slots that there is room for */
	uint64_t *raw; /* the dense run of a v1 page, or all of a v0 page */
	struct stall_slot *slot;
	struct stall_counter *counter;
	uint64_t rung; /* generation that was told */
};

struct proc {
	bool used;
	pid_t pid;
	struct mem *mem;
	int64_t clock_off;
	uint64_t start_ns;
	struct stall_pause pause;
	uint64_t looked_ns; /* when it was last known to be able to run */
	struct page *page;
	size_t npages;
	struct poll_loops *loops; /* NULL = none */
};

struct source {
	struct source_opts opts;
	source_event_fn fn;
	void *ctx;
	int timer_fd;
	uint64_t passed_ns; /* time of the last pass */
	struct proc *proc; /* opts.max_procs */
	struct {
		uint64_t passes, reads, failed_reads, verdicts, early, late;
	} count;
};

static void page__free(struct page *p)
{
	free(p->raw);
	free(p->slot);
	free(p->counter);
	memset(p, 0, sizeof(*p));
}

static void proc__clear(struct proc *p)
{
	for (size_t i = 0; i < p->npages; i++)
		page__free(&p->page[i]);
	free(p->page);
	poll_loops__free(p->loops);
	mem__free(p->mem);
	memset(p, 0, sizeof(*p));
}

static void arm(struct source *s, uint64_t at_ns)
{
	struct itimerspec its = {
		.it_value.tv_sec = (time_t)(at_ns / NSEC_PER_SEC),
		.it_value.tv_nsec = (long)(at_ns % NSEC_PER_SEC),
	};

	timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void poll_free(struct source *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; s->proc && i < s->opts.max_procs; i++)
		proc__clear(&s->proc[i]);
	free(s->proc);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	free(s);
}

static int poll_open(const struct source_opts *opts, source_event_fn fn, void *ctx,
		     struct source **out, struct err *err)
{
	struct source *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->opts = *opts;
	s->fn = fn;
	s->ctx = ctx;
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer_fd < 0) {
		ret = err_set(err, -errno, "cannot make a timer: %s", strerror(errno));
		goto fail;
	}
	s->proc = calloc(opts->max_procs, sizeof(*s->proc));
	if (!s->proc) {
		ret = err_set(err, -ENOMEM, "out of memory");
		goto fail;
	}
	*out = s;
	return 0;
fail:
	poll_free(s);
	return ret;
}

static int poll_add(struct source *s, uint32_t proc, pid_t pid, int pidfd, int64_t clock_off,
		    uint64_t start_ns, struct err *err)
{
	struct proc *p = &s->proc[proc];
	struct mem *mem;
	int ret;

	(void)pidfd;
	ret = mem__open(pid, &mem, err);
	if (ret)
		return ret;
	proc__clear(p);
	p->used = true;
	p->pid = pid;
	p->mem = mem;
	p->clock_off = clock_off;
	p->start_ns = start_ns;
	return 0;
}

static void poll_remove(struct source *s, uint32_t proc)
{
	proc__clear(&s->proc[proc]);
}

/* Bytes of the page that are read in one go. */
static size_t raw_len(const struct page *p)
{
	if (p->info.version == SLOT_V0)
		return sizeof(struct slot_page_v0);
	return SLOT_HOT_LEN(p->info.in_use);
}

/* Room for all slots of INFO, keeping what is known of them. 0 or -ENOMEM (the page is then
 * unchanged). */
static int page__grow(struct page *p, const struct slot_page_info *info)
{
	uint32_t cap = info->in_use > p->cap ? info->in_use : p->cap;
	struct stall_counter *counter;
	struct stall_slot *slot;
	uint64_t *raw;

	if (cap > p->cap || !p->raw) {
		raw = realloc(p->raw, SLOT_HOT_LEN(cap) + sizeof(struct slot_page_v0));
		if (raw)
			p->raw = raw;
		slot = reallocarray(p->slot, cap + 1, sizeof(*slot));
		if (slot)
			p->slot = slot;
		counter = reallocarray(p->counter, cap + 1, sizeof(*counter));
		if (counter)
			p->counter = counter;
		if (!raw || !slot || !counter)
			return -ENOMEM;
		memset(slot + p->cap, 0, (cap - p->cap) * sizeof(*slot));
		memset(counter + p->cap, 0, (cap - p->cap) * sizeof(*counter));
		p->cap = cap;
	}
	p->info = *info;
	p->rung = info->generation;
	return 0;
}

static int poll_set_pages(struct source *s, uint32_t proc, const struct slot_page_info *pages,
			  size_t npages, struct err *err)
{
	struct proc *p = &s->proc[proc];
	struct page *page = calloc(npages ? npages : 1, sizeof(*page));
	size_t old = p->npages;
	int ret = page ? 0 : -ENOMEM;

	for (size_t i = 0; i < npages && page; i++) {
		for (size_t k = 0; k < old; k++) {
			if (p->page[k].info.addr == pages[i].addr &&
			    p->page[k].info.version == pages[i].version) {
				page[i] = p->page[k];
				memset(&p->page[k], 0, sizeof(p->page[k]));
				break;
			}
		}
		if (page__grow(&page[i], &pages[i]))
			ret = -ENOMEM;
	}
	if (!page)
		return err_set(err, ret, "out of memory");
	for (size_t k = 0; k < old; k++)
		page__free(&p->page[k]);
	free(p->page);
	p->page = page;
	p->npages = ret ? 0 : npages;
	if (ret) {
		for (size_t i = 0; i < npages; i++)
			page__free(&page[i]);
		return err_set(err, ret, "out of memory");
	}
	arm(s, 1); /* at once: a section may be open already */
	return 0;
}

/* The word of slot I in what was read just now, and in *VALUE what stood there. */
static uint64_t word_of(struct page *p, uint32_t i, uint64_t now, uint64_t *value)
{
	const struct slot_page_v0 *v0 = (const void *)p->raw;

	if (p->info.version == SLOT_V0)
		*value = v0->slot[i].count;
	else
		*value = p->raw[SLOT_HOT_LEN(0) / sizeof(*p->raw) + i];
	if (slot_page__is_counter(&p->info, i))
		return stall_counter_word(&p->counter[i], *value, now);
	return *value;
}

static const enum source_event_type event_of[] = {
	[STALL_RAISE] = SOURCE_STALL,
	[STALL_ENDED] = SOURCE_END,
	[STALL_OVER] = SOURCE_OVER,
};

static void judge_page(struct source *s, uint32_t proc, struct page *p, const struct stall_now *n,
		       __u64 *deadline)
{
	const struct proc *pr = &s->proc[proc];
	struct source_event ev = {
		.proc = proc,
		.page = p->info.addr,
		.now_ns = n->now - (uint64_t)pr->clock_off,
		.paused = pr->pause.total != 0,
	};

	for (uint32_t i = 0; i < p->info.in_use; i++) {
		uint64_t value, word = word_of(p, i, n->now, &value);
		__u64 was;

		ev.slot = i;
		ev.word_now = word;
		ev.value = value;
		/* two turns: an end, and what the slot does now */
		for (int turn = 0; turn < 2; turn++) {
			enum stall_verdict v = stall_judge(&p->slot[i], word, n, &was, deadline);

			if (v == STALL_NONE)
				break;
			ev.word = was;
			ev.on_cpu = v == STALL_OVER; /* nobody knows when it ended */
			ev.type = event_of[v];
			s->count.verdicts++;
			s->fn(s->ctx, &ev);
		}
	}
}

static void note_generation(struct source *s, uint32_t proc, struct page *p, uint64_t now_ns)
{
	struct source_event ev = {
		.type = SOURCE_GENERATION,
		.proc = proc,
		.page = p->info.addr,
		.now_ns = now_ns,
	};

	if (p->info.version != SLOT_V1 || p->raw[1] == p->rung)
		return;
	p->rung = p->raw[1];
	s->fn(s->ctx, &ev);
}

static bool any_active(struct page *p)
{
	for (uint32_t i = 0; i < p->info.in_use; i++)
		if (p->slot[i].open || p->slot[i].told)
			return true;
	return false;
}

/* Is the target held by SIGSTOP or a tracer? Asked only while a section is open. */
static void look_at_state(struct proc *p, uint64_t now)
{
	struct task_stat st;
	bool active = p->pause.since != 0 || poll_loops__busy(p->loops);

	for (size_t i = 0; i < p->npages && !active; i++)
		active = any_active(&p->page[i]);
	if (active && !task_stat__load(p->pid, p->pid, &st)) {
		if (st.state == 'T' || st.state == 't')
			stall_pause_begin(&p->pause, p->looked_ns ? p->looked_ns : now);
		else
			stall_pause_end(&p->pause, now);
	}
	if (!p->pause.since)
		p->looked_ns = now;
}

/* Its memory is no more: an exec, or an exit, which the session learns by the pidfd. Told once. */
static void note_exec(struct source *s, uint32_t proc, uint64_t now_ns)
{
	struct source_event ev = { .type = SOURCE_EXEC, .proc = proc, .now_ns = now_ns };
	struct proc *p = &s->proc[proc];

	for (size_t i = 0; i < p->npages; i++)
		page__free(&p->page[i]);
	p->npages = 0;
	poll_loops__free(p->loops);
	p->loops = NULL;
	s->fn(s->ctx, &ev);
}

static void judge_loops(struct source *s, uint32_t proc, uint64_t now_ns, uint64_t *deadline)
{
	struct proc *p = &s->proc[proc];
	struct poll_loop_pass pass = {
		.proc = proc,
		.pid = p->pid,
		.mem = p->mem,
		.pause = &p->pause,
		.clock_off = p->clock_off,
		.now_ns = now_ns,
		.threshold_ns = thresholds__floor(s->opts.thresholds, "loop"),
		.fn = s->fn,
		.ctx = s->ctx,
	};

	poll_loops__judge(p->loops, &pass, deadline);
}

static void judge_proc(struct source *s, uint32_t proc, uint64_t now_ns, uint64_t *deadline)
{
	struct proc *p = &s->proc[proc];
	uint64_t now = now_ns + (uint64_t)p->clock_off;
	__u64 due = UINT64_MAX;
	bool failed = false;
	struct stall_now n = {
		.now = now,
		.threshold = thresholds__floor(s->opts.thresholds, "slot"),
		.floor = p->start_ns + (uint64_t)p->clock_off,
		.pause = &p->pause,
	};

	look_at_state(p, now);
	for (size_t i = 0; i < p->npages; i++) {
		struct page *page = &p->page[i];
		uint64_t at = page->info.addr + (page->info.version == SLOT_V0 ? 0 : SLOT_HOT_OFF);

		s->count.reads++;
		if (mem__read(p->mem, at, page->raw, raw_len(page))) {
			s->count.failed_reads++; /* unchanged: it goes, or is another program now */
			failed = true;
			continue;
		}
		/* read after the clock: a word may be newer than `now`, which stall_start() allows
		 * for */
		judge_page(s, proc, page, &n, &due);
		note_generation(s, proc, page, now_ns);
	}
	judge_loops(s, proc, now_ns, deadline);
	if (failed && mem__check(p->mem) == -ESRCH)
		note_exec(s, proc, now_ns);
	if (due != UINT64_MAX && due - (uint64_t)p->clock_off < *deadline)
		*deadline = due - (uint64_t)p->clock_off;
}

/* A pass far too late: nobody could be judged meanwhile, and perhaps nobody ran (suspend, VM
 * pause). */
static void note_lateness(struct source *s, uint64_t now)
{
	uint64_t last = s->passed_ns;

	s->passed_ns = now;
	if (!last || now - last < LATE_PERIODS * s->opts.poll_ns)
		return;
	s->count.late++;
	for (uint32_t i = 0; i < s->opts.max_procs; i++) {
		struct proc *p = &s->proc[i];

		if (!p->used || p->pause.since)
			continue;
		stall_pause_begin(&p->pause, last + (uint64_t)p->clock_off);
		stall_pause_end(&p->pause, now + (uint64_t)p->clock_off);
	}
}

static int poll_dispatch(struct source *s)
{
	uint64_t now, fresh, expired, deadline = UINT64_MAX;
	bool watching = false;

	if (read(s->timer_fd, &expired, sizeof(expired)) < 0)
		return errno == EAGAIN ? 0 : -errno;
	now = clock_monotonic_ns();
	note_lateness(s, now);
	s->count.passes++;
	for (uint32_t i = 0; i < s->opts.max_procs; i++) {
		if (!s->proc[i].used || !s->proc[i].npages)
			continue;
		watching = true;
		judge_proc(s, i, now, &deadline);
	}
	if (!watching) { /* armed again by set_pages */
		s->passed_ns = 0;
		return 0;
	}
	if (now + s->opts.poll_ns < deadline)
		deadline = now + s->opts.poll_ns;
	else
		s->count.early++;
	fresh = clock_monotonic_ns();
	arm(s, deadline < fresh + FLOOR_NS ? fresh + FLOOR_NS : deadline);
	return 0;
}

static int poll_set_loop(struct source *s, uint32_t proc, const struct source_loop *loop)
{
	return poll_loops__set(&s->proc[proc].loops, s->proc[proc].pid, loop);
}

static uint64_t poll_last_word(const struct source *s, uint32_t proc, uint64_t page, uint32_t slot)
{
	const struct proc *p = &s->proc[proc];

	for (size_t i = 0; i < p->npages; i++) {
		const struct page *pg = &p->page[i];

		if (pg->info.addr != page || slot >= pg->info.in_use || slot >= pg->cap)
			continue;
		if (slot_page__is_counter(&pg->info, slot))
			return pg->counter[slot].word;
		return pg->raw[SLOT_HOT_LEN(0) / sizeof(*pg->raw) + slot];
	}
	return 0;
}

static uint64_t poll_stopped_ns(const struct source *s, uint32_t proc, bool *now)
{
	const struct proc *p = &s->proc[proc];
	uint64_t clock = clock_monotonic_ns() + (uint64_t)p->clock_off;

	*now = p->pause.since != 0;
	if (!p->pause.since || clock < p->pause.since)
		return p->pause.total;
	return p->pause.total + (clock - p->pause.since);
}

static int poll_fd(const struct source *s)
{
	return s->timer_fd;
}

static void poll_stats(struct source *s, struct strbuf *out)
{
	strbuf_addf(out, "poll.passes %llu\n", (unsigned long long)s->count.passes);
	strbuf_addf(out, "poll.passes_at_deadline %llu\n", (unsigned long long)s->count.early);
	strbuf_addf(out, "poll.passes_late %llu\n", (unsigned long long)s->count.late);
	strbuf_addf(out, "poll.reads %llu\n", (unsigned long long)s->count.reads);
	strbuf_addf(out, "poll.reads_failed %llu\n", (unsigned long long)s->count.failed_reads);
	strbuf_addf(out, "poll.verdicts %llu\n", (unsigned long long)s->count.verdicts);
}

const struct source_ops source_poll = {
	.name = "poll",
	.open = poll_open,
	.free = poll_free,
	.add = poll_add,
	.remove = poll_remove,
	.set_pages = poll_set_pages,
	.set_loop = poll_set_loop,
	.last_word = poll_last_word,
	.stopped_ns = poll_stopped_ns,
	.fd = poll_fd,
	.dispatch = poll_dispatch,
	.stats = poll_stats,
};
