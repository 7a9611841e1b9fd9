/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What this kernel and our rights offer: a table of features, each with a probe that tries the very
 * thing (never a comparison of versions) and says why it is missing.
 */
#ifndef PERPETUO_KERN_FEATURES_H
#define PERPETUO_KERN_FEATURES_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

/* Append only: the numbers are not shown, the names are. */
enum feature_id {
	FEATURE_BPF_SYSCALL,
	FEATURE_BTF,
	FEATURE_CAP_BPF,
	FEATURE_CAP_PERFMON,
	FEATURE_READ_KERNEL,
	FEATURE_TASK_STORAGE,
	FEATURE_RING_BUFFER,
	FEATURE_TIMER,
	FEATURE_TRACE_SWITCH,
	FEATURE_PERF_TICK,
	FEATURE_HRTIMER_TICK,
	FEATURE_CAP_PTRACE,
	FEATURE_MAX
};

/* 0 when it is there; otherwise negative errno, with the reason in ERR. */
int feature__probe(enum feature_id id, struct err *err);

/* 0 when the BPF backend can work; otherwise negative errno, and in WHY what is missing and what to
 * do about it. */
int features__bpf_usable(struct err *why);

/* One line a feature: name, yes or no, what it is for or why it is missing; then which backend and
 * which tick would be used. 0, or negative errno when OUT cannot be written. */
int features__print(FILE *out);

#endif
