// SPDX-License-Identifier: MIT OR Apache-2.0
/* Files that are mapped: their symbols and unwinding rules; and what damaged ones do. */
#include "proc/module.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

#define MUTATIONS 400
#define MAX_SECONDS 20 /* of all of them, on a slow machine with sanitizers */

static int probe(int n);

static __attribute__((noinline)) int probe(int n)
{
	return n ? getpid() : 0;
}

static const struct map *map_of(const struct maps *maps, const void *code)
{
	return maps__find(maps, (uintptr_t)code);
}

static void own(struct mem *mem)
{
	struct symbol symbol = { .vaddr = 0 };
	struct module m;
	struct maps maps;
	struct cfi_row row;

	if (maps__load(getpid(), &maps, NULL))
		exit(1);
	is_int(module__open(&m, getpid(), mem, &maps, map_of(&maps, (void *)probe)), 0,
	       "this very program");
	symbol.vaddr = (uintptr_t)probe - m.bias;
	module__symbols(&m, &symbol, 1);
	is_str(symbol.name, "probe", "a static function of it");
	is_int(symbol.start, symbol.vaddr, "begins where it does");
	is_int(module__row(&m, symbol.vaddr, &row), 0, "a rule for its first instruction");
#ifdef __x86_64__
	ok(row.base == CFI_BASE_SP && row.off == 8 && row.ra.kind == CFI_OFFSET && row.ra.off == -8,
	   "which is the return address on the stack, nothing else");
#else
	ok(row.base == CFI_BASE_SP && !row.off, "which is no frame yet");
#endif
	close(m.fd);
	m.fd = -1;
	is_int(module__row(&m, symbol.vaddr, &row), 0, "the same from memory, without the file");
	module__symbols(&m, &symbol, 1);
	is_str(symbol.name, "", "of which the names are not there");
	is_int(module__row(&m, 16, &row), -ENOENT, "no function is in the header");
	module__close(&m);
	maps__free(&maps);
}

/* The bytes of this program as a file of their own, LEN of them. */
static int copy_of(const uint8_t *bytes, size_t len)
{
	int fd = memfd_create("module", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		exit(1);
	return fd;
}

static uint8_t *own_bytes(size_t *len)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t end = lseek(fd, 0, SEEK_END);
	uint8_t *bytes = malloc((size_t)end);

	*len = (size_t)end;
	if (fd < 0 || end <= 0 || !bytes || pread(fd, bytes, *len, 0) != end)
		exit(1);
	close(fd);
	return bytes;
}

/* All that can be asked of a file. */
static void ask(int fd, uint64_t vaddr)
{
	struct symbol symbol[2] = { { .vaddr = vaddr }, { .vaddr = vaddr + 64 } };
	struct cfi_row row;
	struct module m;

	if (module__from_fd(&m, fd))
		return;
	module__symbols(&m, symbol, 2);
	for (uint64_t i = 0; i < 8; i++)
		module__row(&m, vaddr + 16 * i, &row);
	module__close(&m);
}

/* Where damage does most: headers of the file, of segments and sections, tables of both kinds. */
static size_t where(const uint8_t *bytes, size_t len)
{
	const Elf64_Ehdr *eh = (const void *)bytes;
	const Elf64_Shdr *sh = (const void *)(bytes + eh->e_shoff);
	size_t i = (size_t)random() % eh->e_shnum;

	switch (random() % 4) {
	case 0:
		return (size_t)random() % 1024;
	case 1:
		return eh->e_shoff + (size_t)random() % (eh->e_shnum * sizeof(*sh));
	case 2:
		if (sh[i].sh_type != SHT_NOBITS && sh[i].sh_size && sh[i].sh_offset < len)
			return sh[i].sh_offset + (size_t)random() % (len - sh[i].sh_offset);
	}
	return (size_t)random() % len;
}

static void damaged(void)
{
	uint64_t start = clock_monotonic_ns(), took;
	uint8_t *bytes, *copy;
	size_t len;

	bytes = own_bytes(&len);
	copy = malloc(len);
	if (!copy)
		exit(1);
	srandom(1);
	for (int i = 0; i < MUTATIONS; i++) {
		memcpy(copy, bytes, len);
		for (int k = 0; k < 1 + i % 16; k++) {
			size_t at = where(bytes, len);

			if (at < len)
				copy[at] = random() % 2 ? 0xff : (uint8_t)random();
		}
		ask(copy_of(copy, i % 5 ? len : (size_t)random() % len), (uint64_t)random() % len);
	}
	took = (clock_monotonic_ns() - start) / NSEC_PER_SEC;
	ok(took < MAX_SECONDS, "%d damaged files were looked into in %d s", MUTATIONS, (int)took);
	free(copy);
	free(bytes);
}

static void not_a_file(void)
{
	struct module m;

	is_int(module__from_fd(&m, copy_of((const uint8_t *)"#!/bin/sh\n", 10)), -EINVAL,
	       "a file that is too short");
	is_int(module__from_fd(&m, open("/dev/zero", O_RDONLY | O_CLOEXEC)), -ENOEXEC,
	       "a file of zeros");
}

int main(void)
{
	struct err err = { { 0 } };
	struct mem *mem;

	if (mem__open(getpid(), &mem, &err))
		skip_all("cannot read our own memory: %s", err.text);
	plan(11);
	own(mem);
	not_a_file();
	damaged();
	mem__free(mem);
	return done();
}
