/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is told: resolved, sanitised strings and numbers, nothing that needs the target any more.
 * Everything is borrowed: a sink that keeps something copies it. Strings are never NULL.
 */
#ifndef PERPETUO_STALL_REPORT_H
#define PERPETUO_STALL_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct report_local {
	const char *name;
	const char *value; /* as repr() would write it, or "<...>"; NULL: none is bound */
};

struct report_frame {
	const char *name;
	const char *file;
	int line; /* 0 = unknown */
	/* The piece of source, as code.co_positions() has it, of 3.11 and newer; 0 = unknown */
	int end_line;
	int column, end_column; /* plus one: 1 is the first byte of the line; 0 = unknown */
	const char
		*source; /* that line of the file, without its indentation; NULL or "": not known */
	const struct report_local *local; /* NULL: were not read */
	size_t nlocals;
	size_t locals_cut; /* left out: there were too many */
};

/* A frame of native code. */
struct report_native {
	const char *library; /* the file's name, "" = in none */
	const char *function; /* "" = not known */
	uint64_t offset; /* in the function, else in the file */
	uint64_t addr; /* in the process */
};

struct report_kernel {
	const char *function;
	const char *module; /* "" = the kernel itself */
	uint64_t offset;
};

struct report_thread {
	const char *name;
	const char *state; /* "running", "blocked", "stopped", "gone", "unknown" */
	uint64_t ident;
	pid_t tid; /* in our pid namespace, 0 = unknown */
	/* The same in words: "waiting for the GIL", "blocked in read(fd 5: /srv/a)"; "" = STATE
	 * says it all */
	const char *doing;
	const char *call; /* the system call in which it is blocked; "" = in none, or not known */
	int fd; /* that the call is about, -1 = none, or not known. Without a call: undefined */
	const char *about; /* the file, path or child that it is about; "" = none, or not known */
	uint64_t futex; /* address of the one that it waits on, 0 = none */
	bool uninterruptible; /* blocked, and no signal reaches it */
	bool responsible;
	bool holds_gil;
	bool collects; /* garbage, with the GIL */
	bool waits_gil;
	bool exact; /* the stack is what it was at one moment */
	const char *note; /* "" or why it is not exact or not whole */
	const struct report_frame *frame; /* innermost first */
	size_t nframes;
	size_t cut; /* frames left out */
	size_t outer; /* so many of the frames lie outside of those; nframes and more: none do */
	bool same; /* its stack is the one that a record of this stall showed last */
	const char *task; /* that its event loop runs; NULL or "" = none, or not known */
	/* What lies below the Python frames, innermost first; NULL: was not looked at */
	const struct report_native *native;
	size_t nnative;
	const char *native_note; /* "" or why these are not all, or not of one moment; or NULL */
	const struct report_kernel *kernel; /* there where `native` is */
	size_t nkernel;
};

#define REPORT_NO_INDEX SIZE_MAX

/* A task of an event loop, or several that look the same. */
struct report_task {
	const char *library; /* "asyncio", "trio" */
	const char *name; /* of one of them */
	const char *state; /* "running", "waiting", "ready", "created" */
	size_t count;
	bool current; /* its loop runs it now */
	bool exact; /* its loop stood still while it was read */
	size_t parent; /* index of an earlier one that waits for it or nurses it; REPORT_NO_INDEX */
	const char *thread; /* that runs its loop, "" = not known */
	pid_t tid; /* likewise, 0 = not known */
	const char *waits_for; /* "" = nothing, or not known */
	const char *note;
	const struct report_frame *frame; /* its await chain, innermost first */
	size_t nframes;
};

/* The tasks of all event loops of a process. */
struct report_tasks {
	const struct report_task *list; /* as a tree is read: each behind its parent */
	size_t cnt;
	size_t found; /* more than cnt where some look the same */
	const char *note; /* "" or what is missing of them; NULL without tasks */
};

/* A suspended greenlet, or several with the same stack. */
struct report_greenlet {
	const char *type; /* name of its class */
	size_t count;
	const char *thread; /* that it belongs to, "" = not known */
	pid_t tid; /* likewise, 0 = not known */
	bool exact; /* its thread stood still while it was read */
	const char *note;
	const struct report_frame *frame; /* innermost first */
	size_t nframes;
	size_t cut; /* frames left out at the outer end */
};

