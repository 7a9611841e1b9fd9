// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/tasktree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- circles --------------------------------------------------------------------------------- */

enum colour { NEW, ON_PATH, SEEN };

static void mark_circle(struct tasktree_node *node, size_t from)
{
	size_t i = from;

	do {
		node[i].circle = true;
		i = node[i].parent;
	} while (i != from);
	node[from].parent = TASKTREE_NONE;
}

/* Follows the parents of I; a path that meets itself is cut there. */
static void follow(struct tasktree_node *node, size_t cnt, uint8_t *colour, size_t i)
{
	size_t start = i, meeting = TASKTREE_NONE;

	for (; i != TASKTREE_NONE && colour[i] == NEW; i = node[i].parent) {
		colour[i] = ON_PATH;
		if (node[i].parent >= cnt)
			node[i].parent = TASKTREE_NONE;
	}
	if (i != TASKTREE_NONE && colour[i] == ON_PATH)
		meeting = i;
	/* all of the path, before it is cut */
	for (i = start; i != TASKTREE_NONE && colour[i] == ON_PATH; i = node[i].parent)
		colour[i] = SEEN;
	if (meeting != TASKTREE_NONE)
		mark_circle(node, meeting);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* What is at work while a tree is built. */
struct builder {
	struct tasktree_node *node;
	size_t cnt;
	size_t *depth, *order, *group_of; /* by node */
	size_t *slot; /* hash table of group indexes + 1 */
	size_t nslots; /* a power of two */
	struct tasktree *tree;
	size_t max;
};

static void builder_free(struct builder *b)
{
	free(b->depth);
	free(b->order);
	free(b->group_of);
	free(b->slot);
}

/* Depths grow towards the leaves; no path is walked twice. */
static size_t find_depths(struct builder *b)
{
	size_t max = 0, i, steps;

	for (size_t n = 0; n < b->cnt; n++)
		b->depth[n] = TASKTREE_NONE;
	for (size_t n = 0; n < b->cnt; n++) {
		steps = 0;
		for (i = n; b->depth[i] == TASKTREE_NONE && b->node[i].parent != TASKTREE_NONE;
		     i = b->node[i].parent)
			steps++;
		if (b->depth[i] == TASKTREE_NONE)
			b->depth[i] = 0;
		steps += b->depth[i];
		max = steps > max ? steps : max;
		for (i = n; b->depth[i] == TASKTREE_NONE; i = b->node[i].parent)
			b->depth[i] = steps--;
	}
	return max;
}

/* Nodes by depth, so that a group's parent is known before it. 0 or -ENOMEM. */
static int sort_by_depth(struct builder *b)
{
	size_t max = find_depths(b), at = 0, n;
	size_t *start = calloc(max + 2, sizeof(*start));

	if (!start)
		return -ENOMEM;
	for (size_t i = 0; i < b->cnt; i++)
		start[b->depth[i]]++;
	for (size_t d = 0; d <= max; d++) {
		n = start[d];
		start[d] = at;
		at += n;
	}
	for (size_t i = 0; i < b->cnt; i++)
		b->order[start[b->depth[i]]++] = i;
	free(start);
	return 0;
}

static uint64_t mix(uint64_t look, size_t parent)
{
	return (look ^ (parent + 1) * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;
}

/* The group of a node under PARENT, made if there is none; TASKTREE_NONE: there are too many. */
static size_t group_for(struct builder *b, size_t node, size_t parent)
{
	struct tasktree_group *g = b->tree->group;
	uint64_t look = b->node[node].look;
	size_t i = (size_t)(mix(look, parent) >> 32) & (b->nslots - 1);

	for (; look && b->slot[i]; i = (i + 1) & (b->nslots - 1)) {
		size_t k = b->slot[i] - 1;

		if (g[k].parent == parent && b->node[g[k].node].look == look)
			return k;
	}
	if (b->tree->cnt >= b->max)
		return TASKTREE_NONE;
	if (look)
		b->slot[i] = b->tree->cnt + 1;
	g[b->tree->cnt] = (struct tasktree_group){ .node = node, .parent = parent };
	return b->tree->cnt++;
}

static void make_groups(struct builder *b)
{
	size_t i, parent, group;

	for (size_t n = 0; n < b->cnt; n++) {
		i = b->order[n];
		parent = b->node[i].parent;
		group = TASKTREE_NONE;
		if (parent == TASKTREE_NONE)
			group = group_for(b, i, TASKTREE_NONE);
		else if (b->group_of[parent] != TASKTREE_NONE)
			group = group_for(b, i, b->group_of[parent]);
		b->group_of[i] = group;
		if (group == TASKTREE_NONE)
			b->tree->left_out++;
		else
			b->tree->group[group].cnt++;
	}
}

int tasktree__build(struct tasktree_node *node, size_t cnt, size_t max_groups, struct tasktree *out)
{
	struct builder b = { .node = node, .cnt = cnt, .tree = out, .nslots = 16 };
	uint8_t *colour = calloc(cnt + 1, 1);
	int err = -ENOMEM;

	*out = (struct tasktree){ 0 };
	b.max = max_groups < cnt ? max_groups : cnt;
	while (b.nslots < 2 * b.max)
		b.nslots *= 2;
	b.depth = calloc(cnt + 1, sizeof(*b.depth));
	b.order = calloc(cnt + 1, sizeof(*b.order));
	b.group_of = calloc(cnt + 1, sizeof(*b.group_of));
	b.slot = calloc(b.nslots, sizeof(*b.slot));
	out->group = calloc(b.max + 1, sizeof(*out->group));
	if (!colour || !b.depth || !b.order || !b.group_of || !b.slot || !out->group)
		goto out;
	for (size_t i = 0; i < cnt; i++)
		follow(node, cnt, colour, i);
	err = sort_by_depth(&b);
	if (!err)
		make_groups(&b);
out:
	free(colour);
	builder_free(&b);
	if (err)
		tasktree__free(out);
	return err;
}

void tasktree__free(struct tasktree *tree)
{
	free(tree->group);
	*tree = (struct tasktree){ 0 };
}

/* ---- order ----------------------------------------------------------------------------------- */

struct sorter {
	tasktree_less_fn less;
	void *ctx;
};

static int by_less(const void *a, const void *b, void *ctx)
{
	const struct sorter *s = ctx;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	if (s->less(s->ctx, x, y))
		return -1;
	return s->less(s->ctx, y, x) ? 1 : (x > y) - (x < y);
}

int tasktree__order(const struct tasktree *tree, tasktree_less_fn less, void *ctx, size_t *order)
{
	struct sorter sorter = { less, ctx };
	size_t *work = calloc(3 * tree->cnt + 1, sizeof(*work));
	size_t *sorted = work, *next = work + tree->cnt, *child = work + 2 * tree->cnt;
	size_t root = TASKTREE_NONE, n = 0, *list;

	if (!work)
		return -ENOMEM;
	for (size_t i = 0; i < tree->cnt; i++) {
		sorted[i] = i;
		child[i] = TASKTREE_NONE;
	}
	if (tree->cnt)
		qsort_r(sorted, tree->cnt, sizeof(*sorted), by_less, &sorter);
	/* the last one first: each list of siblings then begins with the first */
	for (size_t i = tree->cnt; i-- > 0;) {
		size_t parent = tree->group[sorted[i]].parent;

		list = parent == TASKTREE_NONE ? &root : &child[parent];
		next[sorted[i]] = *list;
		*list = sorted[i];
	}
	for (size_t at = root; at != TASKTREE_NONE;) {
		order[n++] = at;
		if (child[at] != TASKTREE_NONE) {
			at = child[at];
			continue;
		}
		while (at != TASKTREE_NONE && next[at] == TASKTREE_NONE)
			at = tree->group[at].parent;
		at = at == TASKTREE_NONE ? at : next[at];
	}
	free(work);
	return 0;
}
