// SPDX-License-Identifier: MIT OR Apache-2.0
/* Which threshold a stall has. */
#include "stall/threshold.h"

#include "tap.h"

static const struct thresholds one = { .alert_ns = 200 };

static const struct thresholds several = {
	.alert_ns = 200,
	.gil_ns = 100,
	.loop_ns = 300,
	.rule = { { "db: *", 50 }, { "db: slow", 900 }, { "GI?", 700 }, { "\\*[", 60 } },
	.nrules = 4,
};

int main(void)
{
	plan(17);
	is_int(thresholds__of(&one, "slot", "x"), 200, "one for all trackers");
	is_int(thresholds__of(&one, "gil", "GIL"), 200, "for waits for the GIL");
	is_int(thresholds__of(&one, "loop", ""), 200, "and for loops");
	is_int(thresholds__floor(&one, "slot"), 200, "which is the least");
	is_int(thresholds__least(&one), 200, "of all");

	is_int(thresholds__of(&several, "slot", "x"), 200, "no rule fits: that of the alert");
	is_int(thresholds__of(&several, "loop", "x"), 300, "or of the source");
	is_int(thresholds__of(&several, "slot", "db: users"), 50, "a rule by name");
	is_int(thresholds__of(&several, "slot", "db: slow"), 50, "the first that fits counts");
	is_int(thresholds__of(&several, "loop", "db: users"), 50, "for any source");
	is_int(thresholds__of(&several, "gil", "GIL"), 700, "before that of the source");
	is_int(thresholds__of(&several, "slot", "my db: users"), 200, "it fits the whole name");
	is_int(thresholds__of(&several, "slot", "\\a["), 60, "a backslash is one, so is a bracket");
	is_int(thresholds__floor(&several, "slot"), 50, "the least of a slot");
	is_int(thresholds__floor(&several, "loop"), 50, "of a loop");
	is_int(thresholds__least(&several), 50, "and of all");
	is_int(thresholds__least(&(struct thresholds){ .alert_ns = 200, .gil_ns = 20 }), 20,
	       "also by a source alone");
	return done();
}
