// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define CHAIN_STEP 16 /* hash values of a chain that are read at once */
#define NAME_MAX_LEN 128 /* of a symbol that is looked for */

struct gnu_hash_header {
	uint32_t nbuckets, symoffset, nbloom, bloom_shift;
};

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (unsigned char)*name;
	return h;
}

static uint64_t page_down(uint64_t addr)
{
	return addr & ~(uint64_t)4095;
}

/* The segment that begins with the file's first byte tells the bias; PT_DYNAMIC where to go on. */
static int read_phdrs(struct elf *elf, const Elf64_Ehdr *eh, Elf64_Phdr *dyn)
{
	Elf64_Phdr ph[ELF_MAX_PHDRS];
	bool loaded = false;
	int err;

	*dyn = (Elf64_Phdr){ 0 };
	if (eh->e_phentsize != sizeof(ph[0]) || !eh->e_phnum || eh->e_phnum > ELF_MAX_PHDRS)
		return -ENOEXEC;
	err = mem__read(elf->mem, elf->base + eh->e_phoff, ph, eh->e_phnum * sizeof(ph[0]));
	if (err)
		return err;
	for (size_t i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && !loaded && !page_down(ph[i].p_offset)) {
			elf->bias = elf->base - page_down(ph[i].p_vaddr);
			loaded = true;
		} else if (ph[i].p_type == PT_DYNAMIC) {
			*dyn = ph[i];
		}
	}
	if (!loaded)
		return -ENOEXEC;
	return dyn->p_memsz ? 0 : -ENOENT;
}

/* glibc turns the addresses of the dynamic section into addresses in memory, musl and the vDSO
 * leave them as they are in the file. */
static uint64_t absolute(const struct elf *elf, uint64_t ptr)
{
	return elf->pie && ptr < elf->bias ? ptr + elf->bias : ptr;
}

static int read_dynamic(struct elf *elf, const Elf64_Phdr *ph, uint64_t *hash)
{
	Elf64_Dyn dyn[ELF_MAX_DYN];
	size_t n = ph->p_memsz / sizeof(dyn[0]);
	int err;

	*hash = 0;
	n = n < ELF_MAX_DYN ? n : ELF_MAX_DYN;
	err = mem__read(elf->mem, elf->bias + ph->p_vaddr, dyn, n * sizeof(dyn[0]));
	if (err)
		return err;
	for (size_t i = 0; i < n && dyn[i].d_tag != DT_NULL; i++) {
		switch (dyn[i].d_tag) {
		case DT_SYMTAB:
			elf->symtab = absolute(elf, dyn[i].d_un.d_ptr);
			break;
		case DT_STRTAB:
			elf->strtab = absolute(elf, dyn[i].d_un.d_ptr);
			break;
		case DT_STRSZ:
			elf->strsz = dyn[i].d_un.d_val;
			break;
		case DT_GNU_HASH:
			*hash = absolute(elf, dyn[i].d_un.d_ptr);
			break;
		}
	}
	return *hash && elf->symtab && elf->strtab ? 0 : -ENOENT;
}

static int read_hash(struct elf *elf, uint64_t addr)
{
	struct gnu_hash_header h;
	int err = mem__read(elf->mem, addr, &h, sizeof(h));

	if (err)
		return err;
	if (!h.nbuckets || !h.nbloom || h.bloom_shift > 31)
		return -ENOEXEC;
	elf->nbuckets = h.nbuckets;
	elf->symoffset = h.symoffset;
	elf->nbloom = h.nbloom;
	elf->bloom_shift = h.bloom_shift;
	elf->bloom = addr + sizeof(h);
	elf->buckets = elf->bloom + 8ull * h.nbloom;
	elf->chains = elf->buckets + 4ull * h.nbuckets;
	return 0;
}

