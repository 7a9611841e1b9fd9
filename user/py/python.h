/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The Python interpreter in another process, read from outside and never stopped.
 *
 *	python__open	find _PyRuntime, choose the layout, learn what never moves
 *	python__walk	all threads of all interpreters with their stacks, now
 *
 * A stack that is marked `exact` is what the thread's stack was at one moment of the walk. How that
 * is known: the thread was off CPU before and after and its context-switch count did not move
 * (PY_BLOCKED), or the tick that interrupted it took the stack (PY_RUNNING, through
 * py_walk_opts.capture). Everything else says in `note` why it is not. Nothing is exact before one
 * whole stack, which ends where its thread began, has shown that the layout is the right one.
 *
 * All memory of the target is hostile: every read is bounded, a walk has ceilings (PY_MAX_*) and a
 * deadline, and what did not fit is said.
 */
#ifndef PERPETUO_PY_PYTHON_H
#define PERPETUO_PY_PYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "bpf/pywalk_abi.h"
#include "proc/task.h"
#include "py/linetable.h"

#define PY_MAX_INTERPRETERS 64
#define PY_MAX_THREADS 4096
#define PY_MAX_FRAMES 1024 /* of one thread */
#define PY_MAX_STRING 1024 /* characters of a name */
#define PY_MAX_PATH 4096 /* characters of a file name */
#define PY_MAX_TASKS 1000 /* after merging */
#define PY_MERGE_TASKS 100
#define PY_BRIEF_TASKS 64 /* likewise, of PY_TASKS_BRIEF */
#define PY_BRIEF_MERGE 16
#define PY_NO_INDEX SIZE_MAX

struct mem_stats; /* proc/mem.h */
struct python; /* opaque: one process, one exec of it */

enum py_thread_state {
	PY_UNKNOWN,
	PY_RUNNING, /* on a CPU or waiting for one */
	PY_BLOCKED, /* asleep in the kernel */
	PY_STOPPED, /* SIGSTOP, ptrace or freezer */
	PY_GONE, /* no such thread any more */
};

struct redact;

struct py_local {
	const char *name;
	const char *value; /* as repr() would write it, or "<...>"; NULL: unbound */
};

/* Strings are sanitised UTF-8, owned by the snapshot, never NULL. */
struct py_frame {
	const char *file;
	const char *name; /* qualified where the version has it (3.11) */
	int line; /* 0 = unknown */
	struct line_place place; /* of threads; its line is the same */
	const struct py_local *local; /* NULL: were not read */
	size_t nlocals;
	size_t locals_cut; /* left out (LOCALS_MAX) */
	uint64_t addr; /* of the frame in the target: tells frames of one walk apart */
};

enum py_task_state {
	PY_TASK_CREATED, /* has not begun */
	PY_TASK_READY, /* its loop will go on with it */
	PY_TASK_WAITING,
	PY_TASK_RUNNING, /* its frames are on the stack of a thread */
};

/*
 * A task of an event loop. Tasks that nobody could tell apart but by their names (same loop, state,
 * chain, parent) are one, with a count, where there are more than PY_MERGE_TASKS (PY_BRIEF_MERGE).
 */
struct py_task {
	const char *library; /* literal: "asyncio", "trio" */
	const char *name; /* of one of them */
	size_t count;
	enum py_task_state state;
	bool current; /* the innermost running one of its thread */
	size_t thread; /* that runs its loop: index in the snapshot, PY_NO_INDEX = not known */
	bool exact; /* the thread stood still from before its stack was read till all tasks were */
	/* the task that waits for this one, or in whose nursery or TaskGroup it is: index of an
	 * earlier one, PY_NO_INDEX */
	size_t parent;
	const char *waits_for; /* "sleep", "Lock.acquire", "task NAME"; "" = nothing or unknown */
	const char *note; /* "" or why it is not whole */
	/* its await chain, innermost first; of a running one its part of the thread's stack */
	size_t nframes;
	struct py_frame *frame;
};

/*
 * A greenlet (of greenlet, gevent) that is suspended: its thread runs another one. Those with the
 * same stack are one, with a count, where there are more than PY_MERGE_TASKS.
 */
struct py_greenlet {
	const char *type; /* name of its class */
	size_t count;
	size_t thread; /* that it belongs to: index in the snapshot, PY_NO_INDEX = not known */
	bool exact; /* that thread stood still from before its stack was read till all were */
	const char *note; /* "" or why it is not whole */
	size_t nframes; /* innermost first */
	struct py_frame *frame;
	size_t cut; /* frames left out (PY_MAX_FRAMES) */
};

