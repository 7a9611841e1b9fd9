/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The BPF backend, inside: bpf.c wires and tells, bpf_table.c keeps the tables that the programs
 * read, bpf_gil.c that of the GILs, bpf_loop.c that of event loops, bpf_account.c that of where the
 * time of threads went, bpf_family.c that of who is followed, bpf_tick.c has the ticks, bpf_walk.c
 * takes stacks, bpf_kstack.c those in the kernel.
 */
#ifndef PERPETUO_SOURCE_BPF_H
#define PERPETUO_SOURCE_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "bpf/account_abi.h"
#include "bpf/gil_abi.h"
#include "bpf/kstack_abi.h"
#include "bpf/loop_abi.h"
#include "bpf/table_abi.h"
#include "bpf/walk_abi.h"
#include "source/source.h"

struct bpf_link;
struct mem;
struct perpetuo;
struct ring_buffer;
struct usage_view;

struct watched {
	bool used;
	uint32_t use; /* how often this index was used: part of the handle */
	pid_t pid;
	int pidfd; /* our own copy */
	struct mem *mem;
};

/* The ticks: one perf event for each CPU that is online, or none where the fallback serves. */
struct ticks {
	int ncpus;
	struct bpf_link **link; /* by CPU, NULL = none */
	int uevent_fd; /* tells when a CPU comes online, -1 = nobody does */
};

#define GIL_GUARDS 64 /* watchpoints that are open at once */

struct gil_guard {
	uint32_t proc;
	uint32_t index; /* of the thread in gil_table */
	uint64_t start_ns; /* of the wait that it guards */
	pid_t tid;
	int fd;
};

/* The threads of all targets, and their points: mapped. */
struct bpf_account {
	struct account_thread *thread;
	const struct account_points *points;
	uint32_t cnt; /* a power of 2 */
};

struct source {
	struct source_opts opts;
	source_event_fn fn;
	void *ctx;
	uint64_t tick_ns;
	int64_t own_off; /* our CLOCK_MONOTONIC minus that of the root time namespace */
	bool perf; /* perf_event_open is allowed: the ticks are such events */
	bool one_shot; /* and still is, for events on a thread: the capabilities may be fewer now */

	struct perpetuo *skel;
	struct proc *proc; /* mapped: opts.max_procs, see table_abi.h */
	size_t proc_len;
	struct segment *segment; /* mapped */
	size_t segment_len;
	uint32_t nsegments;
	bool *taken; /* segments that belong to a target */
	uint32_t segments_seen; /* all that ever did lie below this index */
	struct walk *walk; /* mapped */
	struct gil_table *gils; /* mapped: opts.max_procs */
	size_t gils_len;
	struct gil_guard guard[GIL_GUARDS]; /* oldest first, or nearly so */
	size_t nguards;
	struct loop_table *loops; /* mapped: opts.max_procs */
	size_t loops_len;
	struct bpf_account account;
	struct top_table *tops; /* mapped: opts.max_procs; NULL: nothing is counted */
	size_t tops_len;
	struct watched *target; /* opts.max_procs */
	struct ticks ticks;

	struct ring_buffer *events;
	struct ring_buffer *stacks;
	struct pywalk_record *captured; /* where the answer to `cookie` goes, NULL = nobody waits */
	uint64_t cookie;
	bool answered;
	int epoll_fd;

	uint64_t lost_told;
	uint64_t children_lost_told;
	uint64_t wakes; /* dispatches that had something to do */
	uint64_t told;
	uint64_t reread;
	uint64_t guards_opened;
};

/* The clock of the programs: bpf_ktime_get_ns(). */
uint64_t bpf_clock_ns(const struct source *s);

/* A pass of the deadline timer now. 0, or negative errno with ERR. */
int bpf_kick(struct source *s, struct err *err);

/* bpf_table.c: as in source_ops. */
int bpf_table__open(struct source *s, struct err *err); /* after the load */
void bpf_table__close(struct source *s);
int bpf_table__add(struct source *s, uint32_t proc, pid_t pid, int pidfd, int64_t clock_off,
		   uint64_t start_ns, struct err *err);
