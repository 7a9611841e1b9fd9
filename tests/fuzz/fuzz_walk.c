// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The whole reader on memory that says anything. Every address is somewhere in the input (addresses
 * wrap around it), so that chains of pointers go on and on; addresses with bit 60 are
 * not mapped. The first byte chooses the layout.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "debug_offsets.h"
#include "proc/maps.h"
#include "py/redact.h"
#include "py/walk.h"

#define NOT_MAPPED (1ull << 60)
#define TIMEOUT_NS (10 * NSEC_PER_MSEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct ring {
	const uint8_t *data;
	size_t len;
};

static void ring_copy(const struct ring *ring, uint64_t addr, uint8_t *buf, size_t len)
{
	size_t at = addr % ring->len, n;

	for (; len; buf += n, len -= n, at = 0) {
		n = ring->len - at < len ? ring->len - at : len;
		memcpy(buf, ring->data + at, n);
	}
}

static ssize_t ring_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		if (range[i].addr & NOT_MAPPED)
			return (ssize_t)i;
		ring_copy(ctx, range[i].addr, range[i].buf, range[i].len);
	}
	return (ssize_t)cnt;
}

static const struct mem_ops ring_ops = { .readv = ring_readv };

/* Up to 3.12 the version is enough; the offsets of the others are what a process would give. */
static int choose(uint8_t which, struct py_layout *l)
{
	static const struct {
		uint32_t hex;
		const uint64_t *debug;
		size_t len;
	} build[] = {
		{ 0x03090000, NULL, 0 },
		{ 0x030a0000, NULL, 0 },
		{ 0x030b07f0, NULL, 0 },
		{ 0x030c01f0, NULL, 0 },
		{ 0x030d00f0, debug_offsets_313, sizeof(debug_offsets_313) },
		{ 0x030d0ff0, debug_offsets_313t, sizeof(debug_offsets_313t) },
		{ 0x030e0af0, debug_offsets_314, sizeof(debug_offsets_314) },
		{ 0x030e04f0, debug_offsets_314t, sizeof(debug_offsets_314t) },
		{ 0x030f02f0, debug_offsets_315, sizeof(debug_offsets_315) },
	};
	uint64_t words[PY_RUNTIME_HEAD / 8] = { 0 };
	struct bytes head = { (const uint8_t *)words, sizeof(words) };

	which %= sizeof(build) / sizeof(build[0]);
	if (build[which].debug)
		memcpy(words, build[which].debug, build[which].len);
	memcpy(words, "xdebugpy", 8);
	return py_layout__choose(build[which].hex, 0, &head, l, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ring ring = { data + 1, len - 1 };
	static const struct maps none;
	/* a recording: its threads stand still, so that their stacks and variables are read */
	struct py_target t = { .pid = 0, .recorded = &none };
	struct py_walk_opts opts = { .tasks = PY_TASKS_ALL };
	struct redact *redact = NULL;
	struct py_snapshot snap = { .note = "" };
	struct arena arena = { 0 };
	struct walk_test test;
	struct walker *w;

	if (len < 64 || choose(data[0], &t.layout))
		return 0;
	/* a type that the input can name: its own first word */
	memcpy(&t.code_type, ring.data, sizeof(t.code_type));
	if (redact__new(NULL, 0, false, &redact, NULL) || mem__from_ops(&ring_ops, &ring, &t.mem))
		abort();
	opts.locals = redact;
	w = walker__new(&t);
	if (!w)
		abort();
	t.deadline_ns = clock_monotonic_ns() + TIMEOUT_NS;
	walker__test(w, &test);
	t.deadline_ns = clock_monotonic_ns() + TIMEOUT_NS;
	walker__run(w, &opts, &arena, &snap);
	for (size_t i = 0; i < snap.nthreads; i++)
		if (snap.thread[i].nframes > PY_MAX_FRAMES || strlen(snap.thread[i].name) > 4096)
			abort();
	arena__free(&arena);
	walker__free(w);
	mem__free(t.mem);
	redact__free(redact);
	return 0;
}
