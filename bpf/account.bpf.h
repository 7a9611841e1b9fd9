/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* account.bpf.h - what account.bpf.c offers to the programs that see threads switch and end. The
 * thread is the current one. */
#ifndef PERPETUO_ACCOUNT_BPF_H
#define PERPETUO_ACCOUNT_BPF_H

#include "bpf/core.bpf.h"

#include "bpf/account_state.h"

/* A thread of the process HANDLE leaves its CPU for OFF (enum account_off; ACCOUNT_READY and
 * ACCOUNT_CALL are looked at closer here). */
int account_switch(u32 handle, u32 off);

/* A tick interrupts it. */
int account_tick(u32 handle);

/* It ends. */
int account_exit(void);

#endif
