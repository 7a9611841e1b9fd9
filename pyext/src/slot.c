// SPDX-License-Identifier: MIT OR Apache-2.0
#include <errno.h>

/* For Py_GIL_DISABLED alone: nothing here knows of Python objects. */
#include <pyconfig.h>

#include "slot.h"
#include "thread.h"

#define unlikely(x) __builtin_expect(!!(x), 0)

/* Stamps are rounded down, so that a reader never sees a start in the future. */
__u64 slot_active_word(__u64 old)
{
	__u64 now = (slot_clock_ns() - 1) | 1;

	return now > old ? now : old + (old & 1 ? 2 : 1);
}

__u64 slot_idle_word(__u64 old)
{
	__u64 now = slot_clock_ns() & ~1ULL;

	return now > old ? now : old + (old & 1 ? 1 : 2);
}

/* Reads owner and word so that a later compare-and-swap of the word fails if it was closed. */
static inline struct slot *slot__read(struct slot **owner, __u64 *word)
{
	struct slot *s = __atomic_load_n(owner, __ATOMIC_ACQUIRE);

	if (unlikely(!s))
		return NULL;
	*word = __atomic_load_n(s->word, __ATOMIC_ACQUIRE);
	return __atomic_load_n(owner, __ATOMIC_ACQUIRE) == s ? s : NULL;
}

static inline uint32_t slot__flags(const struct slot *s)
{
	return __atomic_load_n(&s->flags, __ATOMIC_RELAXED);
}

static inline bool slot__compare_swap(struct slot *s, __u64 old, __u64 new)
{
	return __atomic_compare_exchange_n(s->word, &old, new, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

/*
 * The change that a tracker's own methods make. Where there is a GIL they hold that of the
 * interpreter that owns the tracker, so nobody changes the word between their reading and storing
 * it, unless it is a counter: no need of a locked instruction.
 */
static inline bool slot__swap(struct slot *s, __u64 old, __u64 new)
{
#ifndef Py_GIL_DISABLED
	if (!(slot__flags(s) & SLOT_IS_COUNTER)) {
		__atomic_store_n(s->word, new, __ATOMIC_RELEASE);
		return true;
	}
#endif
	return slot__compare_swap(s, old, new);
}

/* True once for a slot that fork or exit made idle behind its owner's back. */
static bool slot__forgive(struct slot *s)
{
	uint32_t old = __atomic_fetch_and(&s->flags, ~(uint32_t)SLOT_FORCED_IDLE, __ATOMIC_RELAXED);

	return old & SLOT_FORCED_IDLE;
}

/* Who has made it active. */
static inline void slot__note_thread(struct slot *s)
{
	uint32_t tid = thread_tid();

	if (unlikely(__atomic_load_n(&s->meta->active_tid, __ATOMIC_RELAXED) != tid))
		__atomic_store_n(&s->meta->active_tid, tid, __ATOMIC_RELAXED);
}

int slot__go_active(struct slot **owner)
{
	uint32_t flags;
	struct slot *s;
	__u64 old, new;

	do {
		s = slot__read(owner, &old);
		if (unlikely(!s))
			return -EBADF;
		if (unlikely(old & 1))
			return -EALREADY;
		flags = slot__flags(s);
		if (unlikely(flags))
			slot__forgive(s);
		new = unlikely(flags & SLOT_IS_COUNTER) ? old + 1 : slot_active_word(old);
	} while (!slot__swap(s, old, new));

	slot__note_thread(s);
	return 0;
}

/*
 * The end of a section that is long enough for the history. Two threads that end the same section
 * (without a GIL; one of them is told so) write the same entry, with ends that are as good as
 * equal.
 */
static bool slot__swap_long(struct slot *s, __u64 old, __u64 new)
{
	struct slot_meta *m = s->meta;
	uint32_t cnt = __atomic_load_n(&m->past_cnt, __ATOMIC_ACQUIRE);
	struct slot_past *past = &m->past[cnt % SLOT_PAST];

	__atomic_store_n(&past->start, old, __ATOMIC_RELAXED);
	__atomic_store_n(&past->end, new, __ATOMIC_RELAXED);
	if (!slot__swap(s, old, new))
		return false;
	__atomic_store_n(&m->past_cnt, cnt + 1, __ATOMIC_RELEASE);
	return true;
}

/* Stores @new, which ends the section of the active word @old. */
static inline bool slot__swap_end(struct slot *s, __u64 old, __u64 new)
{
	if (unlikely(new - old > SLOT_DEFAULT_LONG_NS && !(slot__flags(s) & SLOT_IS_COUNTER)))
		return slot__swap_long(s, old, new);
	return slot__swap(s, old, new);
}

int slot__go_idle(struct slot **owner)
{
	struct slot *s;
	__u64 old, new;

	do {
		s = slot__read(owner, &old);
		if (unlikely(!s))
			return -EBADF;
		if (unlikely(!(old & 1)))
			return slot__forgive(s) ? 0 : -EALREADY;
		new = unlikely(slot__flags(s) & SLOT_IS_COUNTER) ? old + 1 : slot_idle_word(old);
	} while (!slot__swap_end(s, old, new));
	return 0;
}

int slot__is_active(struct slot **owner)
{
	__u64 word;

	if (!slot__read(owner, &word))
		return -EBADF;
	return word & 1;
}

void slot__end(struct slot *s)
{
	__u64 old, new;

	do {
		old = __atomic_load_n(s->word, __ATOMIC_ACQUIRE);
		if (slot__flags(s) & SLOT_IS_COUNTER)
			new = old + (old & 1 ? 1 : 2);
		else
			new = slot_idle_word(old);
	} while (!(old & 1 ? slot__swap_end(s, old, new) : slot__swap(s, old, new)));
}
