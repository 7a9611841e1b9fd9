// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/names.h"

#include <errno.h>
#include <stdlib.h>

#include "proc/memo.h"
#include "py/object.h"
#include "py/python.h"

#define MAX_NAME 128 /* characters of a thread's name */
#define MAX_ROUNDS 12 /* of reading what the last one missed */

/* Found once and then only checked: the search among the modules is what costs. */
struct registry {
	uint64_t interp;
	uint64_t module_dict; /* of threading; 0 = not found (not imported) */
};

struct name {
	uint64_t interp, ident;
	char *text; /* owned */
};

struct thread_names {
	const struct py_target *target;
	struct registry registry[PY_MAX_INTERPRETERS];
	size_t nregistry;
	struct name *name; /* owned */
	size_t cnt, cap;
	struct attribute_hint hint;
	/* What the search read, and for which interpreters: as long as that is the same, so are the
	 * names. */
	struct memo *memo;
	uint64_t interp[PY_MAX_INTERPRETERS];
	size_t ninterps;
};

struct thread_names *thread_names__new(const struct py_target *t)
{
	struct thread_names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	names->target = t;
	names->memo = memo__new();
	if (names->memo)
		return names;
	thread_names__free(names);
	return NULL;
}

static void clear(struct thread_names *names)
{
	for (size_t i = 0; i < names->cnt; i++)
		free(names->name[i].text);
	names->cnt = 0;
}

void thread_names__free(struct thread_names *names)
{
	if (!names)
		return;
	clear(names);
	memo__free(names->memo);
	free(names->name);
	free(names);
}

/* The dict of the module threading, by way of sys.modules. */
static int find_module(const struct py_target *t, uint64_t interp, uint64_t *dict)
{
	uint64_t modules, module;
	int err;

	err = mem__read_u64(t->mem, interp + t->layout.interp.modules, &modules);
	if (!err)
		err = object__dict_get(t, modules, "threading", &module);
	if (!err)
		err = mem__read_u64(t->mem, module + t->layout.module.dict, dict);
	return err;
}

static struct registry *registry_of(struct thread_names *names, uint64_t interp)
{
	size_t i;

	for (i = 0; i < names->nregistry; i++)
		if (names->registry[i].interp == interp)
			return &names->registry[i];
	/* interpreters come and go: the oldest entry makes room */
	i = names->nregistry < PY_MAX_INTERPRETERS ? names->nregistry++
						   : interp / 64 % PY_MAX_INTERPRETERS;
	names->registry[i] = (struct registry){ .interp = interp };
	return &names->registry[i];
}

static int find_active(struct thread_names *names, uint64_t interp, uint64_t *active)
{
	struct registry *r = registry_of(names, interp);
	int err = -ENOENT;

	if (r->module_dict)
		err = object__dict_get(names->target, r->module_dict, "_active", active);
	if (err) {
		r->module_dict = 0;
		err = find_module(names->target, interp, &r->module_dict);
		if (!err)
			err = object__dict_get(names->target, r->module_dict, "_active", active);
	}
	return err;
}

static int add(struct thread_names *names, uint64_t interp, uint64_t ident, char *text)
{
	size_t cap = names->cap ? names->cap * 2 : 16;
	struct name *more;

	if (names->cnt == names->cap) {
		more = realloc(names->name, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		names->name = more;
		names->cap = cap;
	}
	names->name[names->cnt++] = (struct name){ interp, ident, text };
	return 0;
}

/* -EAGAIN: not all of it is there yet. */
static int add_thread(struct thread_names *names, uint64_t interp, const struct dict_entry *e)
{
	const struct py_target *t = names->target;
	struct strbuf text = STRBUF_INIT;
	uint64_t ident, name;
	char *s;
	int err;

	err = object__u64(t, e->key, &ident);
	if (!err)
		err = object__attribute(t, e->value, "_name", &names->hint, &name);
	if (!err)
		err = object__str(t, name, MAX_NAME, &text);
	if (err) {
		strbuf_free(&text);
		return err == -EAGAIN ? err : 0;
	}
	s = strbuf_detach(&text);
	if (!s || add(names, interp, ident, s)) {
		free(s);
		return -ENOMEM;
	}
	return 0;
}

/* Those of ENTRIES that are still to be done; they are struck off. */
static int add_threads(struct thread_names *names, uint64_t interp, struct dict_entries *entries)
{
	int err = 0;

	for (size_t i = 0; i < entries->cnt && names->cnt < PY_MAX_THREADS; i++) {
		struct dict_entry *e = &entries->entry[i];

		if (py_target__late(names->target))
			break;
		if (e->key && e->value)
			err = add_thread(names, interp, e);
		if (err == -EAGAIN)
			continue;
		if (err)
			return err;
		e->key = 0;
	}
	return 0;
}

/* All threads side by side, as far as they go; then what they missed, and last whatever is left. */
static int load_interp(struct thread_names *names, uint64_t interp)
{
	struct mem *mem = names->target->mem;
	struct dict_entries entries;
	uint64_t active;
	int err = 0;

	if (find_active(names, interp, &active) || object__dict(names->target, active, &entries))
		return 0;
	mem__defer(mem, true);
	for (int round = 0; !err && round < MAX_ROUNDS && (!round || mem__catch_up(mem)); round++)
		err = add_threads(names, interp, &entries);
	mem__defer(mem, false);
	if (!err)
		err = add_threads(names, interp, &entries);
	dict_entries__free(&entries);
	return err;
}

static int by_ident(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	if (x->interp != y->interp)
		return x->interp < y->interp ? -1 : 1;
	return x->ident < y->ident ? -1 : x->ident > y->ident;
}

/* The interpreters of REFS, which lists them one after the other. True: they are those of the last
 * time. */
static bool note_interpreters(struct thread_names *names, const struct thread_refs *refs)
{
	size_t cnt = 0;
	bool same = true;

	for (size_t i = 0; i < refs->cnt && cnt < PY_MAX_INTERPRETERS; i++) {
		if (i && refs->ref[i].interp == refs->ref[i - 1].interp)
			continue;
		same = same && cnt < names->ninterps && names->interp[cnt] == refs->ref[i].interp;
		names->interp[cnt++] = refs->ref[i].interp;
	}
	same = same && cnt == names->ninterps;
	names->ninterps = cnt;
	return same;
}

static int load_all(struct thread_names *names)
{
	int err = 0;

	clear(names);
	names->hint = (struct attribute_hint){ 0 };
	for (size_t i = 0; !err && i < names->ninterps; i++)
		err = load_interp(names, names->interp[i]);
	if (names->cnt)
		qsort(names->name, names->cnt, sizeof(*names->name), by_ident);
	return err;
}

int thread_names__load(struct thread_names *names, const struct thread_refs *refs)
{
	struct mem *mem = names->target->mem;
	int err;

	if (note_interpreters(names, refs) && memo__holds(names->memo, mem))
		return 0;
	memo__begin(names->memo, mem);
	mem__use_pages(mem, true);
	err = load_all(names);
	mem__use_pages(mem, false);
	memo__end(names->memo, mem);
	if (err || py_target__late(names->target))
		memo__drop(names->memo);
	return err;
}

const char *thread_names__get(const struct thread_names *names, const struct thread_ref *ref)
{
	struct name key = { .interp = ref->interp, .ident = ref->ident };
	const struct name *found;

	if (!names->cnt)
		return NULL;
	found = bsearch(&key, names->name, names->cnt, sizeof(key), by_ident);
	return found ? found->text : NULL;
}
