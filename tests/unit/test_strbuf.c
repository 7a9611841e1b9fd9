// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/strbuf.h"

#include "tap.h"

int main(void)
{
	struct strbuf b = STRBUF_INIT;
	char *own, *big;

	plan(15);
	is_str(strbuf_str(&b), "", "an empty one is an empty string");
	strbuf_adds(&b, "ab");
	strbuf_addc(&b, 'c');
	strbuf_addf(&b, "%d-%s", 12, "x");
	strbuf_add(&b, "\0y", 2);
	is_int(b.len, 9, "all was added");
	ok(!memcmp(strbuf_str(&b), "abc12-x\0y", 10), "in order, a NUL included, ended by a NUL");
	strbuf_reset(&b);
	is_str(strbuf_str(&b), "", "reset");
	for (int i = 0; i < 10000; i++)
		strbuf_addf(&b, "%04d", i);
	is_int(b.len, 40000, "it grows");
	ok(!memcmp(strbuf_str(&b) + 39996, "9999", 5), "and keeps its end");
	own = strbuf_detach(&b);
	ok(own && strlen(own) == 40000, "detached");
	free(own);
	is_str(strbuf_str(&b), "", "empty afterwards");
	own = strbuf_detach(&b);
	is_str(own, "", "an empty one detaches as an empty string");
	free(own);

	big = calloc(1, 1 << 20);
	if (!ok(big, "a megabyte"))
		return done();
	for (int i = 0; i < 65; i++)
		strbuf_add(&b, big, 1 << 20);
	ok(!strbuf_str(&b), "beyond STRBUF_MAX it fails");
	strbuf_adds(&b, "x");
	ok(!strbuf_str(&b), "and stays so");
	ok(!strbuf_detach(&b), "and detaches as NULL");
	is_str(strbuf_str(&b), "", "then it is ready for use");
	strbuf_free(&b);
	strbuf_free(&b);
	is_int(b.len, 0, "freeing twice is fine");
	free(big);
	return done();
}
