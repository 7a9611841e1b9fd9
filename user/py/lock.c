// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/lock.h"

#include <errno.h>
#include <string.h>

#include "proc/syscall.h"
#include "py/object.h"

#define WORDS 48 /* of a frame: locals and value stack */
#define THREAD_FRAMES 32 /* of one thread, in which a holder is looked for */
#define MIN_ADDR 4096
#define MUTEX_PARKED 3 /* of a PyMutex (3.14): locked, and somebody waits */
#define EXIT "__exit__"

/* Where fields lie behind the head of an object: the same from 3.9 to 3.15. */
#define LOCK_WORD 0 /* lock, RLock: the semaphore's address (3.13), or the mutex (3.14) */
#define RLOCK_OWNER 8
#define BUILTIN_DEF 0 /* of a builtin method: its PyMethodDef, which begins with the name */
#define BUILTIN_SELF 8
#define DESCRIPTOR_NAME 8 /* of a method descriptor: a str */

/* The words of one frame, and of those that may be objects the type. */
struct words {
	uint64_t word[WORDS], type[WORDS];
	size_t cnt;
};

struct search {
	const struct py_target *target;
	struct kinds *kinds;
	uint64_t head; /* bytes of the head of an object */
};

static bool may_be_object(uint64_t word)
{
	return word >= MIN_ADDR && word % 8 == 0;
}

/* What follows a frame may not be there: then as much as is. */
static int read_words(const struct search *s, uint64_t frame, struct words *out)
{
	const struct py_layout *l = &s->target->layout;
	struct mem_range range[WORDS];
	size_t n = 0;
	int err;

	memset(out, 0, sizeof(*out));
	for (out->cnt = WORDS; out->cnt; out->cnt /= 2) {
		err = mem__read(s->target->mem, frame + l->locals.first, out->word,
				out->cnt * sizeof(out->word[0]));
		if (err != -EFAULT)
			break;
	}
	if (err)
		return err;
	for (size_t i = 0; i < out->cnt; i++) {
		out->word[i] &= ~(uint64_t)l->locals.tag_mask;
		if (may_be_object(out->word[i]))
			range[n++] = (struct mem_range){ out->word[i] + l->object.type,
							 &out->type[i], 8, 0 };
	}
	err = mem__readv(s->target->mem, range, n);
	for (size_t i = 0; i < n; i++)
		if (range[i].err)
			memset(range[i].buf, 0, 8);
	return err == -EFAULT ? 0 : err;
}

static bool is_type(const struct search *s, uint64_t type, const char *name)
{
	const struct kind *k = may_be_object(type) ? kinds__get(s->kinds, type) : NULL;

	return k && !strcmp(k->name, name);
}

static uint64_t field(const struct search *s, uint64_t object, uint64_t at)
{
	uint64_t value = 0;

	mem__read_u64(s->target->mem, object + s->head + at, &value);
	return value;
}

static enum py_lock_kind kind_of(const struct search *s, uint64_t type)
{
	if (is_type(s, type, "_thread.RLock"))
		return PY_LOCK_RLOCK;
	return is_type(s, type, "_thread.lock") ? PY_LOCK_LOCK : PY_LOCK_NONE;
}

/* The lock that word I of a frame is, or whose bound method it is. */
static enum py_lock_kind lock_at(const struct search *s, const struct words *w, size_t i,
				 uint64_t *lock)
{
	uint64_t type = 0;

	*lock = w->word[i];
	if (!is_type(s, w->type[i], "builtin_function_or_method"))
		return kind_of(s, w->type[i]);
	*lock = field(s, w->word[i], BUILTIN_SELF);
	if (!may_be_object(*lock) ||
	    mem__read_u64(s->target->mem, *lock + s->target->layout.object.type, &type))
		return PY_LOCK_NONE;
	return kind_of(s, type);
}

/* The lock that a thread waits for in the frame at ADDR, whose futex is at FUTEX. */
static int find_waited(const struct search *s, uint64_t addr, uint64_t futex, struct py_lock *out)
{
	struct words w;
	int err = read_words(s, addr, &w);

	for (size_t i = 0; !err && i < w.cnt; i++) {
		uint64_t lock, word;
		enum py_lock_kind kind = w.type[i] ? lock_at(s, &w, i, &lock) : PY_LOCK_NONE;

		if (kind == PY_LOCK_NONE)
			continue;
		word = field(s, lock, LOCK_WORD);
		if (word != futex && (word & 0xff) != MUTEX_PARKED)
			continue;
		out->kind = kind;
		out->addr = lock;
		if (word == futex)
			break;
	}
	return err == -EFAULT ? 0 : err;
}

