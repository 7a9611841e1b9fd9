/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bounded reader of bytes that somebody else wrote (target memory, files). Every parser of such
 * bytes takes a `struct bytes` and goes through bytes_at(): one bounds check, with overflow.
 * Integers are little endian, as on every machine that is supported.
 */
#ifndef PERPETUO_BASE_BYTES_H
#define PERPETUO_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	const uint8_t *data; /* borrowed */
	size_t len;
};

/* LEN bytes at OFF, or NULL if they are not all inside. */
const void *bytes_at(const struct bytes *b, uint64_t off, uint64_t len);

/* Store the integer at OFF in *OUT and return 0; -ERANGE (and 0 in *OUT) if it is not all inside.
 */
int bytes_u8(const struct bytes *b, uint64_t off, uint8_t *out);
int bytes_u16(const struct bytes *b, uint64_t off, uint16_t *out);
int bytes_u32(const struct bytes *b, uint64_t off, uint32_t *out);
int bytes_u64(const struct bytes *b, uint64_t off, uint64_t *out);

#endif