struct py_thread {
	uint64_t ident; /* threading.get_ident() */
	uint64_t tstate; /* address of the thread state */
	pid_t tid; /* in our pid namespace; 0 = could not be mapped */
	pid_t ns_tid; /* native_thread_id, in the target's pid namespace */
	uint64_t interp_id;
	const char *name; /* threading.Thread.name, else comm */
	enum py_thread_state state;
	uint64_t gil; /* address of its words (py_gils): tells GILs apart; 0 = there is none */
	bool holds_gil;
	bool collects; /* garbage is collected, and it has the GIL */
	bool waits_gil; /* off CPU until it gets it */
	bool uninterruptible; /* off CPU, and no signal reaches it */
	bool knows_call; /* off CPU, and this is the system call in which it is: */
	struct task_syscall call;
	bool exact;
	uint64_t switches; /* of an exact one that was off CPU: how often it was switched out */
	const char *note; /* "" or why the stack is not exact or not whole */
	size_t nframes; /* innermost first */
	struct py_frame *frame;
	size_t cut; /* frames left out (PY_MAX_FRAMES) */
	size_t outer; /* so many of the frames lie outside of those */
	const char *task; /* name of the current one; "" = none, or not read */
	/* Of an exact one that runs: its registers and C stack of that moment; NULL: not known. Its
	 * `stack` has stack_len bytes. */
	const struct pywalk_native *native;
};

struct py_snapshot {
	uint64_t taken_ns; /* CLOCK_MONOTONIC when the walk ended */
	size_t nthreads;
	struct py_thread *thread;
	const char *note; /* "" or what is missing of the whole ("more than 4096 threads") */
	size_t ntasks;
	struct py_task *task; /* as a tree is read: each behind its parent */
	size_t tasks_found; /* before merging */
	const char *tasks_note; /* "" or what is missing of the tasks */
	size_t ngreenlets;
	struct py_greenlet *greenlet; /* those that there are most of first */
	size_t greenlets_found; /* before merging */
	const char *greenlets_note; /* "" or what is missing of them */
};

/*
 * Takes the stack of a thread that is on CPU. TID in our pid namespace, TSTATE its thread state.
 * Fills *OUT and returns 0; -EAGAIN if it was not on CPU in time, -EOPNOTSUPP if there is no such
 * means.
 */
typedef int (*py_capture_fn)(void *ctx, pid_t tid, uint64_t tstate,
			     const struct pywalk_layout *layout, struct pywalk_record *out);

/* Which tasks of event loops are read. */
enum py_tasks {
	PY_TASKS_NONE,
	PY_TASKS_CURRENT, /* those that run */
	/* Those that run, then all as far as tasks_ns and PY_BRIEF_TASKS allow. Where there is no
	 * event loop nothing more is read. */
	PY_TASKS_BRIEF,
	PY_TASKS_ALL,
};

struct py_walk_opts {
	uint64_t timeout_ns; /* of the whole walk; 0 = 1 s */
	py_capture_fn capture; /* NULL: running threads are read remotely and are not exact */
	void *capture_ctx;
	enum py_tasks tasks;
	uint64_t tasks_ns; /* PY_TASKS_BRIEF: for the others, once the stacks are read */
	bool greenlets; /* read those that are suspended */
	/* Read the local variables of stacks of threads that stand still, and hide those that it
	 * says. NULL: read none. */
	const struct redact *locals;
};

/*
 * Looks for an interpreter in process PID. 0 and *OUT (caller's; python__free), or one of
 *	-ESRCH		no such process
 *	-ENOENT		no Python in it (or not yet: starting), or no memory of its own
 *	-EPERM		may not read its memory
 *	-EOPNOTSUPP	a Python that we cannot walk: ERR says which and which are known
 *	-ENOMEM, -EIO
 * and one line in ERR that says what failed, on what and what to do.
 */
int python__open(pid_t pid, struct python **out, struct err *err);
void python__free(struct python *py); /* NULL is fine */

/* The same with one look, for who has no time: where several might decide it is -ENOENT. */
int python__open_now(pid_t pid, struct python **out, struct err *err);

struct mem;
struct recorder;
struct recording;

/* The same; all that is read by *OUT is kept in *REC (recorder__free it after python__free). */
int python__record(pid_t pid, struct python **out, struct recorder **rec, struct err *err);

/* The same for what was kept of a process, R (borrowed for the call), by MEM: its memory, which is
 * taken over, also when it fails (recording__mem). All threads of it stand still. */
