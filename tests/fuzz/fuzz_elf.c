// SPDX-License-Identifier: MIT OR Apache-2.0
/* An ELF file in memory, and symbols looked up in it. */
#include "proc/elf.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/image.h"

#define BASE 0x7f0000000000
#define MAX_CALLS 8192 /* of reads for one symbol: the chain is bounded */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const names[] = { "_PyRuntime", "Py_Version", "abc", "" };
	struct image im = { BASE, NULL, len, 0 };
	struct elf_symbol sym;
	struct elf elf;
	struct mem *m;
	uint8_t *copy;

	if (len < sizeof(Elf64_Ehdr))
		return 0;
	copy = malloc(len);
	m = image_mem(&im);
	if (!copy || !m)
		abort();
	memcpy(copy, data, len);
	memcpy(copy, "\177ELF\2\1", 6);
	im.data = copy;
	if (!elf__open(m, BASE, &elf)) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			im.calls = 0;
			elf__symbol(&elf, names[i], &sym);
			if (im.calls > MAX_CALLS)
				abort();
		}
	}
	mem__free(m);
	free(copy);
	return 0;
}
