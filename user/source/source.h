/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A backend: something that watches the slots of targets and tells of candidates. Two of them run
 * the same state machine (bpf/stall_state.h): source_bpf in the kernel, source_poll on a timer
 * here.
 *
 * The session owns the targets and their pages and says what to watch; the backend tells what
 * happened; the session looks again before it believes it (slot.h: slot_confirm).
 */
#ifndef PERPETUO_SOURCE_SOURCE_H
#define PERPETUO_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "bpf/gil_state.h"
#include "bpf/top_state.h"
#include "py/python.h"

#define SOURCE_GIL_NAME "GIL" /* in place of a tracker's name */

#define SOURCE_MAX_PROCS 256 /* processes watched at once */

struct slot_page_info; /* source/slot.h */
struct thresholds;
struct usage_view; /* stall/usage.h */

enum source_event_type {
	SOURCE_STALL, /* a section has been active for the threshold */
	SOURCE_END, /* a section told before is over */
	SOURCE_OVER, /* a section is over that may have lasted for the threshold, never told before
		      */
	SOURCE_GENERATION, /* trackers were made or closed: read the page's facts again */
	SOURCE_EXEC, /* the process runs another program now: everything known of it is void */
	SOURCE_GIL_WAIT, /* a thread has waited for the GIL for the threshold */
	SOURCE_GIL_END, /* such a wait is over; `is_long`: it counts also if it was never told */
	SOURCE_GIL_BORN, /* there may be GILs that were not there before */
	SOURCE_LOOP_ASK, /* does this thread run an event loop? */
	SOURCE_LOOP_STALL, /* a step of an event loop has lasted for the threshold */
	SOURCE_LOOP_END, /* such a step is over; `is_long`: it counts also if it was never told */
	SOURCE_CHILD, /* of a process that is followed: one more to watch, in `child` */
	SOURCE_LOST, /* records did not fit: count in `lost` */
};

/* A wait for a GIL. */
struct source_gil {
	uint64_t words; /* which: as in py_gils */
	uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC here; the start tells waits apart */
	uint64_t switches; /* WAIT: its switch_number at the last sleep */
	uint64_t moved; /* by how much that moved since the start */
	uint64_t held_ns; /* since then, as far as was seen, who has it has had it */
	pid_t tid; /* who waits; 0 = not in our pid namespace */
	uint32_t waiting; /* WAIT: how many wait for it, this one among them */
	uint32_t drops; /* times that its holder let go and took it again */
	enum gil_kind kind;
	bool is_long; /* END: for the threshold */
	bool unsure; /* END: it may have gone on waiting */
	bool doubtful; /* END: it may have had the GIL in the middle */
	bool left; /* END: its thread has ended */
	bool stw; /* it is no GIL: the thread waits for all others to stop. WORDS: its py_gils.world
		   */
};

struct source_event {
	enum source_event_type type;
	uint32_t proc; /* as given to source__add */
	uint64_t now_ns; /* when it was judged, CLOCK_MONOTONIC here */
	uint64_t page; /* address of the slot page in the target */
	uint32_t slot; /* index in the page */
	uint64_t word; /* the section; 0 where there is none */
	uint64_t word_now; /* the word when it was judged */
	uint64_t value; /* what stood in the slot then: word_now, or the count of a counter */
	bool on_cpu; /* a thread of the target ran meanwhile: the verdict may be stale */
	bool paused; /* the target was stopped at some time during the section */
	uint64_t lost;
	struct source_gil gil;
	struct {
		pid_t pid; /* 0 = children were not told: look for them */
		pid_t parent;
	} child;
	struct {
		uint64_t ver_addr; /* which: as in source_loop; 0 = not known yet */
		uint64_t ver; /* the step: what the count of steps was in it */
		uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC here; the start tells steps apart */
		pid_t tid; /* 0 = not in our pid namespace */
		bool start_exact;
		bool end_exact;
		bool is_long; /* END: for the threshold */
	} loop;
};

/* A thread that runs an event loop. */
struct source_loop {
	pid_t tid;
	uint64_t ver_addr; /* of its count of steps (bpf/loop_state.h) */
	uint64_t ver; /* that count now */
	int fd; /* on which the loop waits in epoll; -1 = not known yet */
	uint64_t busy_ns; /* since when it does something else, 0 = it waits there now */
	bool exact; /* since exactly then */
};

#define SOURCE_MAX_COUNTS 128 /* threads of one process that are counted */

/* What was counted of a thread since it was seen first, up to now. */
struct source_counts {
	pid_t tid; /* in our pid namespace */
	uint64_t held_ns; /* it had the GIL: top_state.h says how that is known */
	uint64_t waited_ns; /* for the GIL, the wait that goes on included */
	uint64_t worst_wait_ns; /* likewise */
	uint64_t waits; /* that are over */
	struct top_loop loop; /* moved 0: it runs no loop */
};

struct source_opts {
	uint64_t poll_ns; /* --poll-interval */
	const struct thresholds *thresholds; /* outlives the backend */
	uint32_t max_procs; /* at most SOURCE_MAX_PROCS */
	bool follow; /* children are to be told */
	bool counts; /* threads are to be counted */
};

typedef void (*source_event_fn)(void *ctx, const struct source_event *ev);

struct kernel_stack;
struct source;

struct source_ops {
	const char *name; /* "bpf", "poll": what --backend takes */

