// SPDX-License-Identifier: MIT OR Apache-2.0
/* Circles are cut, equal branches merged, and the order is that of a tree. */
#include "py/tasktree.h"

#include "tap.h"

#define N(x) (sizeof(x) / sizeof((x)[0]))
#define NONE TASKTREE_NONE

static bool by_node(void *ctx, size_t a, size_t b)
{
	const struct tasktree *tree = ctx;

	return tree->group[a].node < tree->group[b].node;
}

static void circles(void)
{
	struct tasktree_node node[] = {
		{ .parent = 1 },  { .parent = 0 }, /* two that wait for each other */
		{ .parent = 0 }, /* and one that hangs on them */
		{ .parent = 3 }, /* waits for itself */
		{ .parent = 99 }, /* nonsense */
		{ .parent = 6 },  { .parent = 7 }, { .parent = 5 }, { .parent = NONE },
	};
	struct tasktree tree;
	size_t in_circle = 0, roots = 0;

	is_int(tasktree__build(node, N(node), 100, &tree), 0, "circles end");
	for (size_t i = 0; i < N(node); i++)
		in_circle += node[i].circle;
	is_int(in_circle, 6, "who is in one is told");
	ok(!node[2].circle, "who hangs on one is not in it");
	for (size_t i = 0; i < tree.cnt; i++)
		roots += tree.group[i].parent == NONE;
	is_int(tree.cnt, N(node), "all are there");
	is_int(roots, 5, "a circle has one root");
	tasktree__free(&tree);
}

static void merging(void)
{
	/* two nurses of equal look with two children each, one child is different */
	struct tasktree_node node[] = {
		{ .parent = 5, .look = 2 },
		{ .parent = 5, .look = 2 },
		{ .parent = 4, .look = 2 },
		{ .parent = 4, .look = 3 },
		{ .parent = NONE, .look = 1 },
		{ .parent = NONE, .look = 1 },
		{ .parent = NONE, .look = 2 },
		{ .parent = NONE },
		{ .parent = NONE },
	};
	struct tasktree tree;
	size_t order[N(node)], sum = 0;

	is_int(tasktree__build(node, N(node), 100, &tree), 0, "equal branches");
	is_int(tree.cnt, 6, "are merged; what never merges is not");
	is_int(tree.group[0].cnt, 2, "parents with parents");
	for (size_t i = 0; i < tree.cnt; i++) {
		sum += tree.group[i].cnt;
		if (tree.group[i].parent != NONE && tree.group[i].parent >= i)
			sum = 1000; /* a parent stands before its children */
	}
	is_int(sum, N(node), "and none is lost");
	is_int(tasktree__order(&tree, by_node, &tree, order), 0, "in order");
	is_int(tree.group[order[0]].node, 4, "the first root");
	is_int(tree.group[order[1]].parent, (long)order[0], "then its children");
	is_int(tree.group[order[2]].parent, (long)order[0], "both");
	is_int(tree.group[order[3]].node, 6, "then the next root");
	tasktree__free(&tree);
}

static void limits(void)
{
	struct tasktree_node node[1000];
	struct tasktree tree;
	size_t order[10];

	for (size_t i = 0; i < N(node); i++)
		node[i] = (struct tasktree_node){ .parent = i ? i - 1 : NONE };
	is_int(tasktree__build(node, N(node), 10, &tree), 0, "a long chain");
	is_int(tree.cnt, 10, "is cut");
	is_int(tree.left_out, 990, "and the rest counted");
	is_int(tasktree__order(&tree, by_node, &tree, order), 0, "in order");
	is_int(order[9], 9, "down to the last");
	tasktree__free(&tree);
	is_int(tasktree__build(node, 0, 10, &tree), 0, "nothing at all");
	is_int(tree.cnt, 0, "is nothing");
	is_int(tasktree__order(&tree, by_node, &tree, order), 0, "also in order");
	tasktree__free(&tree);
}

int main(void)
{
	plan(22);
	circles();
	merging();
	limits();
	return done();
}
