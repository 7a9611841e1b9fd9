/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Call frame information, as compilers put it into .eh_frame for exceptions and debuggers: by which
 * rule the frame of a function leads to that of its caller. Entries are pure bytes here, and
 * hostile; proc/module.h finds them.
 *
 * Of all registers only those are followed by which frames are found: the stack pointer, the frame
 * pointer and the return address. A rule that needs another one is CFI_OTHER, and ends the walk.
 */
#ifndef PERPETUO_PROC_CFI_H
#define PERPETUO_PROC_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define CFI_MAX_ENTRY (64u << 10) /* bytes of one entry: the interpreter's loop has 10 KiB */
#define CFI_MAX_OPS 65536 /* instructions of one entry */
#define CFI_MAX_STATES 8 /* that are remembered at once */

/* What CIEs share with their FDEs. */
struct cfi_common {
	uint64_t code_align;
	int64_t data_align;
	uint8_t pointers; /* how an FDE has its addresses */
	bool sized; /* an FDE says how long its augmentation is */
	bool signal; /* the frame of a signal handler's return: its caller did not call */
	struct bytes ops; /* a piece of the entry */
};

enum cfi_kind {
	CFI_SAME, /* the caller's is what it is here */
	CFI_OFFSET, /* it lies at so many bytes from the CFA */
	CFI_UNDEFINED, /* of the return address: there is no caller */
	CFI_OTHER, /* a rule that is not followed */
};

struct cfi_rule {
	enum cfi_kind kind;
	int64_t off;
};

enum cfi_base {
	CFI_BASE_SP,
	CFI_BASE_FP,
	CFI_BASE_OTHER,
};

/* At one address. CFA: where the stack pointer stood before the call. */
struct cfi_row {
	enum cfi_base base;
	int64_t off; /* of the CFA from that */
	struct cfi_rule fp, ra;
	bool signal;
};

/* ENTRY: a whole one, with its length. 0 or -EINVAL (damaged), -EOPNOTSUPP. */
int cfi_common__parse(const struct bytes *entry, struct cfi_common *out);

/*
 * The rule at PC out of the FDE at address ADDR (both as the file counts). 0; -ENOENT: it is not
 * about PC; -EINVAL; -EOPNOTSUPP.
 */
int cfi_row__find(const struct bytes *entry, uint64_t addr, const struct cfi_common *common,
		  uint64_t pc, struct cfi_row *out);

/* How far before its own bytes (at offset 4) the common entry of an FDE lies; 0: it is none. */
uint32_t cfi__common_distance(const struct bytes *entry);

#endif
