// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The BPF backend: programs in the kernel read and judge (bpf/), this opens them, keeps their
 * tables and passes on what they tell. Between two events nothing runs here.
 */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bpf/event_abi.h"
#include "kern/features.h"
#include "perpetuo.skel.h"
#include "proc/process.h"
#include "stall/threshold.h"

#define MODULE "bpf"
#define MIN_TICK_NS NSEC_PER_MSEC
#define MIN_SEGMENTS 64
#define MAX_WAITING 8 /* epoll events taken at once */

enum waiting {
	WAITING_EVENTS,
	WAITING_CPUS,
};

uint64_t bpf_clock_ns(const struct source *s)
{
	return clock_monotonic_ns() - (uint64_t)s->own_off;
}

/* libbpf explains a failed load in several lines: for --verbose. What a person needs is in ERR. */
__attribute__((format(printf, 2, 0))) static int print_libbpf(enum libbpf_print_level level,
							      const char *fmt, va_list ap)
{
	char text[1024];
	int len;

	if (level == LIBBPF_DEBUG)
		return 0;
	len = vsnprintf(text, sizeof(text), fmt, ap);
	if (len > 0) {
		text[strcspn(text, "\n")] = '\0';
		log_msg(LOG_DEBUG, MODULE, "%s", text);
	}
	return len;
}

int bpf_kick(struct source *s, struct err *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);

	__atomic_store_n(&s->skel->bss->pass.kick, 1, __ATOMIC_SEQ_CST);
	if (bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.judge_kick), &run))
		return err_set(err, -errno, "cannot start the BPF timer: %s", strerror(errno));
	if (run.retval)
		return err_set(err, -EIO, "cannot start the BPF timer (step %u)", run.retval);
	return 0;
}

static void bpf_free(struct source *s)
{
	if (!s)
		return;
	ticks__close(s);
	if (s->skel)
		perpetuo__detach(s->skel);
	bpf_table__close(s);
	bpf_gil__close(s);
	bpf_loop__close(s);
	bpf_account__close(s);
	bpf_top__close(s);
	ring_buffer__free(s->events);
	ring_buffer__free(s->stacks);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	perpetuo__destroy(s->skel);
	free(s);
}

/* Stalls begin so long before they are told: where the time went must be known that far back. */
static uint64_t account_reach(const struct source *s)
{
	uint64_t slot = thresholds__floor(s->opts.thresholds, "slot");
	uint64_t gil = thresholds__of(s->opts.thresholds, "gil", SOURCE_GIL_NAME);
	uint64_t loop = thresholds__floor(s->opts.thresholds, "loop");
	uint64_t most = slot > gil ? slot : gil;

	return most > loop ? most : loop;
}

/* Everything that must be decided before the load. */
static int configure(struct source *s, struct err *err)
{
	uint32_t segments = s->opts.max_procs * 2;
	uint32_t threads = bpf_account__size(s->opts.max_procs);
	struct perpetuo *skel = s->skel;

	if (segments < MIN_SEGMENTS)
		segments = MIN_SEGMENTS;
	if (segments > TABLE_MAX_SEGMENTS)
		segments = TABLE_MAX_SEGMENTS;
	skel->rodata->threshold_ns = thresholds__floor(s->opts.thresholds, "slot");
	skel->rodata->gil_threshold_ns = thresholds__of(s->opts.thresholds, "gil", SOURCE_GIL_NAME);
	skel->rodata->loop_threshold_ns = thresholds__floor(s->opts.thresholds, "loop");
	skel->rodata->least_ns = thresholds__least(s->opts.thresholds);
	skel->rodata->tick_ns = s->tick_ns;
	skel->rodata->tick_gap_ns = s->tick_ns;
	skel->rodata->segment_cnt = segments;
	skel->rodata->proc_cnt = s->opts.max_procs;
	skel->rodata->top_enabled = s->opts.counts;
	skel->rodata->account_cnt = threads;
	skel->rodata->account_gap_ns = account_reach(s) / ACCOUNT_GAPS;
	bpf_program__set_autoload(skel->progs.slots_tick, s->perf);
	bpf_program__set_autoload(skel->progs.pywalk_once, s->perf);
	bpf_program__set_autoload(skel->progs.gil_touched, s->perf);
	bpf_program__set_autoload(skel->progs.slots_tick_hrtimer, !s->perf);
	bpf_program__set_autoattach(skel->progs.kstack_show, false);
	bpf_program__set_autoload(skel->progs.family_fork, s->opts.follow);
	bpf_program__set_autoload(skel->progs.family_exec, s->opts.follow);
	if (bpf_map__set_max_entries(skel->maps.segments, segments) ||
	    bpf_map__set_max_entries(skel->maps.procs, s->opts.max_procs) ||
	    bpf_map__set_max_entries(skel->maps.gils, s->opts.max_procs) ||
	    bpf_map__set_max_entries(skel->maps.loops, s->opts.max_procs) ||
	    bpf_map__set_max_entries(skel->maps.tops, s->opts.counts ? s->opts.max_procs : 1) ||
	    bpf_map__set_max_entries(skel->maps.accounts, threads) ||
	    bpf_map__set_max_entries(skel->maps.account_rings, threads))
		return err_set(err, -EINVAL, "cannot set the size of the BPF tables");
	return 0;
}

