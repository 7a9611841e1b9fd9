/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What of a stack a person reads: the frames of the program. Frames of libraries between them, and
 * those of a recursion, become one line that says how many they are.
 */
#ifndef PERPETUO_SINK_FOLD_H
#define PERPETUO_SINK_FOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "stall/report.h"

/* A file of Python's own library, or one that was installed. */
bool file_in_library(const char *file);

/* From the outermost frame to the innermost, which is always told. */
struct fold {
	const struct report_thread *thread;
	bool all; /* nothing is folded but what was left out */
	bool packages_count; /* nothing is the program's own: what was installed stands for it */
	size_t shown; /* frames of the thread that may be told: the innermost ones */
	size_t left; /* of these are still to come */
	size_t hole; /* when so many are left, those come that were left out */
	size_t cut; /* how many */
};

struct fold_item {
	enum fold_kind {
		FOLD_FRAME, /* frame `first` of the thread */
		FOLD_LIBRARY, /* `cnt` frames of libraries: from `first` on inwards */
		FOLD_AGAIN, /* the frame before, `cnt` more times */
		FOLD_CUT, /* `cnt` frames that were left out */
	} kind;
	size_t first, cnt;
};

/* SHOWN as format_frames() says. */
void fold__init(struct fold *f, const struct report_thread *t, size_t shown, bool all);
bool fold__next(struct fold *f, struct fold_item *out); /* false: that was all */

/* Adds the names of the libraries of ITEM (FOLD_LIBRARY), at most four: "asyncio, selectors". */
void fold__add_libraries(const struct fold *f, const struct fold_item *item, struct strbuf *out);

#endif
