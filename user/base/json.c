// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/json.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define MAX_DIGITS 20 /* of a 64-bit number */

/* What stands before a value. */
static void begin(struct json *j, const char *key)
{
	if (j->comma)
		strbuf_addc(j->out, ',');
	j->comma = true;
	if (!key)
		return;
	strbuf_addc(j->out, '"');
	strbuf_adds(j->out, key);
	strbuf_add(j->out, "\":", 2);
}

void json__open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	strbuf_addc(j->out, bracket);
	j->comma = false;
}

void json__close(struct json *j, char bracket)
{
	strbuf_addc(j->out, bracket);
	j->comma = true;
}

/* Bytes at P that stand for themselves: printable ASCII, not what a string ends or escapes with. */
static size_t plain_len(const char *p)
{
	size_t n = 0;

	while (p[n] >= 0x20 && p[n] < 0x7f && p[n] != '"' && p[n] != '\\')
		n++;
	return n;
}

/* TEXT has no control characters. */
static void add_escaped(struct strbuf *out, const char *text)
{
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\"\\");

		strbuf_add(out, p, n);
		p += n;
		if (!*p)
			break;
		strbuf_addc(out, '\\');
		strbuf_addc(out, *p++);
	}
}

void json__text(struct json *j, const char *key, const char *value)
{
	struct strbuf clean = STRBUF_INIT;
	size_t n = plain_len(value);

	begin(j, key);
	strbuf_addc(j->out, '"');
	strbuf_add(j->out, value, n);
	if (value[n]) {
		text_sanitize(&clean, value + n, strlen(value + n));
		if (strbuf_str(&clean))
			add_escaped(j->out, strbuf_str(&clean));
		else
			j->out->failed = true;
		strbuf_free(&clean);
	}
	strbuf_addc(j->out, '"');
}

static void add_number(struct strbuf *out, uint64_t value)
{
	char digit[MAX_DIGITS];
	size_t at = sizeof(digit);

	do
		digit[--at] = (char)('0' + value % 10);
	while (value /= 10);
	strbuf_add(out, digit + at, sizeof(digit) - at);
}

void json__count(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	add_number(j->out, value > INT64_MAX ? INT64_MAX : value);
}

void json__int(struct json *j, const char *key, int64_t value)
{
	begin(j, key);
	if (value < 0)
		strbuf_addc(j->out, '-');
	add_number(j->out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json__bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	strbuf_adds(j->out, value ? "true" : "false");
}

void json__null(struct json *j, const char *key)
{
	begin(j, key);
	strbuf_add(j->out, "null", 4);
}

void json__millis(struct json *j, const char *key, uint64_t ns)
{
	uint64_t us = ns / NSEC_PER_USEC;
	unsigned int part = (unsigned int)(us % 1000);
	const char digit[] = { '.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
			       (char)('0' + part % 10) };

	begin(j, key);
	add_number(j->out, us / 1000);
	/* as few as say it, but one */
	strbuf_add(j->out, digit, part % 10 ? 4 : part % 100 ? 3 : 2);
}
