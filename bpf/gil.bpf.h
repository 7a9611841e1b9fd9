/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* gil.bpf.h - what gil.bpf.c offers to the programs that see threads switch, tick and end. PROC is
 * an index into procs; the thread is the current one. */
#ifndef PERPETUO_GIL_BPF_H
#define PERPETUO_GIL_BPF_H

#include "bpf/core.bpf.h"
#include "bpf/gil_abi.h"

struct gils_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TABLE_MAX_PROCS);
	__type(key, u32);
	__type(value, struct gil_table);
};
extern struct gils_map gils SEC(".maps");

/* It leaves its CPU, by its own will or not. Not 0: to wait for a GIL. */
int gil_switch(u32 proc, u32 voluntary);

/* A tick interrupts it. */
int gil_tick(u32 proc);

/* It ends. */
int gil_exit(u32 proc);

/* In a pass of the deadline timer: since when thread TID waits for a GIL, 0 = it does not. */
u64 gil_waits_since(u32 proc, u32 tid);

/* In a pass of the deadline timer: tells what is due. */
int gil_judge(u32 proc);

#endif
