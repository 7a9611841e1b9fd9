// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/repr.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "py/unicode.h"

#define BASE 1000000000u /* decimal digits are made nine at a time */
#define BASE_DIGITS 9
#define MAX_GROUPS (REPR_MAX_DIGITS * REPR_DIGIT_BITS / 29 + 1) /* 2^29 < BASE */
#define DOUBLE_DIGITS 17 /* as many always tell two doubles apart */

int repr__int(struct strbuf *out, const struct bytes *digits, bool negative)
{
	uint32_t group[MAX_GROUPS] = { 0 };
	size_t cnt = digits->len / 4, n = 1;
	uint64_t carry;
	uint32_t digit;

	if (cnt > REPR_MAX_DIGITS)
		return -EINVAL;
	for (size_t i = cnt; i-- > 0;) {
		if (bytes_u32(digits, 4 * i, &digit) || digit >> REPR_DIGIT_BITS)
			return -EINVAL;
		carry = digit;
		for (size_t k = 0; k < n; k++) {
			carry += (uint64_t)group[k] << REPR_DIGIT_BITS;
			group[k] = (uint32_t)(carry % BASE);
			carry /= BASE;
		}
		for (; carry; carry /= BASE)
			group[n++] = (uint32_t)(carry % BASE);
	}
	strbuf_addf(out, "%s%u", negative ? "-" : "", group[n - 1]);
	for (size_t k = n - 1; k-- > 0;)
		strbuf_addf(out, "%0*u", BASE_DIGITS, group[k]);
	return 0;
}

/* ---- float ----------------------------------------------------------------------------------- */

/* Adds one to the last of the LEN digits of "d.ddd"; false: all are nines. */
static bool next_digits(char *text, size_t len)
{
	for (size_t i = len; i-- > 0;) {
		if (text[i] == '.')
			continue;
		if (text[i]++ != '9')
			return true;
		text[i] = '0';
	}
	return false;
}

/*
 * The shortest text "d.ddde+xx" that reads back as VALUE (positive, finite). Rounding to N digits
 * finds it, save above a power of two: the numbers below that lie closer, so the digits that were
 * rounded down may belong to one of them, while those one up still belong to VALUE.
 */
static void shortest(double value, char text[32])
{
	char up[32];

	for (int n = value < DBL_MIN ? 1 : DBL_DIG; n <= DOUBLE_DIGITS; n++) {
		snprintf(text, 32, "%.*e", n - 1, value);
		if (strtod(text, NULL) == value)
			return;
		memcpy(up, text, sizeof(up));
		if (next_digits(up, strcspn(up, "e")) && strtod(up, NULL) == value) {
			memcpy(text, up, sizeof(up));
			return;
		}
	}
}

/* float_repr_style 'short': an exponent below 1e-4 and from 1e16 on */
static void add_decimal(struct strbuf *out, const char *digit, int n, int exp)
{
	if (exp < -4 || exp >= 16) {
		strbuf_addc(out, digit[0]);
		if (n > 1)
			strbuf_addc(out, '.');
		strbuf_add(out, digit + 1, (size_t)n - 1);
		strbuf_addf(out, "e%c%02d", exp < 0 ? '-' : '+', abs(exp));
		return;
	}
	if (exp < 0)
		strbuf_adds(out, "0.");
	for (int i = exp + 1; i < 0; i++)
		strbuf_addc(out, '0');
	for (int i = 0; i < n || i <= exp; i++) {
		if (i && i == exp + 1)
			strbuf_addc(out, '.');
		strbuf_addc(out, i < n ? digit[i] : '0');
	}
	if (exp >= 0 && n <= exp + 1)
		strbuf_adds(out, ".0");
}

void repr__float(struct strbuf *out, double value)
{
	char text[32], digit[DOUBLE_DIGITS + 1];
	int n = 0, exp;

	if (isnan(value)) {
		strbuf_adds(out, "nan");
		return;
	}
	if (signbit(value))
		strbuf_addc(out, '-');
	if (isinf(value) || value == 0) {
		strbuf_adds(out, value == 0 ? "0.0" : "inf");
		return;
	}
	shortest(fabs(value), text);
	for (const char *p = text; *p != 'e' && n < DOUBLE_DIGITS; p++)
		if (*p >= '0' && *p <= '9')
			digit[n++] = *p;
	exp = atoi(strchr(text, 'e') + 1);
	while (n > 1 && digit[n - 1] == '0')
		n--;
	add_decimal(out, digit, n, exp);
}

