/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* top.bpf.h - what top.bpf.c offers to the programs that see threads. PROC is an index into procs;
 * the thread is the current one. Nobody calls while top_enabled is 0. */
#ifndef PERPETUO_TOP_BPF_H
#define PERPETUO_TOP_BPF_H

#include "bpf/core.bpf.h"

extern const volatile __u32 top_enabled;

/* It leaves its CPU (LEAVES) or is ticked; WHERE: enum gil_where. */
int top_gil_look(u32 proc, u32 where, u32 leaves);

/* A wait for the GIL is over, which was NS long. */
int top_gil_waited(u32 proc, u64 ns);

/* As top_note_moved(). */
int top_loop_moved(u32 proc, u64 moved, u64 ended_ns, u64 span_ns);

/* It ends. */
int top_exit(u32 proc);

#endif
