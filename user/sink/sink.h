/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where reports go. A sink formats one record into memory and hands it to the output in one piece,
 * so that a record is whole or absent.
 */
#ifndef PERPETUO_SINK_SINK_H
#define PERPETUO_SINK_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "stall/report.h"

struct sink_style {
	bool colour;
	bool locals; /* --print-locals */
	bool full; /* --full: text leaves no frame and no thread out */
};

/* Formats, never writes. Each adds one whole record (JSON: one line; text: an info is one line, a
 * stall or a dump has a blank line behind it). */
struct sink_format {
	const char *name; /* "text", "json" */
	void (*stall)(struct strbuf *out, const struct sink_style *style,
		      const struct report_stall *r);
	void (*info)(struct strbuf *out, const struct sink_style *style,
		     const struct report_info *r);
	void (*summary)(struct strbuf *out, const struct sink_style *style,
			const struct report_summary *r);
	void (*dump)(struct strbuf *out, const struct sink_style *style,
		     const struct report_dump *r);
};

extern const struct sink_format sink_text;
extern const struct sink_format sink_json;

struct sink; /* a format and an output */

/*
 * The caller ignores SIGPIPE and SIGXFSZ: here they are errors of one record.
 *
 * PATH NULL: the file descriptor FD, which stays the caller's. Else the file is opened for
 * appending (created 0600 if it is not there; a FIFO or device is taken as it is) and *OUT owns it.
 * 0 or negative errno with ERR. Colour: only to a terminal, and not with NO_COLOR (no-color.org) or
 * TERM=dumb.
 */
int sink__open(const struct sink_format *format, int fd, const char *path, bool locals,
	       struct sink **out, struct err *err);
void sink__free(struct sink *s); /* NULL is fine */
void sink__show_all(struct sink *s); /* --full */

/*
 * 0, or negative errno when the record could not be written whole (ERR says where and why). -EPIPE:
 * nobody reads any more. After a partial write to a file the torn record is cut off again, so that
 * what stands there is whole. Records that were not written are counted.
 */
int sink__stall(struct sink *s, const struct report_stall *r, struct err *err);
int sink__info(struct sink *s, const struct report_info *r, struct err *err);
int sink__summary(struct sink *s, const struct report_summary *r, struct err *err);
int sink__dump(struct sink *s, const struct report_dump *r, struct err *err);
uint64_t sink__lost(const struct sink *s);

#endif