/* ---- str and bytes --------------------------------------------------------------------------- */

/*
 * What str.isprintable() denies: separators other than the space, control, format, surrogate and
 * private characters, and the great gaps between what is assigned (Unicode 15). Which of the small
 * gaps are filled differs between versions of Python; they are taken as printable.
 */
static const struct {
	uint32_t first, last;
} unprintable[] = {
	{ 0x0, 0x1f },	      { 0x7f, 0xa0 },	    { 0xad, 0xad },	  { 0x600, 0x605 },
	{ 0x61c, 0x61c },     { 0x6dd, 0x6dd },	    { 0x70f, 0x70f },	  { 0x890, 0x891 },
	{ 0x8e2, 0x8e2 },     { 0x1680, 0x1680 },   { 0x180e, 0x180e },	  { 0x2000, 0x200f },
	{ 0x2028, 0x202f },   { 0x205f, 0x206f },   { 0x3000, 0x3000 },	  { 0xd800, 0xf8ff },
	{ 0xfeff, 0xfeff },   { 0xfff0, 0xfffb },   { 0xfffe, 0xffff },	  { 0x110bd, 0x110bd },
	{ 0x110cd, 0x110cd }, { 0x13430, 0x1343f }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
	{ 0x1fffe, 0x1ffff }, { 0x2fa1e, 0x2ffff }, { 0x323b0, 0xe00ff }, { 0xe01f0, 0xffffffff },
};

static bool printable(uint32_t c)
{
	size_t low = 0, high = sizeof(unprintable) / sizeof(unprintable[0]);
	size_t mid;

	if (c < 0x7f)
		return c >= 0x20;
	while (low < high) {
		mid = (low + high) / 2;
		if (c > unprintable[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return c < unprintable[low].first;
}

static uint32_t char_at(const struct bytes *chars, uint64_t at, uint32_t kind)
{
	uint32_t c4 = 0;
	uint16_t c2 = 0;
	uint8_t c1 = 0;

	if (kind == 4)
		return bytes_u32(chars, at, &c4), c4;
	if (kind == 2)
		return bytes_u16(chars, at, &c2), c2;
	return bytes_u8(chars, at, &c1), c1;
}

/* Single quotes, unless there are such in the text and no double ones. */
static char quote_of(const struct bytes *chars, uint32_t kind)
{
	bool has_single = false;
	uint32_t c;

	for (uint64_t at = 0; at + kind <= chars->len; at += kind) {
		c = char_at(chars, at, kind);
		if (c == '"')
			return '\'';
		has_single |= c == '\'';
	}
	return has_single ? '"' : '\'';
}

/* TEXT: bytes above ASCII are characters, too. */
static void add_char(struct strbuf *out, uint32_t c, char quote, bool text)
{
	static const char named[] = { ['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r', ['\\'] = '\\' };

	if (c < sizeof(named) && named[c])
		strbuf_addf(out, "\\%c", named[c]);
	else if (c == (uint32_t)quote)
		strbuf_addf(out, "\\%c", quote);
	else if (text ? printable(c) : c >= 0x20 && c < 0x7f)
		utf8_add(out, c);
	else if (c < 0x100)
		strbuf_addf(out, "\\x%02x", c);
	else if (c < 0x10000)
		strbuf_addf(out, "\\u%04x", c);
	else
		strbuf_addf(out, "\\U%08x", c);
}

static void add_quoted(struct strbuf *out, const struct bytes *chars, uint32_t kind, bool text)
{
	char quote = quote_of(chars, kind);

	strbuf_addc(out, quote);
	for (uint64_t at = 0; at + kind <= chars->len; at += kind)
		add_char(out, char_at(chars, at, kind), quote, text);
	strbuf_addc(out, quote);
}

void repr__str(struct strbuf *out, const struct bytes *chars, uint32_t kind)
{
	add_quoted(out, chars, kind, true);
}

void repr__bytes(struct strbuf *out, const struct bytes *data)
{
	strbuf_addc(out, 'b');
	add_quoted(out, data, 1, false);
}
