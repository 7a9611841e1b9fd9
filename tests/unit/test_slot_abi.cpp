// SPDX-License-Identifier: MIT OR Apache-2.0
// The header is C++, too, with the same layout: a program may publish slots without Python.
#include "slot_layout.h"

#include "tap.h"

int main()
{
	plan(SLOT_LAYOUT_CNT);
	for (const slot_layout_row &row : slot_layout)
		ok(row.got == row.want, "%s is %zu", row.what, row.want);
	return done();
}
