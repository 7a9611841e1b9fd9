/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Await chains: a coroutine that is suspended has what it awaits on top of its value stack, which
 * mostly is another coroutine. Thousands of chains are read together, a level of many of them in
 * one call.
 */
#ifndef PERPETUO_PY_CHAIN_H
#define PERPETUO_PY_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include "py/coroutine.h"
#include "py/kind.h"
#include "py/target.h"

#define CHAIN_MAX_DEPTH 256 /* links of one chain */
#define CHAIN_MAX_LINKS (1u << 18) /* of all chains */
#define CHAIN_NONE UINT32_MAX

struct chain_link {
	uint64_t coro, frame, code, instr;
	uint32_t outer; /* the link that awaits this one; CHAIN_NONE: the coroutine itself */
};

struct chain {
	uint64_t coro; /* given by the caller */
	enum coroutine_state state; /* of the coroutine itself */
	uint32_t last, cnt; /* the innermost link; CHAIN_NONE */
	const char *note; /* "" or a literal: why it is not whole */
};

struct chains {
	struct chain *chain; /* the caller's */
	size_t cnt;
	struct chain_link *link; /* owned: chains__free */
	size_t nlinks, cap;
};

/* Reads them all. 0 (notes say what is missing), -ENOMEM, -ESRCH, -EPERM. */
int chains__read(const struct py_target *t, struct kinds *kinds, struct chains *chains);
void chains__free(struct chains *chains); /* the links; zeroed structs are fine */

#endif
