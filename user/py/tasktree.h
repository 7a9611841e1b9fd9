/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From who waits for whom to what is shown: a forest without circles, in the order in which it is
 * read, equal branches merged. Pure: no memory of a target is touched.
 */
#ifndef PERPETUO_PY_TASKTREE_H
#define PERPETUO_PY_TASKTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TASKTREE_NONE SIZE_MAX

struct tasktree_node {
	size_t parent; /* index, TASKTREE_NONE: a root; cut where parents form a circle */
	uint64_t look; /* equal for what looks equal; 0 = never merged */
	bool circle; /* set: its parents lead back to it */
};

/* Nodes that are shown as one. */
struct tasktree_group {
	size_t node; /* one of them */
	size_t cnt;
	size_t parent; /* index of a group, TASKTREE_NONE */
};

struct tasktree {
	struct tasktree_group *group; /* owned: tasktree__free; parents come before children */
	size_t cnt;
	size_t left_out; /* nodes in groups beyond MAX_GROUPS */
};

/* Cuts circles in NODE[0..CNT), then groups. 0 or -ENOMEM. */
int tasktree__build(struct tasktree_node *node, size_t cnt, size_t max_groups,
		    struct tasktree *out);
void tasktree__free(struct tasktree *tree); /* content only; zeroed structs are fine */

/*
 * The groups as they are read: each behind its parent, siblings by LESS (strictly before). ORDER
 * has room for tree->cnt indexes. 0 or -ENOMEM.
 */
typedef bool (*tasktree_less_fn)(void *ctx, size_t a, size_t b);
int tasktree__order(const struct tasktree *tree, tasktree_less_fn less, void *ctx, size_t *order);

#endif
