// SPDX-License-Identifier: MIT OR Apache-2.0
/* Values as repr() writes them: the truth was printed by CPython 3.13. */
#include "py/repr.h"

#include <errno.h>
#include <math.h>

#include "tap.h"

static struct strbuf out;

static const char *str(const void *data, size_t len, uint32_t kind)
{
	struct bytes b = { data, len };

	strbuf_reset(&out);
	repr__str(&out, &b, kind);
	return strbuf_str(&out);
}

static const char *bytes(const void *data, size_t len)
{
	struct bytes b = { data, len };

	strbuf_reset(&out);
	repr__bytes(&out, &b);
	return strbuf_str(&out);
}

static const char *integer(const uint32_t *digit, size_t cnt, bool negative)
{
	struct bytes b = { (const uint8_t *)digit, 4 * cnt };

	strbuf_reset(&out);
	return repr__int(&out, &b, negative) ? "refused" : strbuf_str(&out);
}

static void floats(void)
{
	static const struct {
		double value;
		const char *text;
	} good[] = {
		{ 0.0, "0.0" },
		{ -0.0, "-0.0" },
		{ 1.0, "1.0" },
		{ -2.5, "-2.5" },
		{ 0.1, "0.1" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 100.0, "100.0" },
		{ 1234567.0, "1234567.0" },
		{ 123456789012345.6, "123456789012345.6" },
		{ 9007199254740993.0, "9007199254740992.0" },
		{ 1e15, "1000000000000000.0" },
		{ 1e16, "1e+16" },
		{ 1.5e16, "1.5e+16" },
		{ 1e22, "1e+22" },
		{ 1e100, "1e+100" },
		{ 0.0001, "0.0001" },
		{ 0.00012, "0.00012" },
		{ 0.00001, "1e-05" },
		{ 1.2e-5, "1.2e-05" },
		{ 5e-324, "5e-324" },
		{ 2.2250738585072014e-308, "2.2250738585072014e-308" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" },
		{ 0x1p-44, "5.684341886080802e-14" },
		{ 0x1p-1022, "2.2250738585072014e-308" },
		{ 9.5367431640625e-07, "9.5367431640625e-07" },
		{ INFINITY, "inf" },
		{ -INFINITY, "-inf" },
		{ NAN, "nan" },
		{ -NAN, "nan" },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		strbuf_reset(&out);
		repr__float(&out, good[i].value);
		is_str(strbuf_str(&out), good[i].text, "float");
	}
}

static void ints(void)
{
	const uint32_t most = (1u << 30) - 1;
	uint32_t digit[REPR_MAX_DIGITS + 1] = { 0 };
	size_t len;

	is_str(integer(digit, 0, false), "0", "no digits");
	is_str(integer((uint32_t[]){ 5 }, 1, true), "-5", "one digit");
	is_str(integer((uint32_t[]){ most }, 1, false), "1073741823", "a full digit");
	is_str(integer((uint32_t[]){ 0, 1 }, 2, false), "1073741824", "the next number");
	is_str(integer((uint32_t[]){ 0, 0, 1024 }, 3, false), "1180591620717411303424", "2**70");
	is_str(integer((uint32_t[]){ 0x29893680, 0x3 }, 2, false), "3918083712",
	       "across two digits");
	is_str(integer((uint32_t[]){ 1u << 30 }, 1, false), "refused",
	       "more bits than a digit has");
	for (size_t i = 0; i < REPR_MAX_DIGITS; i++)
		digit[i] = most;
	len = strlen(integer(digit, REPR_MAX_DIGITS, false));
	ok(len > 1200 && len <= REPR_MAX_CHARS, "the largest has %zu characters", len);
	is_str(integer(digit, REPR_MAX_DIGITS + 1, false), "refused", "and one more digit");
}

static void texts(void)
{
	static const uint16_t bmp[] = { 0x65e5, 0x672c, 0xd800, 0x2028, 0x200b, 0xfeff, 0xa0 };
	static const uint32_t astral[] = { 0x1f600, 0xe0001, 0x10ffff, 0x110000, 0xffffffff };

	is_str(str("", 0, 1), "''", "empty");
	is_str(str("it's", 4, 1), "\"it's\"", "a single quote");
	is_str(str("\"", 1, 1), "'\"'", "a double one");
	is_str(str("'\"", 2, 1), "'\\'\"'", "both");
	is_str(str("a\\b\t\n\r\x01\x7f", 8, 1), "'a\\\\b\\t\\n\\r\\x01\\x7f'", "escapes");
	is_str(str("\xe9\x85\xa0\xad\xff", 5, 1), "'\xc3\xa9\\x85\\xa0\\xad\xc3\xbf'", "latin-1");
	is_str(str(bmp, sizeof(bmp), 2), "'\u65e5\u672c\\ud800\\u2028\\u200b\\ufeff\\xa0'",
	       "two bytes a character");
	is_str(str(astral, sizeof(astral), 4),
	       "'\U0001f600\\U000e0001\\U0010ffff\\U00110000\\Uffffffff'", "four");
	is_str(str(astral, 7, 4), "'\U0001f600'", "half a character is none");
	is_str(bytes("", 0), "b''", "empty bytes");
	is_str(bytes("a'\"\\\x00\n\x7f\xff", 8), "b'a\\'\"\\\\\\x00\\n\\x7f\\xff'", "bytes");
	is_str(bytes("'", 1), "b\"'\"", "their quotes");
}

int main(void)
{
	plan(30 + 9 + 12);
	floats();
	ints();
	texts();
	strbuf_free(&out);
	return done();
}
