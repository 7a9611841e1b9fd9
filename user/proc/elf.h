/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Symbols of an ELF file that is mapped in a process, looked up in the process's own memory: no
 * file is opened, so deleted files, chroots and containers make no difference. Only .dynsym is
 * mapped; it holds every symbol that other modules may use.
 */
#ifndef PERPETUO_PROC_ELF_H
#define PERPETUO_PROC_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc/mem.h"

#define ELF_MAX_PHDRS 64
#define ELF_MAX_DYN 512 /* entries of PT_DYNAMIC */
#define ELF_MAX_CHAIN 1024 /* symbols of one hash bucket */

struct elf {
	struct mem *mem; /* borrowed */
	uint64_t base; /* where the file's first byte is mapped */
	uint64_t bias; /* address in memory - address in the file */
	bool pie; /* ET_DYN */
	uint64_t symtab, strtab, strsz;
	uint64_t buckets, chains; /* of DT_GNU_HASH */
	uint32_t nbuckets, symoffset;
	uint64_t bloom;
	uint32_t nbloom, bloom_shift;
};

struct elf_symbol {
	uint64_t addr; /* in memory */
	uint64_t size;
};

/*
 * Reads the headers at BASE, the address at which the file's offset 0 is mapped. 0, or -ENOEXEC
 * (not a 64-bit little-endian ELF file, or damaged), -ENOENT (no GNU hash table: nothing can be
 * looked up), or what mem__read returned.
 */
int elf__open(struct mem *m, uint64_t base, struct elf *out);

/* A defined symbol: 0 and *OUT, or -ENOENT, -ENOEXEC (damaged tables), or what mem__read returned.
 */
int elf__symbol(const struct elf *elf, const char *name, struct elf_symbol *out);

#endif
