// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/bytes.h"

#include <errno.h>
#include <string.h>

const void *bytes_at(const struct bytes *b, uint64_t off, uint64_t len)
{
	if (off > b->len || len > b->len - off)
		return NULL;
	return b->data + off;
}

static int copy_out(const struct bytes *b, uint64_t off, void *out, size_t len)
{
	const void *at = bytes_at(b, off, len);

	if (!at) {
		memset(out, 0, len);
		return -ERANGE;
	}
	memcpy(out, at, len);
	return 0;
}

int bytes_u8(const struct bytes *b, uint64_t off, uint8_t *out)
{
	return copy_out(b, off, out, sizeof(*out));
}

int bytes_u16(const struct bytes *b, uint64_t off, uint16_t *out)
{
	return copy_out(b, off, out, sizeof(*out));
}

int bytes_u32(const struct bytes *b, uint64_t off, uint32_t *out)
{
	return copy_out(b, off, out, sizeof(*out));
}

int bytes_u64(const struct bytes *b, uint64_t off, uint64_t *out)
{
	return copy_out(b, off, out, sizeof(*out));
}
