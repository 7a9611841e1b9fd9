// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The layouts of bpf/slot_abi.h as bytes: what targets in the field have written must stay
 * readable, so the numbers are spelled out here once more. test_slot_abi.cpp is the same in
 * C++.
 */
#include <stddef.h>
#include <string.h>

#include "bpf/slot_abi.h"
#include "slot_layout.h"
#include "tap.h"

static void test_versions(void)
{
	static const unsigned char magic[SLOT_MAGIC_LEN] = SLOT_MAGIC_BYTES;
	static const unsigned char want[] = "\xad\xce\x61\x74\x17\x49\xff\x41"
					    "\xe8\xd4\xe8\x0a\x50\xb1\xfc\x86";
	unsigned char raw[32] = { 0 };
	struct slot_page v1;
	struct slot_page_v0 v0;

	ok(memcmp(magic, want, SLOT_MAGIC_LEN) == 0, "the magic is perpetuo's");
	/* One reading tells the versions apart: v0 has 64 bits where v1 has 32 and a capacity. */
	raw[24] = 1;
	raw[29] = 16;
	memcpy(&v1, raw, sizeof(raw));
	memcpy(&v0, raw, sizeof(raw));
	ok(v1.version == SLOT_V1 && v1.word_cap == 4096, "little endian, version before capacity");
	ok(v0.version != SLOT_V0, "a v1 page is no v0 page");
}

int main(void)
{
	size_t i;

	plan((int)SLOT_LAYOUT_CNT + 3);
	for (i = 0; i < SLOT_LAYOUT_CNT; i++)
		ok(slot_layout[i].got == slot_layout[i].want, "%s is %zu", slot_layout[i].what,
		   slot_layout[i].want);
	test_versions();
	return done();
}
