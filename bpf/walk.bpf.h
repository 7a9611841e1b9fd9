/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* walk.bpf.h - what pywalk.bpf.c offers to the fallback tick */
#ifndef PERPETUO_WALK_BPF_H
#define PERPETUO_WALK_BPF_H

#include "bpf/core.bpf.h"
#include "bpf/walk_abi.h"

/* Not 0 while a request waits for the fallback tick. */
extern __u32 walk_wanted;

/* Takes the Python stack of the current thread if it is the one that is wanted. */
int walk_if_wanted(void);

#endif
