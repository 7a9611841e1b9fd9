/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A record as text for people: what all kinds of them are made of. */
#ifndef PERPETUO_SINK_PAGE_H
#define PERPETUO_SINK_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sink/sink.h"

struct page {
	struct strbuf *out;
	const struct sink_style *style;
	size_t budget; /* bytes of frames that are left (format.h) */
};

enum paint {
	PAINT_ALARM,
	PAINT_GOOD,
	PAINT_STUCK,
	PAINT_TITLE,
	PAINT_FAINT,
};

/* From here on in that colour, if there are any, until page__unpaint(). */
void page__paint(struct page *p, enum paint paint);
void page__unpaint(struct page *p);

/* What comes from outside goes through here, whoever has looked at it before. */
void page__text(struct page *p, const char *text);
void page__time(struct page *p, uint64_t wall_ns);

/* "[Warning] Stall detected", without the end of its line */
void page__headline(struct page *p, enum paint paint, const char *severity, const char *message);
/* "  -- 6 threads --" */
void page__title(struct page *p, enum paint paint, const char *title);
/* "  Note: ..."; nothing for an empty TEXT */
void page__note(struct page *p, const char *title, const char *text);
/* As a shell would take it, so that it can be copied; nothing without arguments. */
void page__cmdline(struct page *p, const char *const *cmdline, size_t n);

/* A line; that of the frame that is stuck can be painted. */
void page__frame(struct page *p, const struct report_frame *f, bool innermost, bool stuck);
/* The thread, its frames from the outermost on, where it is below them, and what there is to say of
 * all that. */
void page__thread(struct page *p, const struct report_thread *t, bool emphasis);

#endif
