// SPDX-License-Identifier: MIT OR Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "page.h"
#include "registry.h"
#include "thread.h"

#define REGISTRY_MAX_PAGES 64

static struct {
	pthread_mutex_t lock;
	struct page *first; /* in the order in which they were made */
	bool finalized;
	uint32_t forker_tid;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A page with a free slot, its number in *index. NULL with errno. */
static struct page *find_room(const struct slot_spec *spec, uint32_t *index)
{
	struct page **link = &registry.first;
	int i, cnt = 0;

	for (; *link; link = &(*link)->next, cnt++) {
		i = page__find_free(*link, spec->thread_ident, spec->own_line);
		if (i >= 0) {
			*index = (uint32_t)i;
			return *link;
		}
	}
	if (cnt == REGISTRY_MAX_PAGES) {
		errno = ENOSPC;
		return NULL;
	}
	*link = page__new();
	*index = 0;
	/* A reader that knows the first page looks for others when that one says so. */
	if (*link && cnt)
		page__touch(registry.first);
	return *link;
}

/* The longest part of @name that fits and does not end within a character. */
static size_t name_fit(const char *name, size_t len)
{
	if (len <= SLOT_NAME_CAP)
		return len;
	len = SLOT_NAME_CAP;
	while (len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static void describe(struct slot_meta *m, const struct slot_spec *spec)
{
	size_t len = name_fit(spec->name, spec->name_len);

	m->thread_ident = spec->thread_ident;
	m->hint_tid = spec->hint_tid;
	m->active_tid = 0;
	m->flags = len < spec->name_len ? SLOT_NAME_CUT : 0;
	m->progress_addr = spec->progress_addr;
	m->idle_fd = spec->progress_addr ? spec->idle_fd : -1;
	m->interp_id = spec->interp_id;
	m->tstate = spec->tstate;
	/*
	 * `past` stays: its entries name their sections by words, which no other tracker has, and a
	 * reader may still look for the last one of the tracker before.
	 */
	m->name_len = (__u16)len;
	memcpy(m->name, spec->name, len);
	memset(m->name + len, 0, SLOT_NAME_CAP - len);
	__atomic_store_n(&m->kind, spec->progress_addr ? SLOT_LOOP : SLOT_STAMP, __ATOMIC_RELEASE);
}

struct slot *registry__acquire(const struct slot_spec *spec)
{
	struct slot *s = NULL;
	struct page *p;
	uint32_t index;
	int err = 0;

	pthread_mutex_lock(&registry.lock);
	p = find_room(spec, &index);
	if (!p) {
		err = errno;
		goto out;
	}
	s = &p->slot[index];
	s->flags = 0;
	describe(s->meta, spec);
	page__set_used(p, index, true);
	/* Last: a reader that sees it active, or is told to look, finds everything else in place.
	 */
	if (spec->progress_addr)
		page__touch(p);
	else
		slot__go_active(&s);
out:
	pthread_mutex_unlock(&registry.lock);
	errno = err;
	return s;
}

void registry__release(struct slot *s)
{
	bool was_loop;
	struct page *p;

	if (!s)
		return;
	p = s->page;
	pthread_mutex_lock(&registry.lock);
	slot__end(s);
	if (s->flags & SLOT_IS_COUNTER) {
		/* The foreign code may still add to it: nobody else may own that word. */
		s->meta->flags |= SLOT_CLOSED;
	} else {
		was_loop = s->meta->kind == SLOT_LOOP;
		__atomic_store_n(&s->meta->kind, SLOT_FREE, __ATOMIC_RELEASE);
		s->meta->reuse_seq++;
		page__set_used(p, s->index, false);
		if (was_loop)
			page__touch(p);
	}
	pthread_mutex_unlock(&registry.lock);
}

__u64 *registry__make_counter(struct slot **owner)
{
	struct slot *s;

	pthread_mutex_lock(&registry.lock);
	s = __atomic_load_n(owner, __ATOMIC_ACQUIRE);
	if (s && !(s->flags & SLOT_IS_COUNTER)) {
		__atomic_fetch_or(&s->flags, SLOT_IS_COUNTER, __ATOMIC_RELAXED);
		__atomic_store_n(&s->meta->kind, SLOT_COUNTER, __ATOMIC_RELEASE);
		page__touch(s->page);
	}
	pthread_mutex_unlock(&registry.lock);
	return s ? s->word : NULL;
}

/* Makes the trackers of one interpreter (or of all: NULL) idle; counters are not ours to stop. */
static void idle_all(const uint32_t *interp_id)
{
	struct page *p;
	struct slot *s;
	uint32_t i;

	for (p = registry.first; p; p = p->next) {
		for (i = 0; i < p->pub->in_use; i++) {
			s = &p->slot[i];
			if (s->meta->kind != SLOT_STAMP || (s->flags & SLOT_IS_COUNTER))
				continue;
			if (interp_id && s->meta->interp_id != *interp_id)
				continue;
			if (!(__atomic_load_n(s->word, __ATOMIC_RELAXED) & 1))
				continue;
			__atomic_fetch_or(&s->flags, SLOT_FORCED_IDLE, __ATOMIC_RELAXED);
			slot__end(s);
		}
	}
}

void registry__retire(uint32_t interp_id)
{
	pthread_mutex_lock(&registry.lock);
	idle_all(&interp_id);
	pthread_mutex_unlock(&registry.lock);
}

void registry__set_finalized(bool on)
{
	struct page *p;

	pthread_mutex_lock(&registry.lock);
	if (registry.finalized != on) {
		registry.finalized = on;
		if (on)
			idle_all(NULL);
		for (p = registry.first; p; p = p->next)
			page__set_finalized(p, on);
	}
	pthread_mutex_unlock(&registry.lock);
}

void registry__before_fork(void)
{
	struct page *p;

	pthread_mutex_lock(&registry.lock);
	registry.forker_tid = thread_tid();
	for (p = registry.first; p; p = p->next)
		page__save(p);
}

void registry__after_fork_parent(void)
{
	pthread_mutex_unlock(&registry.lock);
}

void registry__after_fork_child(void)
{
	struct page_forker who = {
		.ident = (uint64_t)pthread_self(),
		.parent_tid = registry.forker_tid,
		.child_tid = thread_ask_tid(),
	};
	struct page *p;

	for (p = registry.first; p; p = p->next)
		page__restore(p, &who);
	pthread_mutex_unlock(&registry.lock);
}
