/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes that take the place of a process's memory: recorded, made up or a fuzzer's. */
#ifndef TESTS_LIB_IMAGE_H
#define TESTS_LIB_IMAGE_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "proc/mem.h"

struct image {
	uint64_t addr; /* of the first byte */
	const uint8_t *data; /* borrowed */
	size_t len;
	size_t calls; /* reads that were tried */
};

static inline ssize_t image_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	struct image *im = ctx;

	im->calls++;
	for (size_t i = 0; i < cnt; i++) {
		uint64_t off = range[i].addr - im->addr;

		if (range[i].addr < im->addr || off > im->len || range[i].len > im->len - off)
			return (ssize_t)i;
		if (range[i].len)
			memcpy(range[i].buf, im->data + off, range[i].len);
	}
	return (ssize_t)cnt;
}

/* NULL: no memory. IM is borrowed. */
static inline struct mem *image_mem(struct image *im)
{
	static const struct mem_ops ops = { .readv = image_readv };
	struct mem *m;

	return mem__from_ops(&ops, im, &m) ? NULL : m;
}

#endif
