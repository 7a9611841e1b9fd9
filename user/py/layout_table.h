/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The known series of CPython, as data: layout.c chooses among them and fills in what a process
 * says of itself. Adding a version is adding a row to layout_table.c.
 */
#ifndef PERPETUO_PY_LAYOUT_TABLE_H
#define PERPETUO_PY_LAYOUT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "py/layout.h"

#ifdef __aarch64__
#define BY_ARCH(x86_64, aarch64) aarch64
#else
#define BY_ARCH(x86_64, aarch64) x86_64
#endif

/* glibc's struct pthread: the middle one of the words _thread_db_pthread_tid, 2.31 to 2.43 */
#define PTHREAD_TID BY_ARCH(720, 208)

#define LAYOUT_MAX_SIZES 4
#define DEBUG_OPTIONAL 0x100

#define RUNTIME_MAX (64u << 20) /* of what a target may claim as sizes of its structs */
#define INTERP_MAX (64u << 20)
#define STRUCT_MAX (64u << 10)

/* One word of _Py_DebugOffsets and where it goes. */
struct debug_field {
	uint16_t word; /* which word of the struct */
	uint16_t size_word; /* the one that holds the size of the struct in which the field is */
	uint16_t base_word; /* subtracted; 0 = nothing is */
	uint16_t width; /* bytes of the field; with DEBUG_OPTIONAL: offset 0 says that there is none
			 */
	uint32_t limit; /* what the size may be at most */
	size_t to; /* offset in struct py_layout */
};

struct series {
	uint32_t hex; /* major and minor: 0x030b */
	bool free_threaded;
	bool not_run; /* there are headers, but no such interpreter was ever met */
	bool unversioned; /* its builds do not export Py_Version */
	const char *name;
	uint64_t size[LAYOUT_MAX_SIZES]; /* of _PyRuntime, as measured; unused ones 0 */
	const struct debug_field *debug; /* NULL: the table alone tells */
	size_t ndebug;
	uint32_t debug_len; /* bytes of _Py_DebugOffsets */
	struct py_layout layout;
};

extern const struct series py_series[];
extern const size_t py_series_cnt;

#endif
