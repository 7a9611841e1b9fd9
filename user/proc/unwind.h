/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The native stack of a thread that stands still, or of which the tick has kept a copy: from its
 * registers, by the call frame information of the files that are mapped, by frame pointers where
 * there is none (code made at run time). Nothing of the process is stopped.
 */
#ifndef PERPETUO_PROC_UNWIND_H
#define PERPETUO_PROC_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proc/mem.h"
#include "proc/module.h"

#define UNWIND_MAX_FRAMES 32
#define UNWIND_MAX_MODULES 16

struct unwind_regs {
	uint64_t ip, sp;
	uint64_t fp;
	bool knows_fp;
};

/* A copy of the stack from SP on; LEN 0: it is read from the process. */
struct unwind_copy {
	uint64_t addr;
	const uint8_t *data;
	size_t len;
};

struct native_frame {
	uint64_t addr; /* of the instruction, or of the one behind the call */
	char library[MODULE_NAME_MAX]; /* "" = in no file */
	char function[SYMBOL_NAME_MAX]; /* "" = not known: then the offset is one in the file */
	uint64_t offset; /* of ADDR */
};

struct native_stack {
	struct native_frame frame[UNWIND_MAX_FRAMES]; /* innermost first */
	size_t cnt;
	const char *note; /* "" or a literal: why it is not whole */
};

/*
 * Fills *OUT. It ends at the first frame of the interpreter that runs Python code (which is left
 * out), or where the thread began. 0; or -ESRCH, -EPERM, -ENOMEM, then there is nothing.
 */
int native_stack__unwind(pid_t pid, struct mem *mem, const struct unwind_regs *regs,
			 const struct unwind_copy *copy, struct native_stack *out);

#endif