static size_t thread_with_ident(const struct py_snapshot *snap, uint64_t ident)
{
	for (size_t i = 0; ident && i < snap->nthreads; i++)
		if (snap->thread[i].ident == ident)
			return i;
	return PY_NO_INDEX;
}

/* glibc's pthread_mutex_t: lock, count, owner */
static void find_mutex(const struct search *s, const struct py_snapshot *snap, size_t waiter,
		       uint64_t futex, struct py_lock *out)
{
	uint32_t word[3];

	if (mem__read(s->target->mem, futex, word, sizeof(word)) || !word[0] || !word[2])
		return;
	for (size_t i = 0; i < snap->nthreads; i++) {
		if (i == waiter || snap->thread[i].ns_tid != (pid_t)word[2])
			continue;
		*out = (struct py_lock){ PY_LOCK_C, futex, i };
	}
}

/* Is the method of a lock whose PyMethodDef is at DEF its __exit__? */
static bool is_exit(const struct search *s, uint64_t def)
{
	uint64_t name = 0;
	char text[sizeof(EXIT)];

	return !mem__read_u64(s->target->mem, def, &name) &&
	       !mem__read(s->target->mem, name, text, sizeof(text)) &&
	       !memcmp(text, EXIT, sizeof(text));
}

static bool is_exit_descriptor(const struct search *s, uint64_t descriptor)
{
	struct strbuf text = STRBUF_INIT;
	bool is;

	is = !object__str(s->target, field(s, descriptor, DESCRIPTOR_NAME), sizeof(EXIT), &text) &&
	     strbuf_str(&text) && !strcmp(strbuf_str(&text), EXIT);
	strbuf_free(&text);
	return is;
}

/* Does the frame have the exit of LOCK on its stack: the bound method, or (3.14) both apart? */
static bool holds_in(const struct search *s, const struct words *w, uint64_t lock)
{
	for (size_t i = 0; i < w->cnt; i++) {
		if (!w->type[i])
			continue;
		if (is_type(s, w->type[i], "builtin_function_or_method") &&
		    field(s, w->word[i], BUILTIN_SELF) == lock &&
		    is_exit(s, field(s, w->word[i], BUILTIN_DEF)))
			return true;
		if (i && w->word[i] == lock && is_type(s, w->type[i - 1], "method_descriptor") &&
		    is_exit_descriptor(s, w->word[i - 1]))
			return true;
	}
	return false;
}

static int find_holder(const struct search *s, const struct py_snapshot *snap,
		       const struct py_lock *lock, size_t waiter, size_t *budget, size_t *holder)
{
	struct words w;
	int err;

	for (size_t i = 0; i < snap->nthreads; i++) {
		const struct py_thread *th = &snap->thread[i];

		if (i == waiter || lock[i].addr == lock[waiter].addr)
			continue;
		for (size_t k = 0; k < th->nframes && k < THREAD_FRAMES; k++) {
			if (!*budget)
				return 0;
			--*budget;
			err = read_words(s, th->frame[k].addr, &w);
			if (err && err != -EFAULT)
				return err;
			if (!err && holds_in(s, &w, lock[waiter].addr)) {
				*holder = i;
				return 0;
			}
		}
	}
	return 0;
}

static bool waits_for_lock(const struct py_thread *th)
{
	return th->state == PY_BLOCKED && th->knows_call && !th->waits_gil && th->nframes &&
	       syscall_about(th->call.nr) == SYSCALL_FUTEX;
}

int locks__find(const struct py_target *t, struct kinds *kinds, const struct py_snapshot *snap,
		struct py_lock *out)
{
	struct search s = { t, kinds, t->layout.object.var_size };
	size_t waiters = 0, budget = LOCK_MAX_FRAMES;
	int err = 0;

	kinds__begin(kinds);
	for (size_t i = 0; i < snap->nthreads; i++)
		out[i] = (struct py_lock){ .holder = PY_NO_INDEX };
	for (size_t i = 0; !err && i < snap->nthreads; i++) {
		const struct py_thread *th = &snap->thread[i];

		if (!waits_for_lock(th) || waiters == LOCK_MAX_WAITERS)
			continue;
		waiters++;
		err = find_waited(&s, th->frame[0].addr, th->call.arg[0], &out[i]);
		if (out[i].kind == PY_LOCK_NONE)
			find_mutex(&s, snap, i, th->call.arg[0], &out[i]);
	}
	for (size_t i = 0; !err && i < snap->nthreads; i++) {
		if (out[i].kind == PY_LOCK_RLOCK)
			out[i].holder =
				thread_with_ident(snap, field(&s, out[i].addr, RLOCK_OWNER));
		else if (out[i].kind == PY_LOCK_LOCK)
			err = find_holder(&s, snap, out, i, &budget, &out[i].holder);
	}
	return err;
}
