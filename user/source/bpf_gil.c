// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The table of gil_abi.h, from the loader's side, and the guards: watchpoints on a GIL, each for
 * one thread that has waited for long (gil_state.h says what for). A guard fires when its thread
 * takes or releases the GIL, once, and is then closed.
 */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/event_abi.h"
#include "perpetuo.skel.h"

#define MODULE "bpf"

_Static_assert(PY_MAX_GILS <= GIL_MAX, "the table has room for all GILs of a process");
_Static_assert(PY_MAX_WORLDS <= GIL_WORLDS, "and for all its stop-the-world states");

int bpf_gil__open(struct source *s, struct err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = (sizeof(*s->gils) * s->opts.max_procs + page - 1) / page * page;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(s->skel->maps.gils), 0);

	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot map the BPF table of GILs: %s",
			       strerror(errno));
	s->gils = p;
	s->gils_len = len;
	s->skel->bss->gil_guards = s->perf;
	return 0;
}

/* ---- guards ---------------------------------------------------------------------------------- */

static void close_guard(struct source *s, struct gil_guard *g)
{
	struct gil_wait *w = &s->gils[g->proc].thread[g->index].wait;

	if (w->guarded == g->start_ns)
		__atomic_store_n(&w->guarded, 0, __ATOMIC_SEQ_CST);
	close(g->fd);
	*g = s->guard[--s->nguards];
}

static void close_guards_of(struct source *s, uint32_t proc, pid_t tid)
{
	for (size_t i = s->nguards; i-- > 0;)
		if (s->guard[i].proc == proc && (!tid || s->guard[i].tid == tid))
			close_guard(s, &s->guard[i]);
}

/* A watchpoint that tells gil_touched() when thread TID writes to the GIL at WORDS. */
static int watch_writes(const struct source *s, pid_t tid, uint64_t words)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = words + GIL_LOCKED_AT,
		.bp_len = HW_BREAKPOINT_LEN_4,
		.sample_period = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, bpf_program__fd(s->skel->progs.gil_touched)) ||
	    ioctl(fd, PERF_EVENT_IOC_REFRESH, 1)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void open_guard(struct source *s, uint32_t proc, const struct event_gil *e)
{
	struct gil_guard g = {
		.proc = proc,
		.tid = (pid_t)e->tid,
		.index = e->index % GIL_THREADS,
		.start_ns = e->start_ns,
	};
	struct gil_thread *th = &s->gils[proc].thread[g.index];
	int fd;

	if (!g.tid || __atomic_load_n(&th->nr, __ATOMIC_RELAXED) != e->tid)
		return;
	close_guards_of(s, proc, g.tid);
	if (s->nguards == GIL_GUARDS) /* of threads that ended, or do not want the GIL any more */
		close_guard(s, &s->guard[0]);
	g.fd = fd = watch_writes(s, g.tid, e->gil);
	if (fd == -EACCES || fd == -EPERM || fd == -EOPNOTSUPP) {
		log_msg(LOG_DEBUG, MODULE,
			"no watchpoints: %s; of waits for the GIL only the certain are told",
			strerror(-fd));
		__atomic_store_n(&s->skel->bss->gil_guards, 0, __ATOMIC_SEQ_CST);
	}
	if (fd < 0)
		return;
	s->guard[s->nguards++] = g;
	s->guards_opened++;
	th->wait.guarded_at = bpf_clock_ns(s);
	__atomic_store_n(&th->wait.guarded, e->start_ns, __ATOMIC_SEQ_CST);
	bpf_kick(s, NULL);
}

bool bpf_gil__guard(struct source *s, uint32_t proc, const struct event_gil *e)
{
	if (e->type == EVENT_GIL_HALF)
		open_guard(s, proc, e);
	else if ((e->type == EVENT_GIL_TOUCHED || e->type == EVENT_GIL_END) && e->tid)
		close_guards_of(s, proc, (pid_t)e->tid);
	return e->type == EVENT_GIL_HALF || e->type == EVENT_GIL_TOUCHED;
}

void bpf_gil__drop_guards(struct source *s, uint32_t proc)
{
	close_guards_of(s, proc, 0);
}

/* ---- the table ------------------------------------------------------------------------------- */

void bpf_gil__close(struct source *s)
{
	while (s->nguards)
		close_guard(s, &s->guard[0]);
	if (s->gils)
		munmap(s->gils, s->gils_len);
}

void bpf_gil__reset(struct source *s, uint32_t proc)
{
	memset(&s->gils[proc], 0, sizeof(s->gils[proc]));
}