void bpf_table__remove(struct source *s, uint32_t proc);
uint64_t bpf_table__stopped_ns(const struct source *s, uint32_t proc, bool *now);
uint64_t bpf_table__last_word(const struct source *s, uint32_t proc, uint64_t page, uint32_t slot);
int bpf_table__set_pages(struct source *s, uint32_t proc, const struct slot_page_info *pages,
			 size_t npages, struct err *err);
/* Reads segment INDEX from here, by the protocol of table_abi.h. */
void bpf_table__observe(struct source *s, uint32_t index);

/* bpf_gil.c: the table of gil_abi.h, and the records of waits. */
int bpf_gil__open(struct source *s, struct err *err); /* after the load */
void bpf_gil__close(struct source *s);
void bpf_gil__reset(struct source *s, uint32_t proc); /* before the index is used again */
int bpf_gil__set(struct source *s, uint32_t proc, const struct py_gils *gils, struct err *err);
bool bpf_gil__waits(const struct source *s, uint32_t proc, uint64_t start_ns,
		    struct source_gil *now);
void bpf_gil__event(const struct source *s, const struct event_gil *e, struct source_event *out);
/* TELLs the ends that the kernel had yet to tell of processes that have ended. */
void bpf_gil__flush(struct source *s,
		    void (*tell)(struct source *s, uint32_t proc, const struct event_gil *e));
void bpf_gil__drop_guards(struct source *s, uint32_t proc);
/* Opens or closes the guard of a thread, as E says. True: E is about nothing else. */
bool bpf_gil__guard(struct source *s, uint32_t proc, const struct event_gil *e);

/* bpf_loop.c: the table of loop_abi.h, and the records of steps. */
int bpf_loop__open(struct source *s, struct err *err); /* after the load */
void bpf_loop__close(struct source *s);
void bpf_loop__reset(struct source *s, uint32_t proc); /* before the index is used again */
int bpf_loop__watch(struct source *s, uint32_t proc, struct err *err);
int bpf_loop__set(struct source *s, uint32_t proc, const struct source_loop *loop);
void bpf_loop__event(const struct source *s, const struct event_loop *e, struct source_event *out);

/* bpf_account.c: the table of account_abi.h. */
uint32_t bpf_account__size(uint32_t max_procs); /* threads in the table */
int bpf_account__open(struct source *s, struct err *err); /* after the load */
void bpf_account__close(struct source *s);
void bpf_account__forget(struct source *s, uint32_t handle); /* of a process */
int bpf_account__usage(struct source *s, uint32_t proc, pid_t tid, struct usage_view *out);

/* bpf_top.c: the table of top_abi.h. */
int bpf_top__open(struct source *s, struct err *err); /* after the load */
void bpf_top__close(struct source *s);
void bpf_top__reset(struct source *s, uint32_t proc); /* before the index is used again */
size_t bpf_top__read(const struct source *s, uint32_t proc, struct source_counts *out);

/* bpf_family.c: as in source_ops. */
int bpf_family__follow(struct source *s, int pidfd, pid_t parent, struct err *err);
bool bpf_family__follows(const struct source *s, int pidfd);

/* bpf_tick.c */
bool ticks_allowed(void); /* may we open a cpu-clock event on a CPU? */
int ticks__open(struct source *s, struct err *err);
void ticks__close(struct source *s);
void ticks__dispatch(struct source *s); /* uevent_fd is readable */
int ticks_cpu_clock(pid_t tid, int cpu, uint64_t period_ns); /* perf_event_open, -errno */

/* bpf_walk.c: source_ops.capture, and the record that comes for it. */
int bpf_walk__open(struct source *s, struct err *err);
int bpf_walk__capture(void *ctx, pid_t tid, uint64_t tstate, const struct pywalk_layout *layout,
		      struct pywalk_record *out);
int bpf_walk__record(void *ctx, void *data, size_t len);

/* bpf_kstack.c: as in source_ops. */
int bpf_kstack__read(struct source *s, pid_t tid, const uint64_t *ip, size_t cnt,
		     struct kernel_stack *out);

#endif
