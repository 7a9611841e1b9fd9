// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for EXTRA bytes and a NUL; false (and a sticky failure) if there is none. */
static bool grow(struct strbuf *b, size_t extra)
{
	size_t cap;
	char *data;

	if (b->failed)
		return false;
	if (extra >= STRBUF_MAX - b->len)
		goto fail;
	if (b->len + extra < b->cap)
		return true;
	cap = b->cap ? b->cap : 64;
	while (cap <= b->len + extra)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		goto fail;
	b->data = data;
	b->cap = cap;
	return true;
fail:
	b->failed = true;
	return false;
}

void strbuf_free(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf)STRBUF_INIT;
}

void strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

void strbuf_add(struct strbuf *b, const void *data, size_t len)
{
	if (!grow(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void strbuf_adds(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void strbuf_addc(struct strbuf *b, char c)
{
	strbuf_add(b, &c, 1);
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (!grow(b, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

const char *strbuf_str(const struct strbuf *b)
{
	if (b->failed)
		return NULL;
	return b->data ? b->data : "";
}

char *strbuf_detach(struct strbuf *b)
{
	char *data = NULL;

	if (!b->failed)
		data = b->data ? b->data : strdup("");
	if (data != b->data)
		free(b->data);
	*b = (struct strbuf)STRBUF_INIT;
	return data;
}
