// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * pywalk.bpf.c - the Python stack of the thread that a tick has just interrupted. It stands still
 * meanwhile, so what it alone writes (its thread state, its frames) is read without a tear.
 *
 * One request at a time, put into `walks` by the loader, which then opens a cpu-clock event of its
 * own on the thread; who changes the request's state from WANTED to TAKEN has the scratch.
 * Which of KERNEL.md 10's rules of acceptance are applied here: 2 and 3, for which the chain must
 * be seen as it is now. Rule 1 is user/py's.
 *
 * The state of the walk lives in map memory, not in registers.
 */
#include "bpf/core.bpf.h"
#include "bpf/task.bpf.h"
#include "bpf/walk.bpf.h"

struct walks_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct walk);
};
struct walks_map walks SEC(".maps");

struct stacks_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
};
struct stacks_map stacks SEC(".maps");

__u32 walk_wanted;

/* An offset inside the bytes of a frame, from which 8 can be read. */
#define FRAME_OFF(x) ((x)&0x78)

static __always_inline int read_user_u64(u64 *out, u64 addr)
{
	return bpf_probe_read_user(out, sizeof(*out), (void *)addr);
}

/* The number of TASK in the pid namespace of depth LEVEL, 0 = none; ~0: its own. */
static __always_inline u32 task_nr(struct task_struct *task, u32 level)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 depth, nr = 0;
	struct upid *at;

	if (!pid)
		return 0;
	depth = BPF_CORE_READ(pid, level);
	if (level == ~0U)
		level = depth;
	if (level > depth)
		return 0;
	at = (void *)((u64)pid + bpf_core_field_offset(struct pid, numbers) +
		      (u64)level * bpf_core_type_size(struct upid));
	nr = BPF_CORE_READ(at, nr);
	return nr;
}

/* Which thread runs the thread state, by what the target wrote there. */
static __always_inline int read_native_id(struct walk *w, u32 *id)
{
	u64 pthread = 0, word = 0;
	int err;

	if (w->layout.ts_native_id == PYWALK_NONE) {
		if (read_user_u64(&pthread, w->request.tstate + w->layout.ts_thread_id))
			return -1;
		return bpf_probe_read_user(id, sizeof(*id),
					   (void *)(pthread + w->layout.pthread_tid));
	}
	err = read_user_u64(&word, w->request.tstate + w->layout.ts_native_id);
	*id = (u32)word;
	return err;
}

/* Where the chain begins. Flags of the record, 0 = there is a frame at w->at. */
static __always_inline u32 find_top(struct walk *w)
{
	u64 frame = 0, outer = 0;
	u32 id = 0;

	w->caller = 0;
	w->unmarked = w->layout.f_mark != PYWALK_NONE;
	if (read_native_id(w, &id))
		return PYWALK_FAULT;
	if (id != task_nr(bpf_get_current_task_btf(), ~0U))
		return PYWALK_OTHER;
	if (read_user_u64(&frame, w->request.tstate + w->layout.ts_frame))
		return PYWALK_FAULT;
	if (w->layout.cf_frame != PYWALK_NONE) {
		u64 cframe = frame;

		if (read_user_u64(&outer, cframe + w->layout.cf_prev) ||
		    read_user_u64(&frame, cframe + w->layout.cf_frame))
			return PYWALK_FAULT;
		if (outer && read_user_u64(&w->caller, outer + w->layout.cf_frame))
			return PYWALK_FAULT;
	}
	w->at = frame;
	return frame ? 0 : PYWALK_NOFRAME;
}

/*
 * Takes the frame at w->at, and where the next one is. Flags when the walk is over. A global
 * function: inlined, its registers push the loop's counter onto the stack, where 5.15 forgets it
 * and takes the loop for an infinite one.
 */
__noinline int pywalk_take_frame(void)
{
	u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	struct pywalk_frame *out;
	u64 n, at, prev;
	u32 owner;

	if (!w)
		return PYWALK_FAULT;
	n = *(volatile u32 *)&w->record.nframes;
	at = *(volatile u64 *)&w->at;
	if (!at) /* ended without an entry frame: the words were those of an older call */
		return w->unmarked ? PYWALK_STALE : PYWALK_COMPLETE;
	barrier_u64(n);
	if (n >= PYWALK_FRAMES)
		return PYWALK_LIMIT;
	if (bpf_probe_read_user(w->frame, w->layout.f_size & 0x7f, (void *)at))
		return w->unmarked ? PYWALK_STALE : PYWALK_FAULT;
	prev = *(u64 *)(w->frame + FRAME_OFF(w->layout.f_prev));
	owner = 0;
	if (w->layout.f_owner != PYWALK_NONE)
		owner = w->frame[w->layout.f_owner & 0x7f];
	/* 3.12: a generator that yields clears `previous` before the current frame moves on */
	if (!prev && w->layout.gen_owner != PYWALK_NONE && owner == w->layout.gen_owner)
		return PYWALK_STALE;
	/* 3.11, 3.12: tstate.cframe is set before its fields are. The first entry frame must lead
	 * to the caller's current frame, or nothing here is of this call. */
	if (w->unmarked && w->frame[w->layout.f_mark & 0x7f] == w->layout.mark_val) {
		w->unmarked = 0;
		if (prev != w->caller)
			return PYWALK_STALE;
	}
	out = &w->record.frame[n];
	out->addr = at;
	out->code = *(u64 *)(w->frame + FRAME_OFF(w->layout.f_code));
	out->instr = *(u64 *)(w->frame + FRAME_OFF(w->layout.f_instr));
	out->owner = owner;
	out->pad0 = 0;
	*(volatile u32 *)&w->record.nframes = n + 1;
	*(volatile u64 *)&w->at = prev;
	return 0;
}