static int load(struct source *s, struct err *err)
{
	int ret;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(print_libbpf);
	s->skel = perpetuo__open();
	if (!s->skel)
		return err_set(err, -errno, "cannot open the BPF programs: %s", strerror(errno));
	ret = configure(s, err);
	if (ret)
		return ret;
	ret = perpetuo__load(s->skel);
	if (!ret)
		return 0;
	/* a known gap of this kernel or of our rights says more than the errno */
	if (features__bpf_usable(err))
		return ret;
	return err_set(err, ret, "cannot load the BPF programs: %s (--verbose says more)",
		       strerror(-ret));
}

static int attach(struct source *s, struct err *err)
{
	int ret = perpetuo__attach(s->skel);

	if (ret)
		return err_set(err, ret, "cannot attach the BPF programs: %s", strerror(-ret));
	return ticks__open(s, err);
}

static void tell(struct source *s, struct source_event *ev, uint64_t now_ns)
{
	ev->now_ns = now_ns + (uint64_t)s->own_off;
	s->told++;
	s->fn(s->ctx, ev);
}

static void on_slot(struct source *s, uint32_t proc, const struct event_slot *e)
{
	struct source_event ev = {
		.type = e->type == EVENT_STALL ? SOURCE_STALL
			: e->type == EVENT_END ? SOURCE_END
					       : SOURCE_OVER,
		.proc = proc,
		.page = e->page,
		.slot = e->slot,
		.word = e->word,
		.word_now = e->word_now,
		.value = e->value,
		.on_cpu = e->flags & EVENT_ON_CPU,
		.paused = e->flags & EVENT_PAUSED,
	};

	tell(s, &ev, e->now_ns);
}

static void on_proc(struct source *s, uint32_t proc, const struct event_proc *e)
{
	struct source_event ev = {
		.type = e->type == EVENT_EXEC ? SOURCE_EXEC : SOURCE_GENERATION,
		.proc = proc,
		.page = e->page,
	};

	if (e->type == EVENT_UNREAD) {
		bpf_table__observe(s, (uint32_t)e->generation);
		bpf_kick(s, NULL);
		return;
	}
	tell(s, &ev, e->now_ns);
}

static void on_gil(struct source *s, uint32_t proc, const struct event_gil *e)
{
	struct source_event ev = { .proc = proc };

	if (bpf_gil__guard(s, proc, e))
		return;
	bpf_gil__event(s, e, &ev);
	tell(s, &ev, e->now_ns);
}

static void on_loop(struct source *s, uint32_t proc, const struct event_loop *e)
{
	struct source_event ev = { .proc = proc };

	bpf_loop__event(s, e, &ev);
	tell(s, &ev, e->now_ns);
}

static void on_child(struct source *s, const struct event_child *e)
{
	struct source_event ev = {
		.type = SOURCE_CHILD,
		.child = { .pid = (pid_t)e->pid, .parent = (pid_t)e->parent },
	};

	tell(s, &ev, e->now_ns);
}

