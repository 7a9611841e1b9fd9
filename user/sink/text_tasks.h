/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PERPETUO_SINK_TEXT_TASKS_H
#define PERPETUO_SINK_TEXT_TASKS_H

struct page;
struct report_tasks;

/* The tasks of event loops as a tree, with a title; nothing where there is nothing to say. */
void text_tasks(struct page *p, const struct report_tasks *r);

#endif
