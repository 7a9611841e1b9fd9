// SPDX-License-Identifier: MIT OR Apache-2.0
/* A file that a process has mapped: symbols and unwinding rules; and entries of the latter alone.
 */
#include "proc/module.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void look_into(const uint8_t *data, size_t len)
{
	int fd = memfd_create("module", MFD_CLOEXEC);
	struct symbol symbol = { .vaddr = 0x1000 };
	struct cfi_row row;
	struct module m;

	if (fd < 0)
		abort();
	/* most bytes would be spent on these */
	if (write(fd, "\177ELF\2\1", 6) != 6 || (len > 6 && write(fd, data + 6, len - 6) < 0))
		abort();
	if (module__from_fd(&m, fd))
		return;
	module__symbols(&m, &symbol, 1);
	if (strnlen(symbol.name, sizeof(symbol.name)) == sizeof(symbol.name))
		abort();
	for (uint64_t vaddr = 0; vaddr < 0x2000; vaddr += 0x400)
		module__row(&m, vaddr, &row);
	module__close(&m);
}

/* The first byte says how much of it is the common entry. */
static void parse_entries(const uint8_t *data, size_t len)
{
	size_t cut = len ? data[0] % len : 0;
	struct bytes common, fde;
	struct cfi_common c;
	struct cfi_row row;
	uint8_t *copy[2] = { malloc(cut + 1), malloc(len - cut + 1) };

	if (!copy[0] || !copy[1])
		abort();
	memcpy(copy[0], data, cut);
	memcpy(copy[1], data + cut, len - cut);
	common = (struct bytes){ copy[0], cut };
	fde = (struct bytes){ copy[1], len - cut };
	if (cut >= 8)
		memset(copy[0] + 4, 0, 4);
	if (!cfi_common__parse(&common, &c))
		for (uint64_t pc = 0; pc < 256; pc += 16)
			cfi_row__find(&fde, 0, &c, pc, &row);
	free(copy[0]);
	free(copy[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	look_into(data, len);
	parse_entries(data, len);
	return 0;
}
