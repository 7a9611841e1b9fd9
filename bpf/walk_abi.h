/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * walk_abi.h - the one request for the Python stack of a running thread, and the memory in which
 * pywalk.bpf.c works on it. The loader maps it: it fills `layout` and the request while the state
 * is NONE, then sets WANTED. The program that makes TAKEN of WANTED owns it all until it has sent a
 * record; the loader sets NONE when nobody can run any more or when that record has come.
 */
#ifndef PERPETUO_WALK_ABI_H
#define PERPETUO_WALK_ABI_H

#include "bpf/pywalk_abi.h"

enum walk_state {
	WALK_NONE = 0,
	WALK_WANTED = 1,
	WALK_TAKEN = 2,
};

struct walk_request {
	__u32 state; /* enum walk_state */
	__u32 tid; /* for the fallback tick: in the pid namespace of depth `level` */
	__u32 level;
	__u32 proc; /* handle of the process; 0 where it is not watched */
	__u64 cookie;
	__u64 tstate;
};

struct walk {
	struct walk_request request;
	struct pywalk_layout layout;
	__u64 at; /* address of the frame that is read next */
	__u64 caller; /* 3.11, 3.12: current frame of the C loop that called this one */
	__u32 unmarked; /* no entry frame was seen yet */
	__u32 pad0;
	__u8 frame[PYWALK_FRAME_BYTES + 8];
	struct pywalk_record record;
};

#endif
