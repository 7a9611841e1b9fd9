// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Await chains, sets and trees of tasks in memory that says anything, what asyncio says of itself,
 * and the lists of the garbage collector. Every address is somewhere in the input; an address with
 * bit 59 names a type.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "py/asyncio_debug.h"
#include "py/chain.h"
#include "py/collection.h"
#include "py/gclist.h"
#include "py/tasktree.h"

#define NOT_MAPPED (1ull << 60)
#define NAMES (1ull << 59) /* addresses of type names */
#define CHAINS 16
#define TIMEOUT_NS (10 * NSEC_PER_MSEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct ring {
	const uint8_t *data;
	size_t len;
};

static ssize_t ring_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	static const char *const names[] = { "coroutine", "async_generator_asend", "generator",
					     "anything" };
	const struct ring *ring = ctx;

	for (size_t i = 0; i < cnt; i++) {
		uint8_t *buf = range[i].buf;
		uint64_t addr = range[i].addr;

		if (addr & NOT_MAPPED)
			return (ssize_t)i;
		if (addr & NAMES)
			strncpy((char *)buf, names[addr % 4], range[i].len);
		else
			for (size_t k = 0; k < range[i].len; k++)
				buf[k] = ring->data[(addr + k) % ring->len];
	}
	return (ssize_t)cnt;
}

static const struct mem_ops ring_ops = { .readv = ring_readv };

static void fuzz_chains(const struct py_target *t, const struct ring *ring)
{
	struct chain chain[CHAINS] = { 0 };
	struct chains chains = { .chain = chain, .cnt = CHAINS };
	struct kinds *kinds = kinds__new(t);

	if (!kinds)
		abort();
	for (size_t i = 0; i < CHAINS; i++)
		chain[i].coro = ring->data[i] * 8ull;
	if (chains__read(t, kinds, &chains))
		goto out;
	for (size_t i = 0; i < CHAINS; i++) {
		size_t n = 0;

		for (uint32_t k = chain[i].last; k != CHAIN_NONE; k = chains.link[k].outer)
			n++;
		if (n != chain[i].cnt || n > CHAIN_MAX_DEPTH)
			abort();
	}
	chains__free(&chains);
out:
	kinds__free(kinds);
}

static void fuzz_tree(const struct ring *ring)
{
	struct tasktree_node node[256];
	size_t cnt = ring->len < 512 ? ring->len / 2 : 256, sum = 0;
	struct tasktree tree;

	for (size_t i = 0; i < cnt; i++)
		node[i] = (struct tasktree_node){ .parent = ring->data[2 * i],
						  .look = ring->data[2 * i + 1] % 4 };
	if (tasktree__build(node, cnt, 64, &tree))
		abort();
	for (size_t i = 0; i < tree.cnt; i++)
		sum += tree.group[i].cnt;
	if (sum + tree.left_out != cnt)
		abort();
	tasktree__free(&tree);
}

/* What is taken lies inside the structs that it is of. */
static void fuzz_debug(const struct ring *ring)
{
	struct bytes b = { ring->data, ring->len };
	struct asyncio_debug d;
	uint64_t size;

	/* else the fuzzer would have to guess it */
	if (bytes_u64(&b, 56, &size) || !asyncio_debug__parse(&b, 0, size, &d))
		return;
	if (d.task_node > d.task_size - 16 || d.task_coro > d.task_size - 8 ||
	    d.task_name > d.task_size - 8 || d.interp_tasks > size - 16)
		abort();
}

static int count_object(void *ctx, uint64_t addr, uint64_t type)
{
	size_t *cnt = ctx;

	(void)addr;
	(void)type;
	++*cnt;
	return 0;
}

static void fuzz_gclist(struct py_target *t, const struct ring *ring)
{
	struct gclist *gc = gclist__new(t);
	const char *note;
	size_t cnt = 0;

	if (!gc)
		abort();
	/* the type of types is of its own type */
	mem__read_u64(t->mem, ring->data[2], &t->known.type);
	gclist__visit(gc, ring->data[3] * 4096ull, count_object, &cnt, &note);
	if (cnt > GCLIST_MAX)
		abort();
	gclist__free(gc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ring ring = { data, len };
	struct py_target t = { 0 };
	uint64_t *member = NULL;
	size_t cnt;

	if (len < 64)
		return 0;
	t.layout.object.type = 8;
	t.layout.object.var_size = 16;
	t.layout.type.name = 24;
	t.layout.type.basicsize = 32;
	t.layout.type.flags = 40;
	t.layout.locals.first = 72;
	t.layout.frame.code = 32;
	t.layout.frame.instr = 56;
	t.layout.set.mask = 32;
	t.layout.set.table = 40;
	t.layout.gen.frame = 80;
	t.layout.gen.state = 75;
	t.layout.gen.created = -2;
	t.layout.gen.suspended = t.layout.gen.awaiting = t.layout.gen.locked = -1;
	t.layout.gen.top = 64;
	t.layout.gen.below = 1;
	if (data[0] & 1)
		t.layout.gen.awaiting = t.layout.gen.locked = -3;
	t.layout.gen.top_is_pointer = data[0] & 2;
	t.layout.gen.frame_is_pointer = data[0] & 4;
	if (data[0] & 8) {
		t.layout.frame.step = 2;
		t.layout.gen.yield_from = 72;
		t.layout.gen.base = 32;
	}
	t.deadline_ns = clock_monotonic_ns() + TIMEOUT_NS;
	if (mem__from_ops(&ring_ops, &ring, &t.mem))
		abort();
	fuzz_chains(&t, &ring);
	if (!set__members(&t, data[1] * 8ull, &member, &cnt))
		free(member);
	fuzz_tree(&ring);
	fuzz_debug(&ring);
	fuzz_gclist(&t, &ring);
	mem__free(t.mem);
	return 0;
}
