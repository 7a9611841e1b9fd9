// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * An entry (Objects/locations.md of CPython 3.11): a byte 1CCCCLLL with the code CCCC and the
 * length LLL + 1 in instructions of two bytes, then what the code says:
 *
 *	15	no location			14	line (svarint), end line, column, end column
 *(varints) 13	line (svarint), no columns	10-12	line + code - 10, two bytes of columns 0-9
 *the same line, one byte of columns
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

/* How far the line moves; *NONE if these instructions have none. */
static int64_t entry(struct reader *r, unsigned int code, bool *none)
{
	int64_t delta = 0;

	*none = code == CODE_NONE;
	if (code == CODE_LONG) {
		delta = svarint(r);
		varint(r);
		varint(r);
		varint(r);
	} else if (code == CODE_NO_COLUMNS) {
		delta = svarint(r);
	} else if (code >= CODE_ONE_LINE && code < CODE_NO_COLUMNS) {
		delta = code - CODE_ONE_LINE;
		r->at += 2;
	} else if (code < CODE_ONE_LINE) {
		r->at++;
	}
	return delta;
}

int linetable__line(const struct bytes *table, int first, int64_t offset)
{
	struct reader r = { .table = table };
	int64_t line = first, shown = first, at = 0;
	uint32_t head;
	bool none;

	if (offset < 0)
		return first;
	while (r.at < table->len) {
		head = next_byte(&r);
		line += entry(&r, head >> 3 & 15, &none);
		if (r.failed || line > INT_MAX || line < INT_MIN)
			return 0;
		if (!none)
			shown = line;
		at += ((head & 7) + 1) * BYTES_PER_INSTR;
		if (offset < at)
			return shown > 0 ? (int)shown : 0;
	}
	return 0;
}

static int clamp(int64_t line)
{
	return line > 0 && line <= INT_MAX ? (int)line : 0;
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
