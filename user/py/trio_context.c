// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/trio_context.h"

#include <errno.h>

#include "base/bytes.h"
#include "py/collection.h"
#include "py/object.h"
#include "py/python.h"

#define LOCAL_WORDS \
	8 /* of a threading.local, behind its head: which is what depends on the version */
#define TSTATE_BYTES 896 /* of a thread state: its key lies within */
#define TSTATE_BYTES_313 320
#define MAX_THREADS 4096 /* of a threading.local */

/* Where what is found goes. */
struct search {
	const struct py_target *target;
	struct kinds *kinds;
	const struct thread_refs *refs;
	struct trio_context *out;
	size_t max, cnt;
};

static bool is_final(int err)
{
	return err == -ENOMEM || err == -ESRCH || err == -EPERM;
}

static bool is_dict(const struct search *s, uint64_t addr)
{
	uint64_t type;

	return addr && addr % 8 == 0 && s->target->dict_type &&
	       !mem__read_u64(s->target->mem, addr + s->target->layout.object.type, &type) &&
	       type == s->target->dict_type;
}

/* Is the object at KEY the thread's? It is in the thread state itself (3.13), or in its dict. */
static bool has_key(const struct search *s, const struct thread_ref *ref, uint64_t key)
{
	const struct py_target *t = s->target;
	size_t len = t->layout.interp.size ? TSTATE_BYTES : TSTATE_BYTES_313;
	uint64_t word[TSTATE_BYTES / 8], dict;
	struct dict_entries entries;
	bool found = false;

	if (!t->layout.ts.dict) {
		if (mem__read(t->mem, ref->tstate, word, len))
			return false;
		for (size_t i = 0; i < len / 8; i++)
			found |= word[i] == key;
		return found;
	}
	if (mem__read_u64(t->mem, ref->tstate + t->layout.ts.dict, &dict) || !dict ||
	    object__dict(t, dict, &entries))
		return false;
	for (size_t i = 0; i < entries.cnt; i++)
		found |= entries.entry[i].value == key;
	dict_entries__free(&entries);
	return found;
}

/* KEY is an object that the thread alone has, or a weak reference to it. */
static size_t find_thread(const struct search *s, uint64_t key)
{
	const struct kind *k = kinds__of(s->kinds, key);

	if (k && k->class == KIND_WEAKREF)
		mem__read_u64(s->target->mem, key + s->target->layout.weakref.object, &key);
	for (size_t i = 0; key && i < s->refs->cnt && !py_target__late(s->target); i++)
		if (has_key(s, &s->refs->ref[i], key))
			return i;
	return PY_NO_INDEX;
}

/* The dict at ADDR may be that of a threading.local: keys of threads, and the dicts of them. */
static int take_dicts(struct search *s, uint64_t addr)
{
	struct dict_entries entries;
	uint64_t runner;
	int err = object__dict(s->target, addr, &entries);

	for (size_t i = 0; !err && i < entries.cnt && i < MAX_THREADS; i++) {
		const struct dict_entry *e = &entries.entry[i];

		if (s->cnt >= s->max || py_target__late(s->target))
			break;
		if (!e->key || !is_dict(s, e->value) ||
		    object__dict_get(s->target, e->value, "runner", &runner))
			continue;
		s->out[s->cnt++] = (struct trio_context){ runner, find_thread(s, e->key) };
	}
	if (!err)
		dict_entries__free(&entries);
	return is_final(err) ? err : 0;
}

static int search_interpreter(struct search *s, uint64_t interp)
{
	const struct py_target *t = s->target;
	uint64_t dict, local, word[LOCAL_WORDS];
	int err = module__dict(t, interp, "trio._core._run", &dict);

	if (!err)
		err = object__dict_get(t, dict, "GLOBAL_RUN_CONTEXT", &local);
	if (!err)
		err = mem__read(t->mem, local + t->layout.object.var_size, word, sizeof(word));
	for (size_t i = 0; !err && i < LOCAL_WORDS; i++)
		if (is_dict(s, word[i]))
			err = take_dicts(s, word[i]);
	return is_final(err) ? err : 0; /* Trio is not imported */
}

int trio_contexts__find(const struct py_target *t, struct kinds *kinds,
			const struct thread_refs *refs, struct trio_context *out, size_t max,
			size_t *cnt)
{
	struct search s = { t, kinds, refs, out, max, 0 };
	int err = 0;

	for (size_t i = 0; !err && i < refs->cnt; i++)
		if (!i || refs->ref[i].interp != refs->ref[i - 1].interp)
			err = search_interpreter(&s, refs->ref[i].interp);
	*cnt = s.cnt;
	return err;
}
