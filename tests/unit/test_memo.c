// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/memo.h"

#include "image.h"
#include "tap.h"

#define AT 0x1000

/* A lookup: follows a word to a byte. */
static int look_up(struct mem *m, uint8_t *out)
{
	uint64_t at;
	int err = mem__read_u64(m, AT, &at);

	return err ? err : mem__read(m, at, out, 1);
}

static void same_bytes(void)
{
	uint8_t data[64] = { 0x20, 0x10 }, byte = 0;
	struct image im = { AT, data, sizeof(data), 0 };
	struct mem *m = image_mem(&im);
	struct memo *memo = memo__new();

	data[0x20] = 7;
	ok(!memo__holds(memo, m), "nothing holds before the first lookup");
	memo__begin(memo, m);
	is_int(look_up(m, &byte), 0, "the lookup");
	memo__end(memo, m);
	is_int(byte, 7, "finds the byte");
	im.calls = 0;
	ok(memo__holds(memo, m), "the same bytes hold");
	is_int(im.calls, 1, "which is known by one call");
	data[0x30] = 1;
	ok(memo__holds(memo, m), "what was not read may change");
	data[0x20] = 8;
	ok(!memo__holds(memo, m), "what was read may not");
	data[0x20] = 7;
	look_up(m, &byte);
	ok(memo__holds(memo, m), "reads behind the end of the lookup do not count");
	memo__drop(memo);
	ok(!memo__holds(memo, m), "a dropped one does not hold");
	memo__begin(memo, m);
	memo__end(memo, m);
	ok(!memo__holds(memo, m), "nor one that read nothing");
	memo__free(memo);
	memo__free(NULL);
	mem__free(m);
}

static void failures(void)
{
	uint8_t data[64] = { 0, 0xff }, byte;
	struct image im = { AT, data, sizeof(data), 0 };
	struct mem *m = image_mem(&im);
	struct memo *memo = memo__new();

	memo__begin(memo, m);
	is_int(look_up(m, &byte), -EFAULT, "a lookup that fails");
	memo__end(memo, m);
	ok(!memo__holds(memo, m), "is done again: it may succeed");

	memo__begin(memo, m);
	for (int i = 0; i < 20000; i++)
		mem__read(m, AT, &byte, 1);
	memo__end(memo, m);
	ok(!memo__holds(memo, m), "too many reads are not remembered");
	memo__begin(memo, m);
	for (int i = 0; i < 1000; i++)
		mem__read(m, AT + (uint64_t)i % 64, &byte, 1);
	memo__end(memo, m);
	ok(memo__holds(memo, m), "a thousand are");
	im.len = 32;
	ok(!memo__holds(memo, m), "until a part is not there any more");
	memo__free(memo);
	mem__free(m);
}

int main(void)
{
	plan(10 + 5);
	same_bytes();
	failures();
	return done();
}