	/* 0 and *OUT; or negative errno with ERR saying what is missing (kernel feature,
	 * capability). */
	int (*open)(const struct source_opts *opts, source_event_fn fn, void *ctx,
		    struct source **out, struct err *err);
	void (*free)(struct source *s);

	/*
	 * Watch process PID as PROC (0 .. max_procs-1, chosen by the caller). PIDFD stays the
	 * caller's. CLOCK_OFF: the target's CLOCK_MONOTONIC minus ours (time namespaces). START_NS:
	 * when the process began, our CLOCK_MONOTONIC. No pages yet.
	 */
	int (*add)(struct source *s, uint32_t proc, pid_t pid, int pidfd, int64_t clock_off,
		   uint64_t start_ns, struct err *err);
	/* Forget PROC: no event of it is told after this. */
	void (*remove)(struct source *s, uint32_t proc);

	/*
	 * Replace the set of pages of PROC by these NPAGES (0 = none). Pages that were watched
	 * before keep their state. Sections that are open now are seen at once.
	 */
	int (*set_pages)(struct source *s, uint32_t proc, const struct slot_page_info *pages,
			 size_t npages, struct err *err);

	/*
	 * The word of a slot as it was read last, 0 = not known. For a process that has gone: its
	 * memory cannot be read any more, but what it did last may have been seen and not yet told.
	 */
	uint64_t (*last_word)(const struct source *s, uint32_t proc, uint64_t page, uint32_t slot);

	/*
	 * For how long PROC has been stopped (SIGSTOP, a tracer, the freezer, the machine itself)
	 * since it was added, the present stop included; *NOW: it is stopped.
	 */
	uint64_t (*stopped_ns)(const struct source *s, uint32_t proc, bool *now);

	/*
	 * Does the wait that began at START_NS (a SOURCE_GIL_WAIT told before) go on, as far as was
	 * seen? Then NOW gets what is known of it now: moved, held_ns, drops, kind. There where
	 * set_gils is.
	 */
	bool (*gil_waits)(const struct source *s, uint32_t proc, uint64_t start_ns,
			  struct source_gil *now);

	/*
	 * Replace the GILs of PROC whose waiters are watched. NULL if this backend has no such
	 * means; -EOPNOTSUPP if it has none on this machine.
	 */
	int (*set_gils)(struct source *s, uint32_t proc, const struct py_gils *gils,
			struct err *err);

	/*
	 * Watch the event loops of PROC: threads that may run one are asked about (SOURCE_LOOP_ASK)
	 * from now on. NULL if this backend has no such means; -EOPNOTSUPP if it has none on this
	 * machine.
	 */
	int (*watch_loops)(struct source *s, uint32_t proc, struct err *err);
	/*
	 * LOOP runs in a thread of PROC: its steps are watched, until the thread ends. For one that
	 * is watched already: what is new. There also where watch_loops is not: for loops that the
	 * program has registered, once PROC has pages. 0, -ENOSPC, or -ENOENT (no such thread was
	 * seen, and we are in a pid namespace of our own).
	 */
	int (*set_loop)(struct source *s, uint32_t proc, const struct source_loop *loop);

	/*
	 * What is known of where the time of thread TID (in our pid namespace) of PROC went, up to
	 * now. 0; -ENOENT: nothing, it was not seen leaving a CPU yet; -EAGAIN: it moved at each
	 * look. NULL if this backend has no such means.
	 */
	int (*usage)(struct source *s, uint32_t proc, pid_t tid, struct usage_view *out);

	/*
	 * What was counted of the threads of PROC (source_opts.counts): so many of OUT, which has
	 * room for SOURCE_MAX_COUNTS. Of one that has ended it is told once more. NULL if this
	 * backend has no such means.
	 */
	size_t (*counts)(const struct source *s, uint32_t proc, struct source_counts *out);

	/*
	 * Follow the process PIDFD, a child of PARENT (0 = we were told to watch it): from now on
	 * its children and theirs are followed and told (SOURCE_CHILD), when they are forked with a
	 * memory of their own, and when one that is not watched executes a program. NULL if this
	 * backend has no such means.
	 */
	int (*follow)(struct source *s, int pidfd, pid_t parent, struct err *err);
	/* Is PIDFD followed? A pid that was told may be another process by now. */
	bool (*follows)(const struct source *s, int pidfd);

	/* For epoll: readable when dispatch has something to do. -1 if it needs none. */
	int (*fd)(const struct source *s);
	/*
	 * Tells all that happened, by the callback given to open. Never blocks. The callback must
	 * not call add, remove or set_pages: what is told points into what these change.
	 */
	int (*dispatch)(struct source *s);

	/* The stack of a running thread; NULL if this backend has no means. ctx is the source. */
	py_capture_fn capture;

	/*
	 * Where thread TID (in our pid namespace) is in the kernel, and its registers: of one that
	 * is off CPU; or, for a running one, the CNT addresses at IP that `capture` took. 0;
	 * -ESRCH; or what the kernel said. NULL if this backend has no such means.
	 */
	int (*kernel_stack)(struct source *s, pid_t tid, const uint64_t *ip, size_t cnt,
			    struct kernel_stack *out);

	/* Adds "name value" lines for --stats: every early return of every program by name. */
	void (*stats)(struct source *s, struct strbuf *out);
};

extern const struct source_ops source_bpf;
extern const struct source_ops source_poll;

#endif
