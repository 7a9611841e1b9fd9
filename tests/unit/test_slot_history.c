// SPDX-License-Identifier: MIT OR Apache-2.0
/* What the history of a slot says of a section that is over. */
#include "source/slot.h"

#include "tap.h"

#define MS 1000000ULL
#define T (200 * MS)
#define LONG (10 * MS)
#define AT(ms) ((1000 + (ms)) * MS)

static uint64_t end;

static enum slot_truth ask(const struct slot_past past[SLOT_PAST], uint64_t word, uint64_t now)
{
	end = 1;
	return slot_history(past, word, now, LONG, T, &end);
}

int main(void)
{
	const uint64_t word = AT(0) | 1;
	struct slot_past none[SLOT_PAST] = { { 0 } };
	struct slot_past one[SLOT_PAST] = { { 0 }, { word, AT(321) } };
	struct slot_past brief[SLOT_PAST] = { { word, AT(150) } };
	struct slot_past lies[SLOT_PAST] = { { word, word - 2 } };
	struct slot_past full[SLOT_PAST] = {
		{ AT(260) | 1, AT(280) },
		{ AT(300) | 1, AT(320) },
		{ AT(340) | 1, AT(360) },
		{ AT(250) | 1, AT(255) },
	};
	struct slot_past soon[SLOT_PAST];

	plan(13);
	is_int(ask(none, word, AT(199)), SLOT_WAS_SHORT, "idle before the threshold: short");
	is_int(ask(one, word, AT(321)), SLOT_WAS_LONG, "an entry longer than the threshold: long");
	is_int(end, AT(321), "and its end is exact");
	is_int(ask(one, word, AT(900) | 1), SLOT_WAS_LONG, "also when another section has begun");
	is_int(ask(brief, word, AT(900)), SLOT_WAS_SHORT, "an entry shorter than it: short");
	is_int(ask(none, word, AT(900)), SLOT_WAS_SHORT,
	       "no entry though none was overwritten: shorter than long_ns");
	is_int(ask(full, word, AT(900)), SLOT_CANNOT_SAY, "four later entries: not known");
	is_int(end, AT(250) | 1, "but no later than the first of them began");
	memcpy(soon, full, sizeof(soon));
	soon[3].start = AT(20) | 1;
	is_int(ask(soon, word, AT(900)), SLOT_WAS_SHORT, "a later one began before the threshold");
	is_int(ask(lies, word, AT(900)), SLOT_WAS_SHORT, "an end before the start is no entry");
	ok(end >= AT(0), "and leads to no end before the start");
	is_int(ask(none, word, AT(0) - 2), SLOT_WAS_SHORT, "a word that went back is no stall");
	is_int(slot_history(none, word, AT(900), T * 2, T, &end), SLOT_CANNOT_SAY,
	       "a target that keeps only longer ones cannot clear it");
	return done();
}
