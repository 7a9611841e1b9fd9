// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * Length of the well-formed sequence at P (Unicode 15, table 3-7: no overlong forms, no surrogates,
 * nothing above U+10FFFF) and its code point; 0 if there is none.
 */
static size_t utf8_decode(const unsigned char *p, size_t len, uint32_t *cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n;
	uint32_t c;

	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return n;
}

/* Code points that would act on the terminal or on the text around them. */
static bool acts(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || (c >= 0x200e && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/* Printable ASCII at P: most of all text, taken as it is. */
static size_t plain_len(const unsigned char *p, size_t len)
{
	size_t n = 0;

	while (n < len && p[n] >= 0x20 && p[n] < 0x7f)
		n++;
	return n;
}

void text_sanitize(struct strbuf *out, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t c = 0;
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = plain_len(p + i, len - i);
		if (n) {
			strbuf_add(out, p + i, n);
			continue;
		}
		n = utf8_decode(p + i, len - i, &c);
		if (!n) {
			strbuf_addf(out, "\\x%02x", p[i]);
			n = 1;
		} else if (!acts(c)) {
			strbuf_add(out, p + i, n);
		} else if (c < 0x100) {
			strbuf_addf(out, "\\x%02x", c);
		} else {
			strbuf_addf(out, "\\u%04x", c);
		}
	}
}

size_t text_utf8_cut(const char *text, size_t len, size_t max)
{
	size_t n = max;

	if (len <= max)
		return len;
	/* at most 3 continuation bytes belong to one sequence; text that is no UTF-8 is cut
	 * anywhere */
	while (n > 0 && max - n < 3 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return ((unsigned char)text[n] & 0xc0) == 0x80 ? max : n;
}

void text_copy(char *out, size_t cap, const char *text)
{
	size_t n = text_utf8_cut(text, strlen(text), cap - 1);

	memcpy(out, text, n);
	out[n] = '\0';
}

void text_copy_clean(char *out, size_t cap, const char *raw, size_t len)
{
	struct strbuf clean = STRBUF_INIT;
	const char *text;

	text_sanitize(&clean, raw, len);
	text = strbuf_str(&clean);
	text_copy(out, cap, text ? text : "");
	strbuf_free(&clean);
}
