/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PERPETUO_SINK_TEXT_DUMP_H
#define PERPETUO_SINK_TEXT_DUMP_H

struct report_dump;
struct sink_style;
struct strbuf;

/* One look at a process, for people: sink_format.dump of text.c. */
void text_dump(struct strbuf *out, const struct sink_style *style, const struct report_dump *r);

#endif
