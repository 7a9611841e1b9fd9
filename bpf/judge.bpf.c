// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * judge.bpf.c - the deadline timer: one bpf_timer for the machine that runs when a section may
 * cross the threshold, and not much oftener.
 *
 * It runs in a soft interrupt, in nobody's address space: it judges what slots.bpf.c has read. A
 * process whose threads are all asleep is judged too, since nothing of it can have changed. When
 * it runs next (KERNEL.md 11):
 *	- at the earliest deadline of a section that is open and was not told, but not within
 *	  PASS_FLOOR_NS: a deadline that cannot be met must not make it run away
 *	- at the latest after the least threshold - tick: a section that begins right after a pass
 *	  is read within a tick and judged in time by the next
 *	- within a tick while the end of a told section, or of a pause, is awaited
 *	- not at all while there is nothing to judge: the loader kicks it
 */
#include "bpf/core.bpf.h"
#include "bpf/gil.bpf.h"
#include "bpf/loop.bpf.h"

#define PASS_FLOOR_NS 500000
#define REFRESH_NS 2000000 /* the loader gets so long to read a page's facts again */
#define GAP_TICKS 3 /* later than so many ticks: the machine did not run */
#define MAX_THREADS 64 /* looked at for one that is on CPU */
#define WORD_TRIES 3

const volatile __u64 threshold_ns = 200000000; /* the least of any slot: its name decides later */
const volatile __u64 least_ns = 200000000; /* the least threshold of all sources */
const volatile __u64 tick_ns = 50000000;
const volatile __u32 segment_cnt = 64;
const volatile __u32 proc_cnt = TABLE_MAX_PROCS;

struct timer_slot {
	struct bpf_timer timer;
};
struct timers_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct timer_slot);
};
struct timers_map timers SEC(".maps");

/* A copy of is_held() for a task that is only an address. It may be gone: then the bits are
 * whatever they are, the loader's look at the target decides, and the next switch sets it right. */
static __always_inline bool task_is_held(struct task_struct *task)
{
	u64 state = BPF_CORE_READ_BITFIELD_PROBED(task, __state);
	u64 flags = BPF_CORE_READ_BITFIELD_PROBED(task, flags);

	if (state & (TASK_STOPPED_BIT | TASK_TRACED_BIT | TASK_FROZEN_BIT))
		return true;
	if (flags & PF_FROZEN_BIT)
		return true;
	return BPF_CORE_READ_BITFIELD_PROBED(task, frozen) &&
	       BPF_CORE_READ(task, jobctl) & JOBCTL_TRAP_FREEZE_BIT;
}

/*
 * From 6.1 on a sleeping thread is frozen and thawed where it sleeps, without a switch; and who is
 * continued may compute for a tick before it is seen. So each pass looks at the thread that ran
 * last.
 */
__noinline int judge_look_at(u32 index)
{
	struct proc *p = bpf_map_lookup_elem(&procs, &index);
	struct task_struct *last;
	u64 now, since;

	if (!p || !READ_ONCE(p->live) ||
	    !(READ_ONCE(p->nsegments) | READ_ONCE(p->gils) | READ_ONCE(p->loops)))
		return 0;
	now = pass.now + p->clock_off;
	if (pass.gap) {
		pause_begin(p, now - pass.gap);
		pause_end(p, now);
	}
	/* in this order: a pause that begins while we look is not ended by what we saw before it */
	since = READ_ONCE(p->pause.since);
	last = (void *)READ_ONCE(p->last_task);
	if (last && task_is_held(last))
		pause_begin(p, p->looked_ns ? p->looked_ns : now);
	else if (since)
		pause_end(p, now);
	if (READ_ONCE(p->pause.since))
		pass.watchful = 1;
	else
		p->looked_ns = now;
	return 0;
}

/* Is one of its threads on a CPU? Then what was read of it may be old. In doubt: yes. */
__noinline int judge_on_cpu(u32 index)
{
	struct proc *p = bpf_map_lookup_elem(&procs, &index);
	struct task_struct *task;
	struct list_head *node;
	u64 head;

	if (!p || !p->last_task)
		return 1;
	task = (void *)p->last_task;
	head = (u64)BPF_CORE_READ(task, signal) +
	       bpf_core_field_offset(struct signal_struct, thread_head);
	node = BPF_CORE_READ((struct list_head *)head, next);
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_THREADS; i++) {
		if ((u64)node == head)
			return 0;
		task = (void *)((u64)node - bpf_core_field_offset(struct task_struct, thread_node));
		if (!node || BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu))
			return 1;
		node = BPF_CORE_READ(node, next);
	}
	return 1;
}