/* Waits that are open keep the address of their GIL, so the list may change under them. */
static void write_table(struct gil_table *t, const struct py_gils *gils)
{
	t->births = gils->births;
	t->births_at = gils->births_at;
	t->born = 0;
	if (gils->unfinished)
		t->born_told = 0;
	if (t->cnt == gils->cnt && t->thread_id == gils->thread_id && t->worlds == gils->nworlds &&
	    !memcmp(t->gil, gils->words, gils->cnt * sizeof(t->gil[0])) &&
	    !memcmp(t->world, gils->world, gils->nworlds * sizeof(t->world[0])))
		return;
	__atomic_store_n(&t->cnt, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->worlds, 0, __ATOMIC_SEQ_CST);
	t->thread_id = gils->thread_id;
	memcpy(t->gil, gils->words, gils->cnt * sizeof(t->gil[0]));
	memcpy(t->world, gils->world, gils->nworlds * sizeof(t->world[0]));
	__atomic_store_n(&t->cnt, (uint32_t)gils->cnt, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->worlds, gils->nworlds, __ATOMIC_SEQ_CST);
}

int bpf_gil__set(struct source *s, uint32_t proc, const struct py_gils *gils, struct err *err)
{
	struct proc *p = &s->proc[proc];
	bool had = p->gils;

#ifndef __x86_64__
	return err_set(err, -EOPNOTSUPP, "waits for the GIL are seen on x86-64 only");
#endif
	write_table(&s->gils[proc], gils);
	__atomic_store_n(&p->gils, (uint32_t)gils->cnt, __ATOMIC_SEQ_CST);
	/* the timer does not run while there is nothing to judge */
	return gils->cnt && !had ? bpf_kick(s, err) : 0;
}

bool bpf_gil__waits(const struct source *s, uint32_t proc, uint64_t start_ns,
		    struct source_gil *now)
{
	const struct gil_table *t = &s->gils[proc];

	for (uint32_t i = 0; i < GIL_THREADS; i++) {
		const struct gil_thread *th = &t->thread[i];

		if (!th->tid || th->wait.since + (uint64_t)s->own_off != start_ns)
			continue;
		now->moved = th->wait.switches - th->wait.first;
		now->held_ns = th->wait.held + (uint64_t)s->own_off;
		now->drops = th->wait.drops;
		now->kind = gil_kind(&th->wait, bpf_clock_ns(s));
		return true;
	}
	return false;
}

/* Takes what the timer had yet to tell of a thread. False: nothing. */
static bool take_past(const struct source *s, struct gil_thread *th, struct event_gil *e)
{
	const struct gil_past *past = &th->wait.past;

	*e = (struct event_gil){
		.type = EVENT_GIL_END,
		.now_ns = bpf_clock_ns(s),
		.gil = th->wait.gil,
		.end_ns = past->end,
		.holder = past->holder,
		.held_ns = past->held,
		.moved = past->switches,
		.tid = th->nr,
		.flags = past->flags | (th->stw ? GIL_STW : 0),
		.kind = past->kind,
		.drops = past->drops,
	};
	e->start_ns = __atomic_exchange_n(&th->wait.past.since, 0, __ATOMIC_SEQ_CST);
	return e->start_ns;
}

void bpf_gil__flush(struct source *s,
		    void (*tell)(struct source *s, uint32_t proc, const struct event_gil *e))
{
	struct event_gil e;

	for (uint32_t proc = 0; proc < s->opts.max_procs; proc++) {
		struct gil_table *t = &s->gils[proc];

		if (!s->target[proc].used || !t->open ||
		    __atomic_load_n(&s->proc[proc].live, __ATOMIC_SEQ_CST))
			continue;
		for (int i = 0; i < GIL_THREADS; i++)
			if (take_past(s, &t->thread[i], &e))
				tell(s, proc, &e);
	}
}

void bpf_gil__event(const struct source *s, const struct event_gil *e, struct source_event *out)
{
	out->type = e->type == EVENT_GIL_WAIT	? SOURCE_GIL_WAIT
		    : e->type == EVENT_GIL_BORN ? SOURCE_GIL_BORN
						: SOURCE_GIL_END;
	out->gil.words = e->gil;
	out->gil.start_ns = e->start_ns + (uint64_t)s->own_off;
	out->gil.end_ns = e->end_ns + (uint64_t)s->own_off;
	out->gil.switches = e->switches;
	out->gil.moved = e->moved;
	out->gil.held_ns = e->held_ns ? e->held_ns + (uint64_t)s->own_off : 0;
	out->gil.kind = e->kind <= GIL_QUEUE ? e->kind : GIL_HELD;
	out->gil.drops = e->drops;
	out->gil.tid = (pid_t)e->tid;
	out->gil.waiting = e->waiting;
	out->gil.is_long = e->flags & GIL_LONG;
	out->gil.unsure = e->flags & GIL_UNSURE;
	out->gil.doubtful = e->flags & GIL_DOUBTFUL;
	out->gil.left = e->flags & GIL_LEFT;
	out->gil.stw = e->flags & GIL_STW;
}