static int on_record(void *ctx, void *data, size_t len)
{
	const struct event_proc *head = data;
	struct source *s = ctx;
	uint32_t proc;

	if (len >= sizeof(struct event_child) && head->type == EVENT_CHILD)
		on_child(s, data);
	if (len < sizeof(*head) || head->type == EVENT_CHILD)
		return 0;
	proc = PROC_INDEX(head->proc);
	/* told of a process that was forgotten meanwhile */
	if (proc >= s->opts.max_procs || !s->target[proc].used ||
	    s->proc[proc].handle != head->proc)
		return 0;
	switch (head->type) {
	case EVENT_STALL:
	case EVENT_END:
	case EVENT_OVER:
		if (len >= sizeof(struct event_slot))
			on_slot(s, proc, data);
		break;
	case EVENT_GIL_WAIT:
	case EVENT_GIL_END:
	case EVENT_GIL_HALF:
	case EVENT_GIL_TOUCHED:
	case EVENT_GIL_BORN:
		if (len >= sizeof(struct event_gil))
			on_gil(s, proc, data);
		break;
	case EVENT_LOOP_ASK:
	case EVENT_LOOP_STALL:
	case EVENT_LOOP_END:
		if (len >= sizeof(struct event_loop))
			on_loop(s, proc, data);
		break;
	case EVENT_GENERATION:
	case EVENT_EXEC:
	case EVENT_UNREAD:
		on_proc(s, proc, head);
		break;
	}
	return 0;
}

static int wait_on(struct source *s, int fd, enum waiting what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = what };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int open_rings(struct source *s, struct err *err)
{
	int ret = 0;

	s->events = ring_buffer__new(bpf_map__fd(s->skel->maps.events), on_record, s, NULL);
	s->stacks = ring_buffer__new(bpf_map__fd(s->skel->maps.stacks), bpf_walk__record, s, NULL);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!s->events || !s->stacks || s->epoll_fd < 0)
		return err_set(err, -errno, "cannot open the ring buffers: %s", strerror(errno));
	ret = wait_on(s, ring_buffer__epoll_fd(s->events), WAITING_EVENTS);
	if (!ret && s->ticks.uevent_fd >= 0)
		ret = wait_on(s, s->ticks.uevent_fd, WAITING_CPUS);
	return ret ? err_set(err, ret, "cannot wait for events: %s", strerror(-ret)) : 0;
}

static int bpf_open(const struct source_opts *opts, source_event_fn fn, void *ctx,
		    struct source **out, struct err *err)
{
	struct source *s;
	struct process_info self;
	uint64_t least_ns;
	int ret;

	if (!opts->max_procs || opts->max_procs > TABLE_MAX_PROCS || !opts->thresholds->alert_ns)
		return err_set(err, -EINVAL, "at most %d processes can be watched",
			       TABLE_MAX_PROCS);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->opts = *opts;
	s->fn = fn;
	s->ctx = ctx;
	s->epoll_fd = -1;
	s->ticks.uevent_fd = -1;
	least_ns = thresholds__least(opts->thresholds);
	s->tick_ns = opts->poll_ns < least_ns / 2 ? opts->poll_ns : least_ns / 2;
	if (s->tick_ns < MIN_TICK_NS)
		s->tick_ns = MIN_TICK_NS;
	if (!process_info__load(getpid(), &self))
		s->own_off = self.monotonic_offset_ns;
	s->perf = s->one_shot = ticks_allowed();

	ret = load(s, err);
	if (!ret)
		ret = bpf_table__open(s, err);
	if (!ret)
		ret = bpf_gil__open(s, err);
	if (!ret)
		ret = bpf_loop__open(s, err);
	if (!ret)
		ret = bpf_account__open(s, err);
	if (!ret && opts->counts)
		ret = bpf_top__open(s, err);
	if (!ret)
		ret = bpf_walk__open(s, err);
	if (!ret)
		ret = attach(s, err);
	if (!ret)
		ret = open_rings(s, err);
	if (ret) {
		bpf_free(s);
		return ret;
	}
	if (!s->perf)
		log_msg(LOG_DEBUG, MODULE,
			"perf_event_open is refused: the scheduler's own tick serves");
	*out = s;
	return 0;
}

static int bpf_fd(const struct source *s)
{
	return s->epoll_fd;
}

