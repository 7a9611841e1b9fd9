// SPDX-License-Identifier: MIT OR Apache-2.0
/* _Py_DebugOffsets that say anything (the first byte chooses the version, the second the build):
 * what is accepted must fit the walker's buffers. */
#include "py/layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint32_t version[] = { 0x030d00f0, 0x030e0af0, 0x030f02f0 };
	uint64_t words[PY_RUNTIME_HEAD / 8] = { 0 };
	struct bytes head = { (const uint8_t *)words, sizeof(words) };
	struct pywalk_layout bpf;
	struct py_layout l;
	uint16_t small;
	uint32_t hex;

	if (len < 2)
		return 0;
	hex = version[data[0] % 3];
	/* 16 bits a word: large ones are refused at once and teach nothing */
	for (size_t i = 0; i < sizeof(words) / 8 && 2 * i + 4 <= len; i++) {
		memcpy(&small, data + 2 + 2 * i, 2);
		words[i] = small == 0xffff ? UINT64_MAX : small;
	}
	memcpy(words, "xdebugpy", 8);
	words[1] = hex;
	words[2] = data[1] & 1;
	if (py_layout__choose(hex, 0, &head, &l, NULL))
		return 0;
	py_layout__export(&l, &bpf);
	if (bpf.f_size > PYWALK_FRAME_BYTES || bpf.f_prev + 8 > bpf.f_size ||
	    bpf.f_code + 8 > bpf.f_size || bpf.f_instr + 8 > bpf.f_size ||
	    bpf.f_owner >= bpf.f_size)
		abort();
	if (l.ts.frame + 8 > PY_TSTATE_BYTES || l.ts.top + 8 > PY_TSTATE_BYTES ||
	    l.ts.next + 8 > PY_TSTATE_BYTES || l.ts.native_id + 8 > PY_TSTATE_BYTES)
		abort();
	if (l.code.span > PY_CODE_BYTES || l.str.ascii_size > PY_STR_BYTES ||
	    l.bytes.data > PY_STR_BYTES || l.str.length >= l.str.ascii_size ||
	    l.object.var_size >= l.bytes.data)
		abort();
	if (l.code.copies != PY_NONE && l.code.copies + 8 > l.code.span)
		abort();
	return 0;
}