/* The word of slot I, and in *VALUE what stood there. Negative if it does not stand still. */
static __always_inline int read_word(struct segment *seg, u64 i, u64 *word, u64 *value)
{
	bool counter =
		seg->v0 || (seg->counters[(i / 64) & (SEGMENT_SLOTS / 64 - 1)] >> i % 64 & 1);

#pragma clang loop unroll(disable)
	for (int turn = 0; turn < WORD_TRIES; turn++) {
		u32 seq = READ_ONCE(seg->seq);
		u64 now = seq & 1;

		if (counter) {
			*word = READ_ONCE(seg->counter[i].word);
			*value = READ_ONCE(seg->counter[i].seen);
		} else {
			barrier_u64(now);
			now &= 1;
			*word = READ_ONCE(seg->raw[now][SEGMENT_HEAD + i]);
			*value = *word;
		}
		if (READ_ONCE(seg->seq) == seq)
			return 0;
	}
	return -1;
}

static __always_inline bool tell_proc(u32 type, struct proc *p, u64 page, u64 generation)
{
	struct event_proc *out = bpf_ringbuf_reserve(&events, sizeof(*out), 0);

	if (!out) {
		count(COUNT_EVENTS_FULL);
		return false;
	}
	out->type = type;
	out->proc = p->handle;
	out->now_ns = pass.now;
	out->page = page;
	out->generation = generation;
	bpf_ringbuf_submit(out, 0);
	return true;
}

/* enum event_type of enum stall_verdict */
static __always_inline u32 event_of(enum stall_verdict verdict)
{
	return verdict == STALL_RAISE	? EVENT_STALL
	       : verdict == STALL_ENDED ? EVENT_END
					: EVENT_OVER;
}

/* A verdict whose record does not fit is taken back, and so found again by the next pass. */
__noinline int judge_slot(u32 index, u32 slot)
{
	struct segment *seg = bpf_map_lookup_elem(&segments, &index);
	struct stall_now now = { .now = pass.now, .threshold = threshold_ns };
	u64 word, value, was, due = ~0ULL, i = slot;
	struct event_slot e = {};
	struct stall_slot *s, before;
	struct proc *p;
	u32 proc;

	barrier_u64(i);
	if (!seg || i >= SEGMENT_SLOTS)
		return 0;
	proc = seg->proc;
	p = bpf_map_lookup_elem(&procs, &proc);
	if (!p)
		return 0;
	if (read_word(seg, i, &word, &value)) {
		count(COUNT_WORD_MOVING);
		judge_again_at(pass.now + PASS_FLOOR_NS);
		return 0;
	}
	now.now += p->clock_off;
	now.floor = p->start_ns;
	now.pause = &p->pause;
	e.page = seg->page;
	e.slot = seg->first + i;
	e.word_now = word;
	e.value = value;
	s = &seg->slot[i];
	/* an end, and what the slot does now */
#pragma clang loop unroll(disable)
	for (int turn = 0; turn < 2; turn++) {
		enum stall_verdict verdict;

		before = *s;
		verdict = stall_judge(s, word, &now, &was, &due);
		if (verdict == STALL_NONE)
			break;
		e.type = event_of(verdict);
		e.word = was;
		e.flags = p->pause.total != s->pause_base ? EVENT_PAUSED : 0;
		if (judge_on_cpu(proc))
			e.flags |= EVENT_ON_CPU;
		if (!judge_tell(p, (void *)&e, sizeof(e), COUNT_VERDICTS)) {
			*s = before;
			break;
		}
	}
	if (s->told)
		pass.watchful = 1;
	if (due != ~0ULL)
		judge_again_at(due - p->clock_off);
	return 0;
}

/*
 * The facts of a page (how many slots, which are counters) are the loader's. When they may have
 * changed, it is told, and gets a moment before its page is judged; but never twice in a row, or a
 * target that makes trackers all the time would never be judged.
 */
static __always_inline bool skip_page(struct segment *head, struct proc *p)
{
	u64 now = READ_ONCE(head->seq) & 1, generation;

	if (head->v0)
		return false;
	if (head->decided == pass.seq)
		return head->skip;
	barrier_u64(now);
	now &= 1;
	generation = READ_ONCE(head->raw[now][1]);
	head->decided = pass.seq;
	if (generation == head->generation) {
		head->skip = 0;
		return false;
	}
	if (generation != head->asked && tell_proc(EVENT_GENERATION, p, head->page, generation))
		head->asked = generation;
	head->skip = !head->skip;
	if (head->skip) {
		count(COUNT_GENERATION_SKIPS);
		judge_again_at(pass.now + REFRESH_NS);
	}
	return head->skip;
}