int python__open_recording(const struct recording *r, struct mem *mem, struct python **out,
			   struct err *err);

#define PY_MAX_GILS 32
#define PY_MAX_WORLDS (PY_MAX_GILS + 1)

/* Where the GILs are. One, or one for each subinterpreter that has its own (3.12). */
struct py_gils {
	/* Of struct _gil_runtime_state what is the same in all versions: interval, last_holder,
	 * locked, switch_number, cond, mutex, ... */
	uint64_t words[PY_MAX_GILS];
	size_t cnt;
	uint32_t thread_id; /* offset in a thread state of threading.get_ident() */
	bool cut; /* there were more */
	/* Free-threaded builds: the stop-the-world states of the runtime and its interpreters. */
	uint64_t world[PY_MAX_WORLDS];
	size_t nworlds;
	/* Where the number of the next interpreter stands and what it was before this list was
	 * made: when it is another, there may be more. 0: all share one GIL. */
	uint64_t births_at, births;
	bool unfinished; /* an interpreter is being made: the list is not whole */
};

/* Who does not stop, of those that were asked to (free-threaded builds). */
struct py_world {
	bool stopping; /* asked, and not yet done */
	uint64_t requester; /* thread state of who asked */
	uint64_t running; /* thread state of the first one that runs on, 0 = none was seen */
	size_t nrunning, nstopped;
};

/*
 * Lists the GILs that are in use now. 0 (also for none: a free-threaded build, or one that is
 * starting), or -ESRCH, -EPERM, -EIO (nonsense in memory).
 */
int python__gils(struct python *py, struct py_gils *out);

/* What goes on in the world at AT, one of those of python__gils. 0, or negative errno. */
int python__world(struct python *py, uint64_t at, struct py_world *out);

/* What was read of its memory so far. Owned by PY. */
const struct mem_stats *python__mem_stats(const struct python *py);

enum py_loop_kind {
	PY_LOOP_NONE,
	PY_LOOP_ASYNCIO, /* or another that has its interface, tornado among them */
	PY_LOOP_UVLOOP,
	PY_LOOP_TRIO,
	PY_LOOP_GEVENT,
};

/* The event loop that a thread runs, the outermost one where one runs in a step of another. */
struct py_loop {
	enum py_loop_kind kind;
	uint64_t tstate;
	uint64_t ver_addr; /* of context_ver: bpf/loop_state.h */
	uint64_t ver, context; /* read at one moment; the context is an address */
	uint64_t running; /* asyncio's running loop, 0 = none */
	bool waits; /* by its stack, the loop waits or is about to; never known of uvloop */
	bool inside; /* by its stack, it is in a step; never known of uvloop and gevent */
	uint64_t begun_ns; /* CLOCK_MONOTONIC of the target: when the step began; 0 = not known */
};

/*
 * Which loop runs in TH, a thread of a snapshot that was just taken. A greenlet that runs does not
 * show the loop of gevent: PY_LOOP_NONE. 0, or -EFAULT, -ESRCH, -EPERM.
 */
int python__loop(struct python *py, const struct py_thread *th, struct py_loop *out);

/* "CPython 3.11.7 (static, /usr/bin/python3.11)": for messages. Owned by PY. */
const char *python__describe(const struct python *py);

enum py_lock_kind {
	PY_LOCK_NONE, /* it waits for none, or for one that is not known */
	PY_LOCK_LOCK, /* threading.Lock */
	PY_LOCK_RLOCK,
	PY_LOCK_C, /* a mutex of the C library */
};

/* What a thread waits for. */
struct py_lock {
	enum py_lock_kind kind;
	uint64_t addr; /* of the object, or the mutex */
	size_t holder; /* index of a thread in the snapshot, PY_NO_INDEX = not known */
};

/*
 * The locks for which the threads of SNAP wait, a fresh result of python__walk. OUT: one for each
 * thread. 0, or -ESRCH, -EPERM, -ENOMEM.
 */
int python__locks(struct python *py, const struct py_snapshot *snap, struct py_lock *out);

/* The file that holds the interpreter. Owned by PY. */
const char *python__file(const struct python *py);

/* 0 and *OUT (py_snapshot__free), or -ESRCH, -EPERM, -EIO, -ENOMEM with ERR. A walk that ran into a
 * ceiling or its deadline is a result, not an error. */
int python__walk(struct python *py, const struct py_walk_opts *opts, struct py_snapshot **out,
		 struct err *err);
void py_snapshot__free(struct py_snapshot *snap); /* NULL is fine */

#endif
