// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/layout.h"

#include <errno.h>

#include "debug_offsets.h"
#include "tap.h"

#ifdef __aarch64__
#define SIZE_39 672
#else
#define SIZE_39 656
#endif
#define HEX_311 0x030b07f0u
#define HEX_312 0x030c01f0u
#define HEX_313 0x030d00f0u
#define KNOWN "3.9, 3.10, 3.11, 3.12, 3.13, 3.13t, 3.14, 3.14t, 3.15, 3.15t"

static uint64_t words[128];
static struct bytes head = { (const uint8_t *)words, sizeof(words) };

static void load(const uint64_t *from, size_t cnt)
{
	memset(words, 0, sizeof(words));
	memcpy(words, from, cnt * sizeof(*from));
	memcpy(words, "xdebugpy", 8);
}

static void reset(void)
{
	load(debug_offsets_313, 73);
}

static int choose(uint32_t hex, uint64_t size, struct py_layout *out)
{
	return py_layout__choose(hex, size, &head, out, NULL);
}

static void tables(void)
{
	struct pywalk_layout bpf;
	struct py_layout l;

	is_int(choose(py_layout__unversioned("3.10", 1), 1, &l), 0, "3.10, by name");
	ok(!l.known_build && l.frame.step == 2 && l.code.lines == PY_LINES_RANGES,
	   "an unknown size of it");
	is_int(choose(py_layout__unversioned("3.9", 2), 2, &l), 0, "3.9, by name");
	ok(l.frame.step == 1 && l.code.lines == PY_LINES_LNOTAB, "its lines");
	py_layout__export(&l, &bpf);
	ok(bpf.ts_frame == 24 && bpf.f_prev == 24 && bpf.f_code == 32 && bpf.f_instr == 104 &&
		   bpf.f_owner == PYWALK_NONE && bpf.f_size <= PYWALK_FRAME_BYTES,
	   "its frames, for the kernel");
	ok(bpf.ts_native_id == PYWALK_NONE && bpf.ts_thread_id == 176 && bpf.pthread_tid > 0,
	   "the tid is the C library's");
	is_int(py_layout__unversioned("3.8", 1464), 0, "3.8");
	is_int(py_layout__unversioned(NULL, 1464), 0, "nor by its size");
	is_int(choose(HEX_311, 166688, &l), 0, "3.11");
	ok(l.known_build, "a build that was measured");
	ok(l.frame.span >= 70 && l.frame.mark == 68, "its frames");
	py_layout__export(&l, &bpf);
	ok(bpf.ts_frame == 56 && bpf.cf_frame == 8 && bpf.cf_prev == 16, "through cframe");
	ok(bpf.f_code == 32 && bpf.f_prev == 48 && bpf.f_mark == 68 && bpf.gen_owner == PYWALK_NONE,
	   "for the kernel");
	is_int(choose(HEX_311, 1, &l) ?: l.known_build, false,
	       "3.11 in an unknown size is not known");
	is_int(choose(HEX_312, 459960, &l) ?: l.known_build, true, "3.12 on arm64");
	py_layout__export(&l, &bpf);
	ok(bpf.f_mark == 70 && bpf.mark_val == 3 && bpf.gen_owner == 1, "3.12 has entry frames");
	ok(bpf.f_size <= PYWALK_FRAME_BYTES, "a frame fits into the record");
}

/* What each build says of itself, and that nothing else that it may say is believed. */
static const struct {
	const char *name;
	const uint64_t *words;
	size_t cnt;
	uint32_t modules, code_tag, copies, interned_bits, native_id, set_table;
} builds[] = {
	{ "3.13", debug_offsets_313, 73, 7656, 0, PY_NONE, 2, 160, 40 },
	{ "3.13t", debug_offsets_313t, 73, 7664, 0, PY_NONE, 2, 160, 56 },
	{ "3.14", debug_offsets_314, 95, 7688, 3, PY_NONE, 2, 160, 40 },
	{ "3.14t", debug_offsets_314t, 95, 7712, 3, 224, 8, 160, 56 },
	{ "3.15", debug_offsets_315, 111, 7592, 3, PY_NONE, 2, 184, 40 },
};
#define BUILDS (sizeof(builds) / sizeof(builds[0]))

