/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* loop.bpf.h - what loop.bpf.c offers to the programs that see threads switch, tick and end. PROC
 * is an index into procs; the thread is the current one. */
#ifndef PERPETUO_LOOP_BPF_H
#define PERPETUO_LOOP_BPF_H

#include "bpf/core.bpf.h"

/* It leaves its CPU, by its own will or not. */
int loop_switch(u32 proc, u32 voluntary);

/* A tick interrupts it. */
int loop_tick(u32 proc);

/* It ends. */
int loop_exit(u32 proc);

/* In a pass of the deadline timer: tells what is due. */
int loop_judge(u32 proc);

#endif