/* Where the time of a stall went, by its responsible thread, and why. Strings: "" = none. */
struct report_why {
	const char *kind; /* "python", "native", "gc", "system_call", "lock", "deadlock", "gil",
			     "run_queue", "throttled", "page_faults", "stopped", "unknown" */
	bool measured; /* the next six are known: they add up to the duration */
	uint64_t on_cpu_ns, run_queue_ns, throttled_ns, blocked_ns, stopped_ns, gil_wait_ns;
	uint64_t page_fault_ns; /* of blocked_ns */
	uint32_t major_faults;
	const char *call; /* the system call that blocked */
	int fd; /* that it is about, -1 = none */
	const char *about; /* the file, path or child */
	uint64_t futex; /* 0 = none */
	const char *library; /* whose native code was on CPU */
	pid_t gil_holder; /* 0 = nobody else, or not known */
	pid_t lock_holder; /* 0 = not known */
	bool gc; /* garbage is being collected */
	const char *verdict; /* all of it, in one sentence */
};

enum report_event {
	REPORT_DETECTED,
	REPORT_CONTINUES,
	REPORT_ENDED,
};

/* Of a stall of threads that wait for the GIL. */
struct report_gil {
	const char *kind; /* "held", "retaken", "queue" */
	uint64_t switches; /* times that it went to another thread, from start to end */
	uint64_t drops; /* times that the holder let go and took it again, as far as was seen */
	uint64_t held_ns; /* for so long its holder has had it, as far as was seen */
	uint32_t waiting; /* threads that wait for it, or did when it was told */
	const char *outcome; /* ENDED: "got", "left", "unsure"; else NULL */
};

/* One record in the life of a stall. */
struct report_stall {
	enum report_event event;
	const char *id; /* "1234-7": the same in all records of one stall */
	const char *source; /* "slot", "gil", "stw", "loop" */
	const char *name; /* of the tracker */
	pid_t pid;
	pid_t tid; /* responsible thread, 0 = unknown */
	const char *thread; /* its name, "" = unknown */
	uint64_t wall_ns; /* of this record, CLOCK_REALTIME */
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t reported_ns; /* CLOCK_MONOTONIC at wall_ns */
	uint64_t duration_ns; /* so far; of an ended stall the total */
	bool start_exact; /* by the target's own stamp, or it was woken then; else first seen */
	bool end_exact; /* ENDED: likewise */
	const struct report_gil *gil; /* NULL: it is about no GIL */
	const char *note; /* "" or one sentence: why there is no stack, its thread has ended, ... */
	bool rate_limited; /* the stacks are left out because of --traceback-suppress */
	uint64_t
		suppressed; /* records of this tracker left out so since the last one with stacks */
	uint64_t untold; /* stalls of this tracker without any record since the last one with one */
	const char *const *cmdline;
	size_t ncmdline;
	const struct report_thread *thread_list; /* responsible ones first */
	size_t nthreads;
	struct report_tasks tasks;
	const struct report_why *why; /* NULL: not known */
	bool stacks_consistent; /* all responsible stacks are exact, and the section was still
				   active after the walk */
};

/* What all stalls of one tracker came to. */
struct report_tracker {
	const char *source; /* "" = of several */
	const char *name;
	uint64_t cnt;
	uint64_t open; /* of these not over yet */
	uint64_t total_ns;
	uint64_t worst_ns;
	uint64_t p50_ns, p99_ns; /* of those that are over */
	uint64_t untold; /* of them without a record, because of the rate */
	uint64_t allowed; /* others, without a record since they are known */
};

struct report_summary {
	uint64_t wall_ns;
	uint64_t stalls; /* the sum of all counts */
	const struct report_tracker *tracker_list;
	size_t ntrackers;
};

enum report_severity {
	REPORT_INFO,
	REPORT_WARNING,
	REPORT_ERROR,
};

/* About the watch itself: "Successfully monitoring pid 1234". */
struct report_info {
	enum report_severity severity;
	uint64_t wall_ns;
	const char *message;
	pid_t pid; /* 0 = none */
};

/* One look at a process (perpetuo-bpf dump). */
struct report_dump {
	uint64_t wall_ns;
	pid_t pid;
	const char *python; /* "CPython 3.11.7 (...)" */
	const char *note; /* "" or what is missing of the whole */
	const char *const *cmdline;
	size_t ncmdline;
	bool has_gil; /* the interpreter is one with a GIL that is in use */
	const struct report_thread *thread_list;
	size_t nthreads;
	size_t others; /* threads of the process that run no Python and are not listed */
	struct report_tasks tasks;
	const struct report_greenlet *greenlet_list; /* those that there are most of first */
	size_t ngreenlets;
	size_t greenlets_found; /* more than ngreenlets where some look the same */
	const char *greenlets_note; /* "" or what is missing of them; NULL without greenlets */
};

#endif
