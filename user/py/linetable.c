// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * An entry (Objects/locations.md of CPython 3.11): a byte 1CCCCLLL with the code CCCC and the
 * length LLL + 1 in instructions of two bytes, then what the code says:
 *
 *	15	no location
 *	14	line (svarint), end line, column, end column (varints)
 *	13	line (svarint), no columns
 *	10-12	line + code - 10, two bytes of columns
 *	0-9	the same line, one byte of columns
 *
 * A varint has six bits a byte, low ones first, and 0x40 where more follow.
 */
#include "py/linetable.h"

#include <limits.h>
#include <stdbool.h>

#define CODE_NONE 15
#define CODE_LONG 14
#define CODE_NO_COLUMNS 13
#define CODE_ONE_LINE 10
#define BYTES_PER_INSTR 2
#define NO_LINE -128 /* 3.10 */

struct reader {
	const struct bytes *table;
	uint64_t at;
	bool failed; /* sticks */
};

static uint32_t next_byte(struct reader *r)
{
	uint8_t b;

	if (bytes_u8(r->table, r->at, &b))
		r->failed = true;
	r->at++;
	return b;
}

static uint32_t varint(struct reader *r)
{
	uint32_t b, v = 0;

	for (unsigned int shift = 0; shift < 32; shift += 6) {
		b = next_byte(r);
		v |= (b & 0x3f) << shift;
		if (!(b & 0x40))
			return v;
	}
	r->failed = true;
	return 0;
}

static int64_t svarint(struct reader *r)
{
	uint32_t v = varint(r);

	return v & 1 ? -(int64_t)(v >> 1) : (int64_t)(v >> 1);
}

static const struct line_place unknown_place = { .column = -1, .end_column = -1 };

static int clamp(int64_t line)
{
	return line > 0 && line <= INT_MAX ? (int)line : 0;
}

/* Columns are stored plus one: 0 = there is none. */
static void long_entry(struct reader *r, int64_t *line, struct line_place *out)
{
	int64_t end;
	uint32_t column, end_column;

	*line += svarint(r);
	end = *line + varint(r);
	column = varint(r);
	end_column = varint(r);
	if (end <= 0 || end > INT_MAX || column > INT_MAX || end_column > INT_MAX)
		return;
	out->end_line = (int)end;
	out->column = (int)column - 1;
	out->end_column = (int)end_column - 1;
}

/* Two bytes, or one with eight columns to a code. */
static void short_entry(struct reader *r, unsigned int code, int64_t *line, struct line_place *out)
{
	uint32_t first, second;

	first = next_byte(r);
	if (code >= CODE_ONE_LINE) {
		*line += code - CODE_ONE_LINE;
		second = next_byte(r);
	} else {
		second = code << 3 | (first >> 4 & 7);
		first = second + (first & 15);
	}
	out->end_line = clamp(*line);
	out->column = (int)(code >= CODE_ONE_LINE ? first : second);
	out->end_column = (int)(code >= CODE_ONE_LINE ? second : first);
}

/* Moves *LINE; false if these instructions have none. Of *OUT all but the line is set. */
static bool entry(struct reader *r, unsigned int code, int64_t *line, struct line_place *out)
{
	*out = unknown_place;
	if (code == CODE_NONE)
		return false;
	if (code == CODE_LONG)
		long_entry(r, line, out);
	else if (code == CODE_NO_COLUMNS)
		*line += svarint(r);
	else
		short_entry(r, code, line, out);
	return true;
}

void linetable__place(const struct bytes *table, int first, int64_t offset, struct line_place *out)
{
	struct reader r = { .table = table };
	int64_t line = first, shown = first, at = 0;
	struct line_place place;
	uint32_t head;

	*out = unknown_place;
	if (offset < 0) {
		out->line = first;
		return;
	}
	while (r.at < table->len) {
		head = next_byte(&r);
		if (entry(&r, head >> 3 & 15, &line, &place))
			shown = line;
		if (r.failed || line > INT_MAX || line < INT_MIN)
			return;
		at += ((head & 7) + 1) * BYTES_PER_INSTR;
		if (offset < at) {
			place.line = clamp(shown);
			*out = place.line ? place : unknown_place;
			return;
		}
	}
}

int linetable__line(const struct bytes *table, int first, int64_t offset)
{
	struct line_place place;

	linetable__place(table, first, offset, &place);
	return place.line;
}

/* Pairs of bytes: how far a range goes, and how much its line is above the one before. */
int linetable__line_ranges(const struct bytes *table, int first, int64_t offset)
{
	int64_t line = first, end = 0;
	uint8_t length, delta;

	if (offset < 0)
		return first;
	for (uint64_t at = 0; !bytes_u8(table, at, &length); at += 2) {
		if (bytes_u8(table, at + 1, &delta))
			return 0;
		if ((int8_t)delta != NO_LINE)
			line += (int8_t)delta;
		end += length;
		if (offset < end)
			return clamp(line);
	}
	return 0;
}

/* Pairs of bytes: how far the next line is from here, and how much it is above this one. */
int linetable__line_lnotab(const struct bytes *table, int first, int64_t offset)
{
	int64_t line = first, start = 0;
	uint8_t step, delta;

	if (offset < 0)
		return first;
	for (uint64_t at = 0; !bytes_u8(table, at, &step); at += 2) {
		start += step;
		if (start > offset)
			break;
		if (bytes_u8(table, at + 1, &delta))
			return 0;
		line += (int8_t)delta;
	}
	return clamp(line);
}