int elf__open(struct mem *m, uint64_t base, struct elf *out)
{
	static const unsigned char ident[] = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB };
	Elf64_Phdr dyn;
	Elf64_Ehdr eh;
	uint64_t hash;
	int err;

	*out = (struct elf){ .mem = m, .base = base };
	err = mem__read(m, base, &eh, sizeof(eh));
	if (err)
		return err;
	if (memcmp(eh.e_ident, ident, sizeof(ident)) ||
	    (eh.e_type != ET_DYN && eh.e_type != ET_EXEC))
		return -ENOEXEC;
	out->pie = eh.e_type == ET_DYN;
	err = read_phdrs(out, &eh, &dyn);
	if (!err)
		err = read_dynamic(out, &dyn, &hash);
	return err ? err : read_hash(out, hash);
}

/* 0 if symbol INDEX is called NAME and is defined, -ENOENT if it is another. */
static int match(const struct elf *elf, uint32_t index, const char *name, struct elf_symbol *out)
{
	size_t len = strlen(name) + 1;
	char text[NAME_MAX_LEN];
	Elf64_Sym sym;
	int err;

	err = mem__read(elf->mem, elf->symtab + (uint64_t)index * sizeof(sym), &sym, sizeof(sym));
	if (err)
		return err;
	if (sym.st_shndx == SHN_UNDEF || sym.st_name > elf->strsz || elf->strsz - sym.st_name < len)
		return -ENOENT;
	err = mem__read(elf->mem, elf->strtab + sym.st_name, text, len);
	if (err)
		return err;
	if (memcmp(text, name, len))
		return -ENOENT;
	out->addr = elf->bias + sym.st_value;
	out->size = sym.st_size;
	return 0;
}

/* The chain's values have the hash of their symbol, but for bit 0, which marks the last one. */
static int search_chain(const struct elf *elf, uint32_t first, uint32_t hash, const char *name,
			struct elf_symbol *out)
{
	uint32_t chain[CHAIN_STEP], index;
	uint64_t at = elf->chains + 4ull * (first - elf->symoffset);
	size_t have = 0, step;
	int err;

	for (size_t i = 0; i < ELF_MAX_CHAIN; i++) {
		step = i % CHAIN_STEP;
		if (!step) {
			have = CHAIN_STEP;
			err = mem__read(elf->mem, at + 4 * i, chain, sizeof(chain));
			/* a table that ends with its page: one by one */
			if (err == -EFAULT) {
				have = 1;
				err = mem__read(elf->mem, at + 4 * i, chain, sizeof(chain[0]));
			}
			if (err)
				return err;
		} else if (step >= have) {
			err = mem__read(elf->mem, at + 4 * i, &chain[step], sizeof(chain[0]));
			if (err)
				return err;
		}
		index = first + (uint32_t)i;
		if ((chain[step] | 1) == (hash | 1)) {
			err = match(elf, index, name, out);
			if (err != -ENOENT)
				return err;
		}
		if (chain[step] & 1)
			return -ENOENT;
	}
	return -ENOEXEC;
}

int elf__symbol(const struct elf *elf, const char *name, struct elf_symbol *out)
{
	uint32_t hash = gnu_hash(name), first;
	uint64_t word, mask;
	int err;

	*out = (struct elf_symbol){ 0 };
	if (strlen(name) >= NAME_MAX_LEN)
		return -ENOENT;
	err = mem__read_u64(elf->mem, elf->bloom + 8ull * (hash / 64 % elf->nbloom), &word);
	if (err)
		return err;
	mask = 1ull << hash % 64 | 1ull << (hash >> elf->bloom_shift) % 64;
	if ((word & mask) != mask)
		return -ENOENT;
	err = mem__read_u32(elf->mem, elf->buckets + 4ull * (hash % elf->nbuckets), &first);
	if (err)
		return err;
	if (!first)
		return -ENOENT;
	if (first < elf->symoffset)
		return -ENOEXEC;
	return search_chain(elf, first, hash, name, out);
}
