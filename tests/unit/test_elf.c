// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/elf.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "image.h"
#include "proc/maps.h"
#include "tap.h"

#define BASE 0x7f0000000000

/* libc of this very process, which the dynamic loader knows as well. */
static void own(void)
{
	static const char *const names[] = { "malloc", "qsort", "stdout", "strtoull", "environ" };
	struct err err = { { 0 } };
	struct elf_symbol sym;
	struct maps maps;
	struct mem *m;
	struct elf elf;
	Dl_info info;

	if (mem__open(getpid(), &m, &err) || maps__load(getpid(), &maps, &err))
		exit(1);
	if (!dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &info))
		exit(1);
	is_int(elf__open(m, (uintptr_t)info.dli_fbase, &elf), 0, "libc is an ELF file");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		is_int(elf__symbol(&elf, names[i], &sym), 0, "%s is in it", names[i]);
		/* a sanitizer may stand before them for us: at least it is in memory */
		ok(maps__find(&maps, sym.addr) && sym.size, "%s lies in a mapping", names[i]);
	}
	is_int(elf__symbol(&elf, "gnu_get_libc_version", &sym)
		       ?: (int64_t)(sym.addr - (uintptr_t)info.dli_saddr),
	       0, "a function is where the loader says");
	is_int(elf__symbol(&elf, "_PyRuntime", &sym), -ENOENT, "what is not there");
	is_int(elf__symbol(&elf, "", &sym), -ENOENT, "no name");
	is_int(elf__open(m, (uintptr_t)info.dli_fbase + 4096, &elf), -ENOEXEC, "no header there");
	is_int(elf__open(m, 0, &elf), -EFAULT, "no memory there");
	maps__free(&maps);
	mem__free(m);
}

/* A file made of a header, one segment, a dynamic section and a hash table with one long chain. */
struct made {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Dyn dyn[5];
	uint32_t hash[4];
	uint64_t bloom;
	uint32_t bucket, chain[4096];
	Elf64_Sym sym[4097];
	char str[8];
};

static void make(struct made *f)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->eh.e_ident,
	       "\x7f"
	       "ELF\x02\x01",
	       6);
	f->eh.e_type = ET_DYN;
	f->eh.e_phoff = offsetof(struct made, ph);
	f->eh.e_phentsize = sizeof(f->ph[0]);
	f->eh.e_phnum = 2;
	f->ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_memsz = sizeof(*f) };
	f->ph[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
				 .p_vaddr = offsetof(struct made, dyn),
				 .p_memsz = sizeof(f->dyn) };
	f->dyn[0] = (Elf64_Dyn){ DT_GNU_HASH, { offsetof(struct made, hash) } };
	f->dyn[1] = (Elf64_Dyn){ DT_SYMTAB, { offsetof(struct made, sym) } };
	f->dyn[2] = (Elf64_Dyn){ DT_STRTAB, { offsetof(struct made, str) } };
	f->dyn[3] = (Elf64_Dyn){ DT_STRSZ, { sizeof(f->str) } };
	f->hash[0] = 1;
	f->hash[1] = 1;
	f->hash[2] = 1;
	f->bloom = UINT64_MAX;
	f->bucket = 1;
	memcpy(f->str, "\0abc\0", 5);
}

static void made(void)
{
	struct made *f = malloc(sizeof(*f));
	struct image im = { BASE, (uint8_t *)f, sizeof(*f), 0 };
	struct mem *m = image_mem(&im);
	struct elf_symbol sym;
	struct elf elf;

	/* the bloom filter begins right behind the four words */
	_Static_assert(offsetof(struct made, bloom) == offsetof(struct made, hash) + 16, "bloom");
	make(f);
	is_int(elf__open(m, BASE, &elf), 0, "unrelocated addresses, as musl leaves them");
	is_int(elf__symbol(&elf, "abc", &sym), -ENOEXEC, "a chain without end is given up");
	f->chain[2] = 0x0b885c8b | 1; /* hash of "abc", last of its chain */
	f->sym[3] = (Elf64_Sym){ .st_name = 1, .st_shndx = 1, .st_value = 0x40, .st_size = 8 };
	is_int(elf__symbol(&elf, "abc", &sym), 0, "found in the chain");
	ok(sym.addr == BASE + 0x40 && sym.size == 8, "address and size");
	f->sym[3].st_shndx = SHN_UNDEF;
	is_int(elf__symbol(&elf, "abc", &sym), -ENOENT, "an undefined symbol is none");
	f->sym[3].st_shndx = 1;
	f->sym[3].st_name = 7;
	is_int(elf__symbol(&elf, "abc", &sym), -ENOENT, "a name that leaves the table");
	f->bucket = 0;
	is_int(elf__symbol(&elf, "abc", &sym), -ENOENT, "an empty bucket");
	f->bucket = UINT32_MAX;
	is_int(elf__symbol(&elf, "abc", &sym), -EFAULT, "a bucket that points away");
	f->hash[0] = 0;
	is_int(elf__open(m, BASE, &elf), -ENOEXEC, "no buckets");
	make(f);
	f->dyn[0].d_tag = DT_NULL;
	is_int(elf__open(m, BASE, &elf), -ENOENT, "no hash table");
	f->eh.e_phnum = 65535;
	is_int(elf__open(m, BASE, &elf), -ENOEXEC, "too many program headers");
	make(f);
	f->eh.e_phoff = UINT64_MAX - 8;
	is_int(elf__open(m, BASE, &elf), -EFAULT, "program headers far away");
	make(f);
	f->eh.e_ident[EI_CLASS] = ELFCLASS32;
	is_int(elf__open(m, BASE, &elf), -ENOEXEC, "32 bits");
	mem__free(m);
	free(f);
}

int main(void)
{
	plan(16 + 13);
	own();
	made();
	return done();
}
