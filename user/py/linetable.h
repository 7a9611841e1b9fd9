/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Line tables of code objects: from a place in the bytecode to a line. */
#ifndef PERPETUO_PY_LINETABLE_H
#define PERPETUO_PY_LINETABLE_H

#include <stdint.h>

#include "base/bytes.h"

/* The piece of source that an instruction was made of. */
struct line_place {
	int line; /* 0 = unknown */
	int end_line; /* 0 = unknown; then the columns are, too */
	int column, end_column; /* from 0 on, in bytes of UTF-8; -1 = unknown */
};

/*
 * The line of the instruction at byte OFFSET of the bytecode of a code object that begins in line
 * FIRST. Before the first instruction it is FIRST; an instruction without a line (a generator's
 * first ones) has that of the nearest earlier one that has. 0 if the table does not reach so far or
 * is damaged.
 */
int linetable__line(const struct bytes *table, int first, int64_t offset); /* 3.11, PEP 657 */

/* The same with all that the table of 3.11 says. LINE is what linetable__line returns. */
void linetable__place(const struct bytes *table, int first, int64_t offset, struct line_place *out);

int linetable__line_ranges(const struct bytes *table, int first,
			   int64_t offset); /* 3.10, PEP 626 */

/* 3.9: the last line has no end there, so every offset has a line. */
int linetable__line_lnotab(const struct bytes *table, int first, int64_t offset);

#endif
