/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ELF file that is mapped in a process: its tables for unwinding, its symbols.
 *
 * They are read from the file itself, in the root of the process, if that is still the one that is
 * mapped: its first page, with headers and build id, is the one in memory. Otherwise (deleted,
 * replaced) the tables are read from memory, and there are no symbols. A file on a server is not
 * touched at all: one that does not answer holds up its own clients only.
 *
 * Addresses in the file are called vaddr here. All of the file is hostile.
 */
#ifndef PERPETUO_PROC_MODULE_H
#define PERPETUO_PROC_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/cfi.h"
#include "proc/maps.h"
#include "proc/mem.h"

#define MODULE_MAX_LOADS 16
#define MODULE_MAX_SECTIONS 1024
#define MODULE_MAX_FDES (1u << 24)
#define MODULE_MAX_SYMBOLS (1u << 19) /* of one table; a larger one is not looked at */
#define MODULE_NAME_MAX 96
#define SYMBOL_NAME_MAX 128

struct module {
	struct mem *mem; /* borrowed; NULL: there is the file only */
	int fd; /* -1: there is no such file, or it is another by now */
	bool in_memory; /* all of the file is: the vDSO */
	uint64_t base; /* address of the file's first byte, 0 = not mapped */
	uint64_t bias; /* address in memory - vaddr */
	char name[MODULE_NAME_MAX]; /* of the file, sanitised, without its folder */
	struct {
		uint64_t vaddr, len, offset;
		bool code;
	} load[MODULE_MAX_LOADS];
	size_t nloads;
	uint64_t table; /* vaddr of .eh_frame_hdr, 0 = there is none */
	uint64_t sections; /* offset in the file */
	uint32_t nsections;
};

/*
 * The file that is mapped at MAP, one of MAPS, in process PID. 0 (module__close); -ENOEXEC,
 * -EREMOTE (on a server), -ENOENT: then there is its name, and nothing else.
 */
int module__open(struct module *m, pid_t pid, struct mem *mem, const struct maps *maps,
		 const struct map *map);
/* The same of FD alone, which is taken over: for tests. */
int module__from_fd(struct module *m, int fd);
void module__close(struct module *m);

/* The rule at VADDR: 0, -ENOENT (there is none), -EINVAL, -EOPNOTSUPP. */
int module__row(const struct module *m, uint64_t vaddr, struct cfi_row *out);

struct symbol {
	uint64_t vaddr; /* the caller's: an address inside of it */
	uint64_t start; /* its own */
	char name[SYMBOL_NAME_MAX]; /* sanitised; "" = not found */
};

/* Looks all N of them up in one pass over the symbols. */
void module__symbols(const struct module *m, struct symbol *symbol, size_t n);

#endif
