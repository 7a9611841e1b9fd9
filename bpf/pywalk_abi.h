/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * pywalk_abi.h - the Python stack of a running thread, taken by the tick that interrupts it.
 *
 * user/py says where the frames of one interpreter build lie (struct pywalk_layout),
 * bpf/pywalk.bpf.c walks them in the thread that it has just interrupted, and a struct
 * pywalk_record goes back. The thread cannot move meanwhile, so what it alone writes is read
 * without a tear. The rules of acceptance are in KERNEL.md 10; the program applies those that need
 * the frozen thread, user/py the rest.
 */
#ifndef PERPETUO_PYWALK_ABI_H
#define PERPETUO_PYWALK_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define PYWALK_NONE 0xffffffffu /* in an offset: this build has no such field */
#define PYWALK_FRAMES 256 /* frames in one record: safe for every verifier from 5.15 */
#define PYWALK_FRAME_BYTES 120 /* most bytes of a frame that are read */
#define PYWALK_CHUNK 1024 /* bytes of the C stack that are read at once: all of them, or none */
#define PYWALK_STACK (16 * PYWALK_CHUNK)
#define PYWALK_KERNEL 24 /* frames in the kernel */

/* One per interpreter build: the program knows no versions. Offsets in bytes. */
struct pywalk_layout {
	__u32 ts_frame; /* tstate: current frame, or cframe (3.11, 3.12) */
	__u32 cf_frame; /* cframe: current_frame; PYWALK_NONE when ts_frame is the frame itself */
	__u32 cf_prev; /* cframe: previous; PYWALK_NONE likewise */
	__u32 ts_native_id; /* tstate: native_thread_id, to check that the thread still runs this
			       state; PYWALK_NONE before 3.11: then the next two tell it */
	__u32 ts_thread_id; /* tstate: address of the C library's struct of the thread */
	__u32 pthread_tid; /* in that struct */
	__u32 f_size; /* bytes of a frame to read, at most PYWALK_FRAME_BYTES */
	__u32 f_prev;
	__u32 f_code;
	__u32 f_instr;
	__u32 f_owner;
	__u32 f_mark; /* byte that marks the oldest frame of one C eval loop (3.11 is_entry, 3.12
			 owner), PYWALK_NONE elsewhere */
	__u32 mark_val;
	__u32 gen_owner; /* owner of a generator's frame, which never ends a chain; PYWALK_NONE
			    elsewhere */
};

enum pywalk_flags {
	PYWALK_COMPLETE = 1, /* the chain reached NULL */
	PYWALK_FAULT = 2, /* a page was not there: what precedes it is right */
	PYWALK_LIMIT = 4, /* more than PYWALK_FRAMES */
	PYWALK_NOFRAME = 8, /* no Python frame: the thread runs no Python code */
	PYWALK_STALE = 16, /* the thread was between two stores; ask again */
	PYWALK_OTHER = 32, /* the thread state belongs to another thread now */
};

struct pywalk_frame {
	__u64 addr;
	__u64 code;
	__u64 instr;
	__u32 owner;
	__u32 pad0;
};

/* Where the thread was in native code, at the same moment. */
struct pywalk_native {
	__u64 ip, sp, fp; /* as it entered the kernel */
	__u32 stack_len; /* bytes from sp on */
	__u32 nkernel; /* 0: it was not in the kernel */
	__u64 kernel[PYWALK_KERNEL]; /* addresses, innermost first */
	__u8 stack[PYWALK_STACK];
};

/* Sent with its real length: the first nframes frames. What follows them is read where it is. */
struct pywalk_record {
	__u32 type; /* enum event_type: EVENT_PYWALK */
	__u32 proc; /* handle of the process */
	__u64 taken_ns;
	__u32 tid; /* in the root pid namespace */
	__u32 flags;
	__u64 tstate;
	__u64 request; /* the cookie of the request that this answers */
	__u32 nframes;
	__u32 pad0;
	struct pywalk_frame frame[PYWALK_FRAMES];
	struct pywalk_native native;
};

_Static_assert(sizeof(struct pywalk_layout) == 56, "pywalk_layout");
_Static_assert(sizeof(struct pywalk_frame) == 32, "pywalk_frame");
_Static_assert(sizeof(struct pywalk_native) == 32 + 8 * PYWALK_KERNEL + PYWALK_STACK, "native");
_Static_assert(__builtin_offsetof(struct pywalk_record, taken_ns) == 8, "taken_ns");
_Static_assert(__builtin_offsetof(struct pywalk_record, tid) == 16, "tid");
_Static_assert(__builtin_offsetof(struct pywalk_record, flags) == 20, "flags");
_Static_assert(__builtin_offsetof(struct pywalk_record, tstate) == 24, "tstate");
_Static_assert(__builtin_offsetof(struct pywalk_record, request) == 32, "request");
_Static_assert(__builtin_offsetof(struct pywalk_record, nframes) == 40, "nframes");
_Static_assert(__builtin_offsetof(struct pywalk_record, frame) == 48, "frame");

#endif
