// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/linetable.h"

#include <limits.h>

#include "tap.h"

#define HEAD(code, len) (0x80 | (code) << 3 | ((len)-1))

static int line(const uint8_t *data, size_t len, int first, int64_t offset)
{
	struct bytes b = { data, len };

	return linetable__line(&b, first, offset);
}

/*
 * What CPython 3.9 and 3.10 made of
 *	def f(a):
 *	    x = (a +
 *	<300 empty lines>
 *		1)
 *	    for i in a:
 *		x = [
 *		    i,
 *		    x]
 *	    return x
 */
static const uint8_t lnotab[] = {
	0x00, 0x01, 0x02, 0x7f, 0x00, 0x7f, 0x00, 0x2f, 0x02, 0x80, 0x00, 0x80, 0x00, 0xd3,
	0x04, 0x7f, 0x00, 0x7f, 0x00, 0x30, 0x08, 0x02, 0x02, 0x01, 0x02, 0xfe, 0x06, 0x03,
};
static const uint8_t ranges[] = {
	0x02, 0x01, 0x00, 0x7f, 0x00, 0x7f, 0x02, 0x2f, 0x00, 0x81, 0x00, 0x81, 0x04, 0xd1,
	0x00, 0x7f, 0x00, 0x7f, 0x08, 0x30, 0x02, 0x02, 0x02, 0x01, 0x06, 0xfe, 0x04, 0x03,
};

typedef int line_fn(const struct bytes *table, int first, int64_t offset);

/* Both say the same of the same function. */
static void before_311(line_fn *lookup, const uint8_t *data, size_t len, const char *version)
{
	static const struct {
		int64_t offset;
		int line;
	} want[] = {
		{ -2, 1 },   { 0, 2 },	  { 2, 303 },  { 4, 2 },    { 7, 2 },	 { 8, 304 },
		{ 15, 304 }, { 16, 306 }, { 18, 307 }, { 20, 305 }, { 26, 308 },
	};
	struct bytes table = { data, len }, cut = { data, len - 1 }, none = { NULL, 0 };
	bool right = true;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		if (lookup(&table, 1, want[i].offset) != want[i].line)
			right = false;
	ok(right, "%s: lines of a function, up and down", version);
	is_int(lookup(&cut, 1, 26), 0, "%s: a table that is cut", version);
	is_int(lookup(&table, -100, 0), 0, "%s: a negative line is none", version);
	is_int(lookup(&table, INT_MAX, 2), 0, "%s: a line out of range", version);
	ok(lookup(&none, 7, 2) == (lookup == linetable__line_lnotab ? 7 : 0), "%s: no table",
	   version);
}

static void no_line(void)
{
	static const uint8_t table[] = { 4, 0x80, 2, 1, 2, 0x80 };
	struct bytes b = { table, sizeof(table) };

	is_int(linetable__line_ranges(&b, 10, 2), 10, "3.10: no line at the start: the first");
	is_int(linetable__line_ranges(&b, 10, 4), 11, "3.10: a line");
	is_int(linetable__line_ranges(&b, 10, 6), 11, "3.10: no line: the one before");
	is_int(linetable__line_ranges(&b, 10, 8), 0, "3.10: behind the table");
}

/* The table of main() and what its entries say of columns. */
static void places(const uint8_t *table, size_t len)
{
	static const struct {
		int64_t offset;
		struct line_place place;
		const char *name;
	} want[] = {
		{ 0, { 10, 0, -1, -1 }, "an instruction without a place" },
		{ 4, { 10, 10, 5, 8 }, "the short form" },
		{ 6, { 12, 12, 1, 2 }, "two bytes of columns" },
		{ 12, { 7, 0, -1, -1 }, "a line alone" },
		{ 28, { 107, 107, 4, 8 }, "the long form" },
		{ 32, { 0, 0, -1, -1 }, "behind the table" },
	};
	struct bytes b = { table, len };
	struct line_place p;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		linetable__place(&b, 10, want[i].offset, &p);
		ok(!memcmp(&p, &want[i].place, sizeof(p)), "place: %s", want[i].name);
	}
}

int main(void)
{
	/* 2 instructions without a line; 1 in line 10 (same line, short form); 3 in 12; 8 in 7
	 * (svarint -5, no columns); 1 in 107 (long form, +100); 1 without */
	static const uint8_t table[] = {
		HEAD(15, 2), HEAD(0, 1), 0x53, HEAD(12, 3), 1,	  2,	HEAD(13, 8), 0x0b,
		HEAD(14, 1), 0x48,	 0x03, 0x00,	    0x05, 0x09, HEAD(15, 1),
	};
	static const uint8_t endless[] = { HEAD(13, 1), 0x40, 0x40, 0x40, 0x40,
					   0x40,	0x40, 0x40, 0x40 };
	static const uint8_t huge[] = { HEAD(13, 1), 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 0x03 };
	uint8_t noise[512];
	int seen = 0;

	plan(18 + 6 + 2 * 5 + 4);
	before_311(linetable__line_lnotab, lnotab, sizeof(lnotab), "3.9");
	before_311(linetable__line_ranges, ranges, sizeof(ranges), "3.10");
	no_line();
	places(table, sizeof(table));
	is_int(line(table, sizeof(table), 10, -2), 10, "before the first instruction");
	is_int(line(table, sizeof(table), 10, 0), 10, "no line at the start: the first");
	is_int(line(table, sizeof(table), 10, 4), 10, "the same line");
	is_int(line(table, sizeof(table), 10, 6), 12, "two lines down");
	is_int(line(table, sizeof(table), 10, 11), 12, "its last byte");
	is_int(line(table, sizeof(table), 10, 12), 7, "back");
	is_int(line(table, sizeof(table), 10, 27), 7, "its last byte");
	is_int(line(table, sizeof(table), 10, 28), 107, "a long entry");
	is_int(line(table, sizeof(table), 10, 30), 107, "no line: the one before");
	is_int(line(table, sizeof(table), 10, 32), 0, "behind the table");
	is_int(line(table, sizeof(table), 10, INT64_MAX), 0, "far behind");
	is_int(line(table, 8, 10, 28), 0, "a table that is cut");
	is_int(line(table, sizeof(table), -100, 6), 0, "a negative line is none");
	is_int(line(endless, sizeof(endless), 1, 0), 0, "a number without end");
	is_int(line(huge, sizeof(huge), 1, 0), 0, "a line out of range");
	is_int(line(NULL, 0, 1, 0), 0, "no table");
	is_int(line(table, 1, INT_MAX, 0), INT_MAX, "the largest line");
	for (unsigned int seed = 0; seed < 2000; seed++) {
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)((seed * 2654435761u + i * 40503u) >> 11);
		seen += line(noise, sizeof(noise), 1, seed) >= 0;
	}
	is_int(seen, 2000, "noise gives a line or none");
	return done();
}
