// SPDX-License-Identifier: MIT OR Apache-2.0
/* The head of a str (40 bytes), then its characters. */
#include "py/unicode.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct py_layout layout = {
	.object = { .type = 8 },
	.str = { .length = 16,
		 .state = 32,
		 .ascii_size = 40,
		 .compact_size = 56,
		 .interned_bits = 2 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bytes head = { data, len < 40 ? len : 40 };
	struct strbuf once = STRBUF_INIT, twice = STRBUF_INIT;
	struct py_str s;

	if (py_str__parse(&layout, &head, &s) || len < 40)
		return 0;
	if (s.kind != 1 && s.kind != 2 && s.kind != 4)
		abort();
	head = (struct bytes){ data + 40, len - 40 };
	py_str__decode(&once, &head, s.kind);
	/* what comes out is fit for a terminal: sanitising changes nothing any more */
	text_sanitize(&twice, once.data, once.len);
	if (once.len != twice.len || memcmp(strbuf_str(&once), strbuf_str(&twice), once.len))
		abort();
	strbuf_free(&once);
	strbuf_free(&twice);
	return 0;
}