/* Sums the CPUs' copies of the counts. */
static int read_counts(struct source *s, struct counts *out)
{
	int ncpus = libbpf_num_possible_cpus();
	struct counts *each;
	uint32_t zero = 0;
	int err = 0;

	memset(out, 0, sizeof(*out));
	each = ncpus > 0 ? calloc((size_t)ncpus, sizeof(*each)) : NULL;
	if (!each)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.counts), &zero, each))
		err = -errno;
	for (int cpu = 0; cpu < ncpus && !err; cpu++)
		for (int i = 0; i < COUNT_MAX; i++)
			out->value[i] += each[cpu].value[i];
	free(each);
	return err;
}

/* Records that did not fit come again, but a short section may have gone by unseen meanwhile. */
static void tell_lost(struct source *s)
{
	struct source_event ev = { .type = SOURCE_LOST }, child = { .type = SOURCE_CHILD };
	uint64_t children;
	struct counts c;

	if (read_counts(s, &c))
		return;
	children = c.value[COUNT_CHILD_FULL] + c.value[COUNT_CHILD_UNMARKED];
	if (children != s->children_lost_told)
		tell(s, &child, bpf_clock_ns(s));
	s->children_lost_told = children;
	if (c.value[COUNT_EVENTS_FULL] == s->lost_told)
		return;
	ev.lost = c.value[COUNT_EVENTS_FULL] - s->lost_told;
	s->lost_told = c.value[COUNT_EVENTS_FULL];
	tell(s, &ev, bpf_clock_ns(s));
}

static int bpf_dispatch(struct source *s)
{
	struct epoll_event ev[MAX_WAITING];
	int n = epoll_wait(s->epoll_fd, ev, MAX_WAITING, 0), ret = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		if (ev[i].data.u32 == WAITING_CPUS) {
			ticks__dispatch(s);
			continue;
		}
		s->wakes++;
		ret = ring_buffer__consume(s->events);
		tell_lost(s);
	}
	bpf_gil__flush(s, on_gil);
	return ret < 0 ? ret : 0;
}

static const char *const count_name[] = {
#define COUNT_NAME(id, name, about) [COUNT_##id] = name,
	COUNTS(COUNT_NAME)
#undef COUNT_NAME
};

static void stats_line(struct strbuf *out, const char *name, uint64_t value)
{
	strbuf_addf(out, "bpf.%s %llu\n", name, (unsigned long long)value);
}

static void bpf_stats(struct source *s, struct strbuf *out)
{
	const struct pass_state *pass = &s->skel->bss->pass;
	struct counts c;
	uint64_t observed = 0;

	for (uint32_t i = 0; i < s->segments_seen; i++)
		observed += s->segment[i].observed;
	strbuf_addf(out, "bpf.tick %s\n", s->perf ? "perf" : "hrtimer");
	stats_line(out, "observations", observed);
	stats_line(out, "passes", pass->passes);
	stats_line(out, "pass_ns", pass->pass_ns);
	stats_line(out, "pass_max_ns", pass->pass_max_ns);
	stats_line(out, "wakes", s->wakes);
	stats_line(out, "events", s->told);
	stats_line(out, "reads_by_loader", s->reread);
	stats_line(out, "gil_guards", s->guards_opened);
	if (read_counts(s, &c))
		return;
	for (int i = 0; i < COUNT_MAX; i++)
		stats_line(out, count_name[i], c.value[i]);
}

const struct source_ops source_bpf = {
	.name = "bpf",
	.open = bpf_open,
	.free = bpf_free,
	.add = bpf_table__add,
	.remove = bpf_table__remove,
	.set_pages = bpf_table__set_pages,
	.last_word = bpf_table__last_word,
	.stopped_ns = bpf_table__stopped_ns,
	.gil_waits = bpf_gil__waits,
	.set_gils = bpf_gil__set,
	.watch_loops = bpf_loop__watch,
	.set_loop = bpf_loop__set,
	.usage = bpf_account__usage,
	.counts = bpf_top__read,
	.follow = bpf_family__follow,
	.follows = bpf_family__follows,
	.fd = bpf_fd,
	.dispatch = bpf_dispatch,
	.capture = bpf_walk__capture,
	.kernel_stack = bpf_kstack__read,
	.stats = bpf_stats,
};
