// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/greenlets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "proc/maps.h"
#include "py/collection.h"
#include "py/frame.h"
#include "py/frames.h"
#include "py/gclist.h"
#include "py/kind.h"
#include "py/object.h"
#include "py/objects.h"
#include "py/tasktree.h"

#define MAX_GREENLETS 100000
#define MAX_LINKS (1u << 18) /* frames of all of them */
#define MAX_BASES 32 /* of a class */
#define MAX_PROBES 1024 /* greenlets that are tried to find where the frame is */
#define TYPES 1024 /* classes that are remembered: a power of two */
#define NO_LINK UINT32_MAX
#define IMPL_BYTES 160 /* of greenlet::Greenlet, all used fields lie within */
#define IMPL_SELF 8 /* behind the vtable: the greenlet object */
/* Before the frame: the context, and before it StackState, which begins with where the stack is. */
#define STACK_BEFORE_FRAME 48

struct link {
	uint64_t addr;
	struct frame frame;
	uint32_t outer;
};

struct greenlet {
	uint64_t addr, type;
	uint64_t frame; /* 0: not suspended */
	uint64_t sp; /* into the stack of its thread */
	uint32_t first, last; /* links, innermost first */
	size_t nlinks;
	size_t thread;
	const char *note;
};

struct type_memo {
	uint64_t type;
	bool is_greenlet;
};

/* Where the C stack of a thread lies, or more below it. */
struct c_stack {
	uint64_t start, end;
	size_t thread;
};

struct greenlets {
	const struct py_target *target;
	struct kinds *kinds;

	/* of the load that is under way */
	struct code_cache *codes;
	struct arena *arena;
	struct py_snapshot *snap;
	uint64_t class; /* greenlet.greenlet */
	struct type_memo memo[TYPES];
	struct greenlet *greenlet;
	size_t cnt, cap;
	struct link *link;
	size_t nlinks, link_cap;
	uint32_t frame_at; /* in greenlet::Greenlet; 0 = not found yet */
	size_t probes;
	const char *note;
	struct objects objects;
	size_t picked[OBJECTS_MAX];
	struct stack stack;
	const struct code *code[PY_MAX_FRAMES];
	char left_out[80];
};

struct greenlets *greenlets__new(const struct py_target *t)
{
	struct greenlets *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->target = t;
	g->kinds = kinds__new(t);
	if (g->kinds)
		return g;
	greenlets__free(g);
	return NULL;
}

static void clear(struct greenlets *g)
{
	free(g->greenlet);
	g->greenlet = NULL;
	free(g->link);
	g->link = NULL;
	g->cnt = g->cap = g->nlinks = g->link_cap = 0;
}

void greenlets__free(struct greenlets *g)
{
	if (!g)
		return;
	clear(g);
	kinds__free(g->kinds);
	free(g);
}

