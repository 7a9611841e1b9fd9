/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A growing string. Errors stick: after a failed allocation (or STRBUF_MAX bytes) every further
 * call does nothing and strbuf_str() returns NULL, so that a writer checks once, at its end.
 */
#ifndef PERPETUO_BASE_STRBUF_H
#define PERPETUO_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

#define STRBUF_MAX (64u << 20)

struct strbuf {
	char *data; /* owned; NUL-terminated when not NULL */
	size_t len;
	size_t cap;
	bool failed;
};

#define STRBUF_INIT \
	{           \
		0   \
	}

void strbuf_free(struct strbuf *b); /* and ready for use again */
void strbuf_reset(struct strbuf *b); /* empty, keeps its memory */
void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The text ("" when nothing was added), owned by B; NULL after a failure. */
const char *strbuf_str(const struct strbuf *b);

/* The text as the caller's own (free() it); NULL after a failure. B is empty afterwards. */
char *strbuf_detach(struct strbuf *b);

#endif
