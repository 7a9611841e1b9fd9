// SPDX-License-Identifier: MIT OR Apache-2.0
/* First line and offset, then the line table. */
#include "py/linetable.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct line_place place;
	struct bytes table;
	int32_t first, offset;

	if (len < 8)
		return 0;
	memcpy(&first, data, 4);
	memcpy(&offset, data + 4, 4);
	table = (struct bytes){ data + 8, len - 8 };
	/* a line is a line or unknown; only the first may be nonsense: it is the caller's */
	if (offset >= 0 && (linetable__line(&table, first, offset) < 0 ||
			    linetable__line_ranges(&table, first, offset) < 0 ||
			    linetable__line_lnotab(&table, first, offset) < 0))
		abort();
	linetable__place(&table, first, offset, &place);
	if (place.end_line < 0 || place.column < -1 || place.end_column < -1)
		abort();
	return 0;
}