static bool is_final(int err)
{
	return err == -ENOMEM || err == -ESRCH || err == -EPERM;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Is it that class, or one that comes from it? */
static bool is_greenlet(struct greenlets *g, uint64_t type)
{
	const uint32_t base = g->target->layout.type.dict - 8; /* tp_base stands before tp_dict */
	struct type_memo *m = &g->memo[type / 16 % TYPES];
	uint64_t at = type;

	if (m->type == type)
		return m->is_greenlet;
	*m = (struct type_memo){ .type = type };
	for (size_t i = 0; at && !m->is_greenlet && i < MAX_BASES; i++) {
		m->is_greenlet = at == g->class;
		mem__read_u64(g->target->mem, at + base, &at);
	}
	return m->is_greenlet;
}

static int take_object(void *ctx, uint64_t addr, uint64_t type)
{
	struct greenlets *g = ctx;
	size_t cap = g->cap ? g->cap * 2 : 64;
	struct greenlet *more;

	if (!type || !is_greenlet(g, type))
		return 0;
	if (g->cnt >= MAX_GREENLETS) {
		g->note = "incomplete: more than 100000 greenlets";
		return -E2BIG;
	}
	if (g->cnt == g->cap) {
		more = reallocarray(g->greenlet, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		g->greenlet = more;
		g->cap = cap;
	}
	g->greenlet[g->cnt++] = (struct greenlet){
		.addr = addr,
		.type = type,
		.first = NO_LINK,
		.last = NO_LINK,
		.thread = PY_NO_INDEX,
		.note = "",
	};
	return 0;
}

/* All greenlets of one interpreter; none where the module is not imported. */
static int find(struct greenlets *g, struct gclist *gc, uint64_t interp)
{
	const char *note;
	uint64_t dict;
	int err = module__dict(g->target, interp, "greenlet._greenlet", &dict);

	if (!err)
		err = object__dict_get(g->target, dict, "greenlet", &g->class);
	if (err)
		return is_final(err) ? err : 0;
	memset(g->memo, 0, sizeof(g->memo));
	err = gclist__visit(gc, interp, take_object, g, &note);
	if (err == -ENOENT)
		g->note = "incomplete: greenlets cannot be found in this build of Python";
	else if (!err && *note)
		g->note = note;
	return is_final(err) ? err : 0;
}

static int find_all(struct greenlets *g, const struct thread_refs *refs)
{
	struct gclist *gc = gclist__new(g->target);
	int err = gc ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < refs->cnt; i++)
		if (!i || refs->ref[i].interp != refs->ref[i - 1].interp)
			err = find(g, gc, refs->ref[i].interp);
	gclist__free(gc);
	return err;
}

/* ---- what they are --------------------------------------------------------------------------- */

static bool is_frame(struct greenlets *g, uint64_t addr)
{
	const struct kind *k = addr && addr % 8 == 0 ? kinds__of(g->kinds, addr) : NULL;

	return k && k->class == KIND_FRAME;
}

/* The frame of a suspended greenlet, out of what it is made of. */
static void take_impl(struct greenlets *g, struct greenlet *it, const struct bytes *b)
{
	uint64_t self, frame;

	bytes_u64(b, IMPL_SELF, &self);
	if (self != it->addr) {
		g->note = "incomplete: this version of greenlet is not known";
		return;
	}
	if (!g->frame_at && g->probes < MAX_PROBES) {
		g->probes++;
		for (uint32_t off = STACK_BEFORE_FRAME + IMPL_SELF; off + 8 <= IMPL_BYTES; off += 8)
			if (!bytes_u64(b, off, &frame) && is_frame(g, frame)) {
				g->frame_at = off;
				break;
			}
	}
	if (!g->frame_at)
		return;
	bytes_u64(b, g->frame_at, &frame);
	if (!is_frame(g, frame))
		return;
	it->frame = frame;
	bytes_u64(b, g->frame_at - STACK_BEFORE_FRAME, &it->sp);
}

/* Reads LEN bytes at each of objects.addr[0..CNT), where they are a pointer follows it. */
static int follow(struct greenlets *g, size_t cnt, size_t off)
{
	struct objects *o = &g->objects;
	uint64_t next;
	int err = objects__read(g->target, o, cnt, off + 8);

	for (size_t i = 0; !err && i < cnt; i++) {
		struct bytes b = { o->buf[i], off + 8 };

		bytes_u64(&b, off, &next);
		o->addr[i] = o->range[i].err ? 0 : next;
	}
	return err;
}

/* The greenlets FIRST to FIRST + CNT - 1. */
static int read_impls(struct greenlets *g, size_t first, size_t cnt)
{
	const uint32_t impl = g->target->layout.object.var_size + 16; /* weakrefs, dict */
	struct objects *o = &g->objects;
	int err;

	for (size_t i = 0; i < cnt; i++)
		o->addr[i] = g->greenlet[first + i].addr;
	err = follow(g, cnt, impl);
	if (!err)
		err = objects__read(g->target, o, cnt, IMPL_BYTES);
	for (size_t i = 0; !err && i < cnt; i++) {
		struct bytes b = { o->buf[i], IMPL_BYTES };

		if (!o->range[i].err)
			take_impl(g, &g->greenlet[first + i], &b);
	}
	return err;
}

static bool is_late(struct greenlets *g)
{
	if (!py_target__late(g->target))
		return false;
	g->note = "incomplete: no time left for all greenlets";
	return true;
}

/* Only those that are suspended stay. */
static int keep_suspended(struct greenlets *g)
{
	size_t kept = 0, n;
	int err = 0;

	for (size_t i = 0; !err && i < g->cnt && !is_late(g); i += n) {
		n = g->cnt - i < OBJECTS_MAX ? g->cnt - i : OBJECTS_MAX;
		err = read_impls(g, i, n);
	}
	for (size_t i = 0; i < g->cnt; i++)
		if (g->greenlet[i].frame)
			g->greenlet[kept++] = g->greenlet[i];
	g->cnt = kept;
	return err;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static int add_link(struct greenlets *g, struct greenlet *it, const struct link *link)
{
	size_t cap = g->link_cap ? g->link_cap * 2 : 1024;
	struct link *more;
	uint32_t at;

	if (it->nlinks >= PY_MAX_FRAMES || g->nlinks >= MAX_LINKS) {
		it->note = "incomplete: too many frames";
		return -E2BIG;
	}
	if (g->nlinks == g->link_cap) {
		more = reallocarray(g->link, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		g->link = more;
		g->link_cap = cap;
	}
	at = (uint32_t)g->nlinks++;
	g->link[at] = *link;
	g->link[at].outer = NO_LINK;
	if (it->last == NO_LINK)
		it->first = at;
	else
		g->link[it->last].outer = at;
	it->last = at;
	it->nlinks++;
	return 0;
}

/* One more frame of each of those that are picked, whose address is in objects; how many go on. */
static ssize_t read_level(struct greenlets *g, size_t cnt)
{
	const struct py_layout *l = &g->target->layout;
	struct objects *o = &g->objects;
	struct link link;
	size_t kept = 0;
	int err = objects__read(g->target, o, cnt, l->frame.span);

	for (size_t i = 0; !err && i < cnt; i++) {
		struct greenlet *it = &g->greenlet[g->picked[i]];

		if (o->range[i].err) {
			it->note = "incomplete: a frame cannot be read";
			continue;
		}
		link.addr = o->addr[i];
		frame__parse(l, o->buf[i], &link.frame);
		err = add_link(g, it, &link);
		if (err == -E2BIG) {
			err = 0;
			continue;
		}
		if (!link.frame.previous)
			continue;
		o->addr[kept] = link.frame.previous;
		g->picked[kept++] = g->picked[i];
	}
	return err ? err : (ssize_t)kept;
}

static int read_frames(struct greenlets *g, size_t first, size_t cnt)
{
	const struct py_layout *l = &g->target->layout;
	ssize_t n = (ssize_t)cnt;
	int err = 0;

	for (size_t i = 0; i < cnt; i++) {
		g->picked[i] = first + i;
		g->objects.addr[i] = g->greenlet[first + i].frame;
	}
	/* from 3.11 on that object stands for the frame */
	if (!l->gen.frame_is_pointer)
		err = follow(g, cnt, l->object.var_size + 8);
	while (!err && n > 0 && !is_late(g)) {
		n = read_level(g, (size_t)n);
		err = n < 0 ? (int)n : 0;
	}
	return err;
}

/* ---- threads --------------------------------------------------------------------------------- */

static int by_end(const void *a, const void *b)
{
	const struct c_stack *x = a, *y = b;

	return x->end < y->end ? -1 : x->end > y->end;
}

/*
 * The stacks of the snapshot's threads, by their ends; returns how many. The C library has its
 * struct of a thread at the end of its stack; the first thread has its stack from the kernel.
 * Stacks with nothing between them may be one mapping.
 */
static size_t find_stacks(struct greenlets *g, struct c_stack *stack)
{
	const struct map *map;
	struct maps maps;
	uint64_t end;
	size_t n = 0;

	/* a recording has nothing of mappings that are no files */
	if (g->target->recorded || maps__load(g->target->pid, &maps, NULL))
		return 0;
	for (size_t i = 0; i < g->snap->nthreads; i++) {
		const struct py_thread *th = &g->snap->thread[i];

		end = th->ident;
		map = maps__find(&maps, end);
		for (size_t k = 0; th->tid == g->target->pid && k < maps.cnt; k++) {
			if (strcmp(maps.map[k].path, "[stack]"))
				continue;
			map = &maps.map[k];
			end = map->end;
		}
		if (map)
			stack[n++] = (struct c_stack){ map->start, end, i };
	}
	maps__free(&maps);
	qsort(stack, n, sizeof(*stack), by_end);
	return n;
}

/* The thread to whose stack SP points: that with the next end. */
static size_t thread_at(const struct c_stack *stack, size_t cnt, uint64_t sp)
{
	size_t low = 0, high = cnt, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (stack[mid].end > sp)
			high = mid;
		else
			low = mid + 1;
	}
	return low < cnt && sp >= stack[low].start ? stack[low].thread : PY_NO_INDEX;
}

static int place(struct greenlets *g)
{
	struct c_stack *stack = calloc(g->snap->nthreads + 1, sizeof(*stack));
	size_t cnt;

	if (!stack)
		return -ENOMEM;
	cnt = find_stacks(g, stack);
	for (size_t i = 0; i < g->cnt; i++)
		g->greenlet[i].thread = thread_at(stack, cnt, g->greenlet[i].sp);
	free(stack);
	return 0;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static uint64_t look_of(const struct greenlets *g, const struct greenlet *it)
{
	uint64_t hash = mix(mix(1, it->type), it->thread);

	for (uint32_t k = it->first; k != NO_LINK; k = g->link[k].outer)
		hash = mix(mix(hash, g->link[k].frame.code), g->link[k].frame.instr);
	return hash | 1;
}

static const char *type_name(struct greenlets *g, uint64_t type)
{
	const struct kind *k = kinds__get(g->kinds, type);
	struct strbuf text = STRBUF_INIT;
	const char *name = "?";

	if (k)
		text_sanitize(&text, k->name, strlen(k->name));
	if (text.len && strbuf_str(&text))
		name = arena__str(g->arena, strbuf_str(&text));
	strbuf_free(&text);
	return name;
}

static int show(struct greenlets *g, const struct tasktree_group *group, struct py_greenlet *out)
{
	const struct greenlet *it = &g->greenlet[group->node];
	struct stack *s = &g->stack;
	int err;

	stack__clear(s);
	for (uint32_t k = it->first; k != NO_LINK; k = g->link[k].outer)
		stack__add(&g->target->layout, s, g->link[k].addr, &g->link[k].frame);
	*out = (struct py_greenlet){
		.type = type_name(g, it->type),
		.count = group->cnt,
		.thread = it->thread,
		.note = it->note,
		.cut = s->cut,
	};
	err = frames__show(g->codes, s, g->code, g->arena, &out->frame, &out->note);
	out->nframes = out->frame ? s->cnt : 0;
	return err;
}

/* What there is most of first, then as the collector has them. */
static bool is_before(void *ctx, size_t a, size_t b)
{
	const struct tasktree *tree = ctx;
	const struct tasktree_group *x = &tree->group[a], *y = &tree->group[b];

	return x->cnt != y->cnt ? x->cnt > y->cnt : x->node < y->node;
}

static int show_all(struct greenlets *g, struct tasktree *tree)
{
	size_t *order = calloc(tree->cnt + 1, sizeof(*order));
	struct py_snapshot *snap = g->snap;
	int err = order ? tasktree__order(tree, is_before, tree, order) : -ENOMEM;

	snap->greenlet = arena__alloc(g->arena, tree->cnt * sizeof(*snap->greenlet));
	for (size_t i = 0; !err && snap->greenlet && i < tree->cnt && !is_late(g); i++) {
		err = show(g, &tree->group[order[i]], &snap->greenlet[i]);
		snap->ngreenlets += !err;
	}
	free(order);
	return err;
}

static int merge_and_show(struct greenlets *g)
{
	struct tasktree_node *node = calloc(g->cnt + 1, sizeof(*node));
	bool merge = g->cnt > PY_MERGE_TASKS;
	struct tasktree tree = { 0 };
	int err = -ENOMEM;

	for (size_t i = 0; node && i < g->cnt; i++)
		node[i] = (struct tasktree_node){
			.parent = TASKTREE_NONE,
			.look = merge ? look_of(g, &g->greenlet[i]) : 0,
		};
	if (node)
		err = tasktree__build(node, g->cnt, PY_MAX_TASKS, &tree);
	if (!err && tree.left_out) {
		snprintf(g->left_out, sizeof(g->left_out),
			 "incomplete: %zu more greenlets, each different", tree.left_out);
		g->note = g->left_out;
	}
	if (!err)
		err = show_all(g, &tree);
	tasktree__free(&tree);
	free(node);
	return err;
}

static int load(struct greenlets *g, const struct thread_refs *refs)
{
	size_t n;
	int err = find_all(g, refs);

	if (!err)
		err = keep_suspended(g);
	g->snap->greenlets_found = g->cnt;
	for (size_t i = 0; !err && i < g->cnt && !is_late(g); i += n) {
		n = g->cnt - i < OBJECTS_MAX ? g->cnt - i : OBJECTS_MAX;
		err = read_frames(g, i, n);
	}
	if (!err && g->cnt)
		err = place(g);
	return err || !g->cnt ? err : merge_and_show(g);
}

int greenlets__load(struct greenlets *g, struct code_cache *codes, const struct thread_refs *refs,
		    struct arena *arena, struct py_snapshot *snap)
{
	int err;

	snap->greenlet = NULL;
	snap->ngreenlets = snap->greenlets_found = 0;
	g->codes = codes;
	g->arena = arena;
	g->snap = snap;
	g->note = "";
	g->frame_at = 0;
	g->probes = 0;
	kinds__begin(g->kinds);
	err = load(g, refs);
	clear(g);
	snap->greenlets_note = g->note == g->left_out ? arena__str(arena, g->note) : g->note;
	return err;
}
