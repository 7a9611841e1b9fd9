// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/threshold.h"

#include <fnmatch.h>
#include <string.h>

static uint64_t of_source(const struct thresholds *t, const char *source)
{
	if (t->gil_ns && !strcmp(source, "gil"))
		return t->gil_ns;
	if (t->loop_ns && !strcmp(source, "loop"))
		return t->loop_ns;
	return t->alert_ns;
}

uint64_t thresholds__of(const struct thresholds *t, const char *source, const char *name)
{
	for (size_t i = 0; i < t->nrules; i++)
		if (!fnmatch(t->rule[i].name, name, FNM_NOESCAPE))
			return t->rule[i].ns;
	return of_source(t, source);
}

uint64_t thresholds__floor(const struct thresholds *t, const char *source)
{
	uint64_t least = of_source(t, source);

	for (size_t i = 0; i < t->nrules; i++)
		if (t->rule[i].ns < least)
			least = t->rule[i].ns;
	return least;
}

uint64_t thresholds__least(const struct thresholds *t)
{
	static const char *const sources[] = { "slot", "gil", "loop" };
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		uint64_t ns = thresholds__floor(t, sources[i]);

		least = ns < least ? ns : least;
	}
	return least;
}
