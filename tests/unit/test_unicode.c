// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/unicode.h"

#include <errno.h>

#include "tap.h"

/* 3.12 and 3.13 */
static const struct py_layout layout = {
	.object = { .type = 8 },
	.str = { .length = 16,
		 .state = 32,
		 .ascii_size = 40,
		 .compact_size = 56,
		 .interned_bits = 2 },
};

static int head(uint64_t len, uint32_t state, struct py_str *out)
{
	uint8_t data[40] = { 0 };
	struct bytes b = { data, sizeof(data) };

	memcpy(data + 16, &len, sizeof(len));
	memcpy(data + 32, &state, sizeof(state));
	return py_str__parse(&layout, &b, out);
}

static uint32_t state(uint32_t kind, bool compact, bool ascii)
{
	return 1 | kind << 2 | (uint32_t)compact << 5 | (uint32_t)ascii << 6;
}

static void decode(const void *data, size_t len, uint32_t kind, const char *want, const char *name)
{
	struct bytes b = { data, len };
	struct strbuf out = STRBUF_INIT;

	py_str__decode(&out, &b, kind);
	is_str(strbuf_str(&out), want, "%s", name);
	strbuf_free(&out);
}

int main(void)
{
	static const uint16_t ucs2[] = { 0x65e5, 0x672c, 'x', 0x202e };
	static const uint32_t ucs4[] = { 0x1d4ef, 'y', 0x110000, 0xffffffff };
	static const uint16_t raw[] = { 'a', 0xdcff, 0xdcc3, 0xdcb6, 0xd800 };
	struct bytes none = { NULL, 0 };
	struct py_str s;

	plan(19);
	is_int(head(5, state(1, true, true), &s), 0, "ascii");
	ok(s.len == 5 && s.kind == 1 && s.compact && s.data == 40, "its characters");
	is_int(head(5, state(1, true, false), &s) ?: (int)s.data, 56, "latin-1");
	is_int(head(5, state(4, true, false), &s) ?: (int)s.kind, 4, "four bytes");
	is_int(head(5, state(2, false, false), &s), 0, "not compact");
	ok(!s.compact && s.data == 56, "a pointer instead");
	is_int(head(5, state(0, true, false), &s), -EINVAL, "kind 0");
	is_int(head(5, state(3, true, false), &s), -EINVAL, "kind 3");
	is_int(head(5, state(2, true, true), &s), -EINVAL, "ascii in two bytes");
	is_int(head(UINT64_MAX, state(1, true, true), &s), -EINVAL, "a negative length");
	is_int(head(1ull << 41, state(1, true, true), &s), -EINVAL, "a huge length");
	is_int(py_str__parse(&layout, &none, &s), -EINVAL, "nothing to parse");

	decode("gr\xf6\xdf"
	       "e",
	       5, 1,
	       "gr\xc3\xb6\xc3\x9f"
	       "e",
	       "latin-1");
	decode("a\x1b[0m\n", 6, 1, "a\\x1b[0m\\x0a", "control characters");
	decode(ucs2, sizeof(ucs2), 2, "\xe6\x97\xa5\xe6\x9c\xacx\\u202e", "two bytes");
	decode(ucs4, sizeof(ucs4), 4, "\xf0\x9d\x93\xafy\\U00110000\\Uffffffff", "four bytes");
	decode(raw, sizeof(raw), 2, "a\\xff\xc3\xb6\\ud800",
	       "bytes that were no text, and a lone surrogate");
	decode(ucs4, 7, 4, "\xf0\x9d\x93\xaf", "a cut character is left out");
	decode(NULL, 0, 2, "", "nothing");
	return done();
}
