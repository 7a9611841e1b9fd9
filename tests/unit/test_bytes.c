// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/bytes.h"

#include <errno.h>

#include "tap.h"

int main(void)
{
	static const uint8_t data[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct bytes b = { data, sizeof(data) }, none = { NULL, 0 };
	uint64_t v64 = 99;
	uint32_t v32 = 99;
	uint16_t v16 = 99;
	uint8_t v8 = 99;

	plan(16);
	ok(bytes_at(&b, 0, 9) == data, "all of it");
	ok(bytes_at(&b, 9, 0) == data + 9, "nothing at the end is inside");
	ok(!bytes_at(&b, 0, 10), "one too many");
	ok(!bytes_at(&b, 10, 0), "nothing behind the end is not inside");
	ok(!bytes_at(&b, 1, UINT64_MAX), "a length that overflows");
	ok(!bytes_at(&b, UINT64_MAX, 2), "an offset that overflows");
	ok(!bytes_at(&none, 0, 1), "of nothing");

	is_int(bytes_u8(&b, 8, &v8), 0, "the last byte");
	is_int(v8, 9, "its value");
	is_int(bytes_u16(&b, 1, &v16) ?: v16, 0x0302, "u16 is little endian, any alignment");
	is_int(bytes_u32(&b, 1, &v32) ?: (int64_t)v32, 0x05040302, "u32");
	bytes_u64(&b, 1, &v64);
	is_int(v64, 0x0908070605040302, "u64");
	is_int(bytes_u64(&b, 2, &v64), -ERANGE, "a u64 that does not fit");
	is_int(v64, 0, "leaves 0");
	is_int(bytes_u8(&b, 9, &v8), -ERANGE, "a byte that is not there");
	is_int(v8, 0, "leaves 0");
	return done();
}