/* Most slots are idle and have nothing told: they cost two loads. */
static __always_inline bool is_quiet(struct segment *seg, u64 i, u64 now)
{
	u64 word;

	if (seg->v0 || seg->has_counters)
		word = seg->counter[i].word | seg->raw[now][SEGMENT_HEAD + i];
	else
		word = seg->raw[now][SEGMENT_HEAD + i];
	return !(word & 1) && !seg->slot[i].open && !seg->slot[i].told;
}

__noinline int judge_segment(u32 index)
{
	struct segment *seg = bpf_map_lookup_elem(&segments, &index), *head;
	u32 proc, first;
	struct proc *p;
	u64 now;

	if (!seg || !READ_ONCE(seg->live))
		return 0;
	proc = seg->proc;
	first = seg->head;
	p = bpf_map_lookup_elem(&procs, &proc);
	head = bpf_map_lookup_elem(&segments, &first);
	if (!p || !READ_ONCE(p->live) || !head)
		return 0;
	pass.watched++;
	if (READ_ONCE(seg->unread) == SEGMENT_UNREAD &&
	    tell_proc(EVENT_UNREAD, p, seg->page, index))
		WRITE_ONCE(seg->unread, SEGMENT_ASKED);
	if (!READ_ONCE(seg->seq) || skip_page(head, p))
		return 0;
	now = READ_ONCE(seg->seq) & 1;
	barrier_u64(now);
	now &= 1;
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < SEGMENT_SLOTS; i++) {
		if (i >= seg->n)
			break;
		if (!is_quiet(seg, i, now))
			judge_slot(index, i);
	}
	return 0;
}

/* After the pass, so that the time it took is not added to the delay. */
static __always_inline void arm(struct timer_slot *t)
{
	u64 period = least_ns > 2 * tick_ns ? least_ns - tick_ns : tick_ns;
	u64 now = bpf_ktime_get_ns(), took = now - pass.now, at;

	pass.passes++;
	pass.pass_ns += took;
	if (took > pass.pass_max_ns)
		pass.pass_max_ns = took;
	judge_again_at(pass.now + (pass.watchful ? tick_ns : period));
	at = pass.deadline;
	if ((s64)(at - now) < PASS_FLOOR_NS)
		at = now + PASS_FLOOR_NS;
	if (!pass.watched) {
		pass.armed_ns = 0;
	} else {
		pass.armed_ns = at;
		if (bpf_timer_start(&t->timer, at - now, 0))
			count(COUNT_TIMER_GONE);
	}
	/* The loader sets `kick`, then starts the timer: our start may have come after his. */
	if (__sync_lock_test_and_set(&pass.kick, 0))
		bpf_timer_start(&t->timer, 0, 0);
}

static int judge_pass(void *map, u32 *key, struct timer_slot *t)
{
	__sync_fetch_and_add(&pass.seq, 1);
	pass.now = bpf_ktime_get_ns();
	pass.gap = 0;
	if (pass.armed_ns && (s64)(pass.now - pass.armed_ns) > (s64)(GAP_TICKS * tick_ns)) {
		pass.gap = pass.now - pass.armed_ns;
		count(COUNT_GAPS);
	}
	pass.deadline = pass.now + (1ULL << 62);
	pass.watchful = 0;
	pass.watched = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < TABLE_MAX_PROCS; i++) {
		if (i >= proc_cnt || i >= READ_ONCE(pass.procs))
			break;
		judge_look_at(i);
		loop_judge(i); /* first: who keeps the GIL in a long step is told by that */
		gil_judge(i);
	}
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < TABLE_MAX_SEGMENTS; i++) {
		if (i >= segment_cnt || i >= READ_ONCE(pass.segments))
			break;
		judge_segment(i);
	}
	__sync_fetch_and_add(&pass.seq, 1);
	arm(t);
	return 0;
}

/* A pass now. Run by the loader, which has set pass.kick; the first call makes the timer. */
SEC("syscall")
int judge_kick(void *ctx)
{
	u32 zero = 0;
	struct timer_slot *t = bpf_map_lookup_elem(&timers, &zero);

	if (!t)
		return 1;
	/* 1: CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns(); it exists already on later calls */
	if (!bpf_timer_init(&t->timer, &timers, 1) && bpf_timer_set_callback(&t->timer, judge_pass))
		return 2;
	return bpf_timer_start(&t->timer, 0, 0) ? 3 : 0;
}
