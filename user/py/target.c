// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/target.h"

#include "base/clock.h"

bool py_target__late(const struct py_target *t)
{
	return clock_monotonic_ns() >= t->deadline_ns;
}