static __always_inline void count_flags(u32 flags)
{
	if (flags & PYWALK_OTHER)
		count(COUNT_WALK_OTHER);
	if (flags & PYWALK_STALE)
		count(COUNT_WALK_STALE);
	if (flags & PYWALK_FAULT)
		count(COUNT_WALK_FAULT);
}

/* Registers and C stack, from which the loader finds the native frames. A page of the stack that is
 * not there ends it. */
__noinline int pywalk_take_native(void)
{
	u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	struct task_struct *task = bpf_get_current_task_btf();
	u64 len = 0, sp = task_sp(task);

	if (!w)
		return 0;
	w->record.native.ip = task_ip(task);
	w->record.native.sp = sp;
	w->record.native.fp = task_fp(task);
#pragma clang loop unroll(full)
	for (int i = 0; i < PYWALK_STACK / PYWALK_CHUNK; i++) {
		if (bpf_probe_read_user(w->record.native.stack + i * PYWALK_CHUNK, PYWALK_CHUNK,
					(void *)(sp + i * PYWALK_CHUNK)))
			break;
		len += PYWALK_CHUNK;
	}
	w->record.native.stack_len = len;
	return 0;
}

/* The one request was claimed: walk, and send what there is. */
__noinline int walk_current(void)
{
	u32 zero = 0, flags;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	u64 len, n;

	if (!w)
		return 0;
	w->record.type = EVENT_PYWALK;
	w->record.proc = w->request.proc;
	w->record.taken_ns = bpf_ktime_get_ns();
	w->record.tid = (u32)bpf_get_current_pid_tgid();
	w->record.tstate = w->request.tstate;
	w->record.request = w->request.cookie;
	w->record.nframes = 0;
	w->record.pad0 = 0;
	flags = find_top(w);
#pragma clang loop unroll(disable)
	for (int i = 0; i <= PYWALK_FRAMES; i++) {
		if (flags)
			break;
		flags = pywalk_take_frame();
	}
	w->record.flags = flags;
	pywalk_take_native();
	count(COUNT_WALKS);
	count_flags(flags);
	n = *(volatile u32 *)&w->record.nframes;
	barrier_u64(n);
	if (n > PYWALK_FRAMES)
		return 0;
	len = __builtin_offsetof(struct pywalk_record, frame) + n * sizeof(struct pywalk_frame);
	if (bpf_ringbuf_output(&stacks, &w->record, len, 0))
		count(COUNT_WALK_FULL);
	return 0;
}

static __always_inline bool claim(struct walk *w)
{
	return __sync_val_compare_and_swap(&w->request.state, WALK_WANTED, WALK_TAKEN) ==
	       WALK_WANTED;
}

/* Attached to an event of the thread that is wanted: whoever it interrupts is the one. */
SEC("perf_event")
int pywalk_once(void *ctx)
{
	u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	long len;

	if (!w || !claim(w)) {
		count(COUNT_WALK_REPEATS);
		return 0;
	}
	len = bpf_get_stack(ctx, w->record.native.kernel, sizeof(w->record.native.kernel), 0);
	w->record.native.nkernel = len > 0 ? len / sizeof(u64) : 0;
	return walk_current();
}

/* Run once by the loader: how deep is its pid namespace, in which it knows threads? */
SEC("syscall")
int pywalk_level(void *ctx)
{
	u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);
	struct task_struct *task = bpf_get_current_task_btf();

	if (!w)
		return 1;
	w->request.level = BPF_CORE_READ(task, thread_pid, level);
	return 0;
}

__noinline int walk_if_wanted(void)
{
	u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&walks, &zero);

	if (!w || task_nr(bpf_get_current_task_btf(), w->request.level) != w->request.tid ||
	    !claim(w))
		return 0;
	w->record.native.nkernel = 0;
	return walk_current();
}
