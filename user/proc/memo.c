// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/memo.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proc/mem.h"

#define MAX_RANGES 16384
#define MAX_BYTES (1u << 20)

struct kept {
	uint64_t addr;
	size_t at, len; /* in `bytes` */
};

struct memo {
	struct kept *kept;
	size_t cnt, cap;
	uint8_t *bytes;
	size_t len, bytes_cap;
	struct mem_range *range; /* of the comparison: CAP of them */
	uint8_t *now; /* BYTES_CAP of them */
	bool complete;
};

struct memo *memo__new(void)
{
	return calloc(1, sizeof(struct memo));
}

void memo__free(struct memo *memo)
{
	if (!memo)
		return;
	free(memo->kept);
	free(memo->bytes);
	free(memo->range);
	free(memo->now);
	free(memo);
}

/* Two arrays of CAP elements grow together, or not at all. */
static bool grow(void **a, size_t size_a, void **b, size_t size_b, size_t cap)
{
	void *more = reallocarray(*a, cap, size_a);

	if (!more)
		return false;
	*a = more;
	more = reallocarray(*b, cap, size_b);
	if (!more)
		return false;
	*b = more;
	return true;
}

static bool reserve(struct memo *memo, size_t len)
{
	size_t cap = memo->cap ? memo->cap * 2 : 128, bytes_cap = memo->bytes_cap;

	if (memo->cnt >= MAX_RANGES || len > MAX_BYTES - memo->len)
		return false;
	if (memo->cnt == memo->cap) {
		if (!grow((void **)&memo->kept, sizeof(*memo->kept), (void **)&memo->range,
			  sizeof(*memo->range), cap))
			return false;
		memo->cap = cap;
	}
	if (memo->len + len > bytes_cap) {
		bytes_cap = bytes_cap ? bytes_cap * 2 : 4096;
		while (bytes_cap < memo->len + len)
			bytes_cap *= 2;
		if (!grow((void **)&memo->bytes, 1, (void **)&memo->now, 1, bytes_cap))
			return false;
		memo->bytes_cap = bytes_cap;
	}
	return true;
}

void memo__begin(struct memo *memo, struct mem *m)
{
	memo->cnt = 0;
	memo->len = 0;
	memo->complete = true;
	mem__set_memo(m, memo);
}

void memo__end(struct memo *memo, struct mem *m)
{
	mem__set_memo(m, NULL);
	/* what read nothing has nothing to compare */
	if (!memo->cnt)
		memo->complete = false;
}

void memo__drop(struct memo *memo)
{
	memo->complete = false;
}

void memo__note(struct memo *memo, const struct mem_range *range)
{
	if (!memo->complete)
		return;
	if (range->err || !reserve(memo, range->len)) {
		memo->complete = false;
		return;
	}
	memo->kept[memo->cnt++] = (struct kept){ range->addr, memo->len, range->len };
	memcpy(memo->bytes + memo->len, range->buf, range->len);
	memo->len += range->len;
}

bool memo__holds(struct memo *memo, struct mem *m)
{
	if (!memo->complete)
		return false;
	for (size_t i = 0; i < memo->cnt; i++) {
		const struct kept *k = &memo->kept[i];

		memo->range[i] = (struct mem_range){ .addr = k->addr,
						     .buf = memo->now + k->at,
						     .len = k->len };
	}
	return !mem__readv_any(m, memo->range, memo->cnt) &&
	       !memcmp(memo->now, memo->bytes, memo->len);
}
