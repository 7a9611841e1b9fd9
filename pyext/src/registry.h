/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * registry.h - all slots of the process: who gets one, what fork and exit do to them.
 *
 * One registry per process, shared by all interpreters (also by those with a GIL of their own) and
 * all threads; every function takes its lock, none calls into Python.
 */
#ifndef PERPETUO_REGISTRY_H
#define PERPETUO_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slot.h"

/* What is known of a new tracker; fields as in struct slot_meta. */
struct slot_spec {
	const char *name; /* UTF-8, borrowed */
	size_t name_len; /* longer ones are cut */
	uint64_t thread_ident;
	uint32_t hint_tid;
	uint32_t interp_id;
	uint64_t tstate;
	bool own_line; /* threads run at once: keep their words on cache lines of their own */
	uint64_t progress_addr; /* not 0: the slot is an event loop, whose word stays idle */
	int32_t idle_fd; /* of a loop */
};

/*
 * A slot, already active unless it is a loop. The caller owns it until registry__release(). NULL
 * with errno: ENOSPC when REGISTRY_MAX_PAGES pages are full, or what mmap said.
 */
struct slot *registry__acquire(const struct slot_spec *spec);

/* Ends the section if there is one and gives the slot back. NULL is ignored. */
void registry__release(struct slot *s);

/*
 * The word's address, for foreign code that adds 1 at every change: a counter from now on. NULL if
 * the owner is closed; @owner as in slot.h.
 */
__u64 *registry__make_counter(struct slot **owner);

/*
 * An interpreter is about to end: what its trackers still measure is no work of the program any
 * more. Makes them idle; their owners may go on using them.
 */
void registry__retire(uint32_t interp_id);

/* The last interpreter has ended (true), or one has started again in this process (false). */
void registry__set_finalized(bool on);

/* For pthread_atfork(). */
void registry__before_fork(void);
void registry__after_fork_parent(void);
void registry__after_fork_child(void);

#endif