static bool fits(const struct py_layout *l)
{
	return l->frame.span <= PYWALK_FRAME_BYTES && l->ts.frame + 8 <= PY_TSTATE_BYTES &&
	       l->ts.top + 8 <= PY_TSTATE_BYTES && l->code.span <= PY_CODE_BYTES &&
	       l->str.ascii_size <= PY_STR_BYTES && l->bytes.data <= PY_STR_BYTES &&
	       (l->code.copies == PY_NONE || l->code.copies + 8 <= l->code.span);
}

static void all_builds(void)
{
	static const uint64_t bad[] = { UINT64_MAX, 1ull << 63, 1ull << 32, 1ull << 20, 0x1001 };
	struct py_layout l;

	for (size_t b = 0; b < BUILDS; b++) {
		uint32_t hex = (uint32_t)builds[b].words[1];
		bool safe = true;

		load(builds[b].words, builds[b].cnt);
		is_int(choose(hex, 0, &l), 0, "%s", builds[b].name);
		ok(l.interp.modules == builds[b].modules &&
			   l.frame.code_tag == builds[b].code_tag &&
			   l.code.copies == builds[b].copies &&
			   l.str.interned_bits == builds[b].interned_bits &&
			   l.ts.native_id == builds[b].native_id &&
			   l.set.table == builds[b].set_table,
		   "%s: its fields", builds[b].name);
		ok(l.known_build, "%s: it speaks for itself", builds[b].name);
		head.len = (builds[b].cnt - 1) * 8;
		is_int(choose(hex, 0, &l), -EOPNOTSUPP, "%s: a table that is cut", builds[b].name);
		head.len = sizeof(words);
		/* whatever a target says must be refused or lie inside of what the walker holds */
		for (size_t i = 3; i < builds[b].cnt; i++) {
			for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
				load(builds[b].words, builds[b].cnt);
				words[i] = bad[k];
				if (!choose(hex, 0, &l) && !fits(&l)) {
					diag("word %zu", i);
					safe = false;
				}
			}
		}
		ok(safe, "%s: no word out of range does harm", builds[b].name);
	}
}

static void debug_offsets(void)
{
	struct pywalk_layout bpf;
	struct py_layout l;

	reset();
	is_int(choose(HEX_313, 283320, &l), 0, "3.13");
	ok(l.runtime.interpreters_main == 640 && l.interp.modules == 7656 && l.ts.top == 240,
	   "its offsets");
	ok(l.gil.locked == 16 && l.gil.last_holder == 8 && l.str.compact_size == 56,
	   "relative ones");
	py_layout__export(&l, &bpf);
	ok(bpf.cf_frame == PYWALK_NONE && bpf.ts_frame == 72, "without cframe");

	reset();
	words[0]++;
	is_int(choose(HEX_313, 283320, &l), -EOPNOTSUPP, "no cookie");
	reset();
	words[1] = HEX_312;
	is_int(choose(HEX_313, 283320, &l), -EOPNOTSUPP, "another version in the table");
	reset();
	head.len = 300;
	is_int(choose(HEX_313, 283320, &l), -EOPNOTSUPP, "a table that is cut");
	head.len = sizeof(words);
}

static void versions(void)
{
	struct err err = { { 0 } };
	char text[PY_VERSION_LEN];
	struct py_layout l;

	py_version__format(0x030e0af0, text);
	is_str(text, "3.14.10", "a release");
	py_version__format(py_layout__unversioned(NULL, SIZE_39), text);
	is_str(text, "3.9", "a release by its size: which one is not known");
	py_version__format(0x030d00c2, text);
	is_str(text, "3.13.0rc2", "a release candidate");
	is_int(py_layout__choose(0x031000f0, 316616, &head, &l, &err), -EOPNOTSUPP, "3.16");
	is_str(err.text, "CPython 3.16.0 is not known yet; known are " KNOWN, "by name");
	load(debug_offsets_315, 111);
	words[2] = 1;
	/* the offsets are not those of such a build, the row is */
	is_int(py_layout__choose((uint32_t)words[1], 0, &head, &l, &err), 0, "3.15t");
	ok(!l.known_build && l.type.cached_keys == 904, "was never met: it must prove itself");
	is_int(choose(0x030c00a7, 459944, &l), -EOPNOTSUPP, "an alpha release is not the release");
	is_int(choose(0, 0, &l), -EOPNOTSUPP, "version 0");
	is_int(choose(UINT32_MAX, 0, &l), -EOPNOTSUPP, "a version that cannot be");
}

int main(void)
{
	plan(17 + 5 * BUILDS + 7 + 10);
	tables();
	all_builds();
	debug_offsets();
	versions();
	return done();
}
