/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the time of one thread went, from the points at which it left a CPU (account_state.h).
 * Pure: no I/O, no clock. Times are CLOCK_MONOTONIC here.
 */
#ifndef PERPETUO_STALL_USAGE_H
#define PERPETUO_STALL_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/account_abi.h"

/* What is known of a thread: the points that its ring holds, oldest first, and how it is now. */
struct usage_view {
	struct account_point point[ACCOUNT_POINTS + 1]; /* `at` on our clock; the last one is now */
	size_t cnt; /* 0, or at least 2 */
	struct account_ip ip[ACCOUNT_IPS]; /* likewise; 0 = no tick met it */
	bool on_cpu; /* now; else the last point says in `off` what it waits for */
};

/* Sums up to a moment: the difference of two says where the time between them went. */
struct usage {
	uint64_t at_ns;
	uint64_t sum[ACCOUNT_SUMS]; /* ns, enum account_sum */
	uint32_t faults;
};

/*
 * The sums up to NS, which is taken for now if it is later. Exact if the thread was switched out
 * at most once between the two points around NS, in proportion else. -ENOENT: NS is before the
 * first point.
 */
int usage__at(const struct usage_view *view, uint64_t ns, struct usage *out);

/* A system call that blocked. */
struct usage_call {
	int nr; /* negative = none */
	uint64_t arg; /* its first argument */
	uint64_t ns;
};

/* The one that blocked longest between FROM_NS and TO_NS, as far as the points go back. */
void usage__longest_call(const struct usage_view *view, uint64_t from_ns, uint64_t to_ns,
			 struct usage_call *out);

#endif
