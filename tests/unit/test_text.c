// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/text.h"

#include "tap.h"

static const struct {
	const char *in, *out, *name;
} cases[] = {
	{ "plain text", "plain text", "plain" },
	{ "w\xc3\xb6rker \xe6\x97\xa5 \xf0\x9d\x93\xaf",
	  "w\xc3\xb6rker \xe6\x97\xa5 \xf0\x9d\x93\xaf", "two, three and four bytes" },
	{ "a\nb\tc\r", "a\\x0ab\\x09c\\x0d", "control characters" },
	{ "\x1b[31mred\x7f", "\\x1b[31mred\\x7f", "escape sequences and DEL" },
	{ "\xc2\x9b"
	  "31m",
	  "\\x9b31m", "C1: CSI in one character" },
	{ "\xe2\x80\xae"
	  "abc",
	  "\\u202eabc", "right-to-left override" },
	{ "\xe2\x81\xa6\xe2\x80\xa8", "\\u2066\\u2028", "isolates, line separator" },
	{ "\xef\xbb\xbf", "\\ufeff", "byte order mark" },
	{ "\xc0\xaf", "\\xc0\\xaf", "an overlong slash" },
	{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf", "a longer one" },
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80", "a surrogate" },
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "above U+10FFFF" },
	{ "\xe6\x97", "\\xe6\\x97", "cut in the middle" },
	{ "\xff\xfe", "\\xff\\xfe", "no UTF-8 at all" },
	{ "\x80z", "\\x80z", "a lone continuation" },
};

static void cuts(void)
{
	static const char text[] = "a\xc3\xb6\xe6\x97\xa5\xf0\x9d\x93\xaf";
	char copy[6];
	static const size_t want[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10 };

	for (size_t max = 0; max < sizeof(want) / sizeof(want[0]); max++)
		is_int(text_utf8_cut(text, sizeof(text) - 1, max), want[max], "cut at %zu", max);
	is_int(text_utf8_cut("\x80\x80\x80\x80\x80\x80", 6, 5), 5, "no UTF-8 is cut anywhere");
	text_copy(copy, sizeof(copy), text);
	is_str(copy, "a\xc3\xb6", "a copy of what fits");
}

int main(void)
{
	size_t n = sizeof(cases) / sizeof(cases[0]);
	struct strbuf once = STRBUF_INIT, twice = STRBUF_INIT;

	plan((int)n * 2 + 14);
	for (size_t i = 0; i < n; i++) {
		strbuf_reset(&once);
		strbuf_reset(&twice);
		text_sanitize(&once, cases[i].in, strlen(cases[i].in));
		is_str(strbuf_str(&once), cases[i].out, "%s", cases[i].name);
		text_sanitize(&twice, once.data, once.len);
		is_str(strbuf_str(&twice), cases[i].out, "%s: twice changes nothing",
		       cases[i].name);
	}
	cuts();
	strbuf_free(&once);
	strbuf_free(&twice);
	return done();
}
