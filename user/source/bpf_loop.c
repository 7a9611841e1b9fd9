// SPDX-License-Identifier: MIT OR Apache-2.0
/* The table of loop_abi.h, from the loader's side. */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/event_abi.h"
#include "perpetuo.skel.h"

int bpf_loop__open(struct source *s, struct err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = (sizeof(*s->loops) * s->opts.max_procs + page - 1) / page * page;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(s->skel->maps.loops), 0);

	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot map the BPF table of event loops: %s",
			       strerror(errno));
	s->loops = p;
	s->loops_len = len;
	return 0;
}

void bpf_loop__close(struct source *s)
{
	if (s->loops)
		munmap(s->loops, s->loops_len);
}

void bpf_loop__reset(struct source *s, uint32_t proc)
{
	memset(&s->loops[proc], 0, sizeof(s->loops[proc]));
}

int bpf_loop__watch(struct source *s, uint32_t proc, struct err *err)
{
	struct proc *p = &s->proc[proc];

#ifndef __x86_64__
	return err_set(err, -EOPNOTSUPP, "event loops are seen on x86-64 only");
#endif
	if (p->loops)
		return 0;
	__atomic_store_n(&p->loops, 1, __ATOMIC_SEQ_CST);
	/* the timer does not run while there is nothing to judge */
	return bpf_kick(s, err);
}

static struct loop_thread *find(struct loop_table *t, pid_t tid)
{
	for (size_t i = 0; i < LOOP_THREADS; i++) {
		struct loop_thread *th = &t->thread[i];

		if (__atomic_load_n(&th->tid, __ATOMIC_SEQ_CST) && th->status != LOOP_VOID &&
		    !th->left && th->nr == (uint32_t)tid)
			return th;
	}
	return NULL;
}

/* An entry for a thread that was not seen yet. Its id is what the programs know it by only where we
 * are in the same pid namespace. */
static int claim(struct source *s, struct loop_table *t, pid_t tid, struct loop_thread **out)
{
	if (s->skel->bss->pid_level)
		return -ENOENT;
	for (uint32_t i = 0; i < THREAD_PROBES; i++) {
		struct loop_thread *th = &t->thread[((uint32_t)tid + i) % LOOP_THREADS];
		uint32_t nobody = 0;

		if (!__atomic_compare_exchange_n(&th->tid, &nobody, (uint32_t)tid, false,
						 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			continue;
		__atomic_fetch_add(&t->open, 1, __ATOMIC_SEQ_CST);
		memset((char *)th + sizeof(th->tid), 0, sizeof(*th) - sizeof(th->tid));
		th->nr = (uint32_t)tid;
		*out = th;
		return 0;
	}
	return -ENOSPC;
}

static void begin(const struct source *s, struct loop_thread *th, const struct source_loop *loop)
{
	uint64_t now = bpf_clock_ns(s);

	memset(&th->step, 0, sizeof(th->step));
	th->addr = loop->ver_addr;
	th->step.ver = loop->ver;
	th->step.seen = now;
	th->step.cpu = LOOP_NO_CPU;
	th->step.flags = loop->exact ? LOOP_EXACT : 0;
	th->step.off = 1; /* asleep, as far as we know: what comes next is its end */
	th->step.since = loop->busy_ns ? loop->busy_ns - (uint64_t)s->own_off : 0;
}

int bpf_loop__set(struct source *s, uint32_t proc, const struct source_loop *loop)
{
	struct loop_table *t = &s->loops[proc];
	struct loop_thread *th = find(t, loop->tid);
	__u64 idle = 0;
	int ret;

	if (!th) {
		ret = claim(s, t, loop->tid, &th);
		if (ret)
			return ret;
	}
	if (th->status != LOOP_RUNS || th->addr != loop->ver_addr)
		begin(s, th, loop);
	else if (loop->busy_ns && th->step.ver != loop->ver)
		/* it went on before it was watched, and has not been seen since */
		if (__atomic_compare_exchange_n(&th->step.since, &idle,
						loop->busy_ns - (uint64_t)s->own_off, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			th->step.ver = loop->ver;
	th->fd = loop->fd < 0 ? LOOP_NO_FD : (uint32_t)loop->fd;
	th->gap_ns = 0;
	__atomic_store_n(&th->status, LOOP_RUNS, __ATOMIC_SEQ_CST);
	return bpf_kick(s, NULL);
}

void bpf_loop__event(const struct source *s, const struct event_loop *e, struct source_event *out)
{
	out->type = e->type == EVENT_LOOP_ASK	  ? SOURCE_LOOP_ASK
		    : e->type == EVENT_LOOP_STALL ? SOURCE_LOOP_STALL
						  : SOURCE_LOOP_END;
	out->loop.ver_addr = e->addr;
	out->loop.ver = e->ver;
	out->loop.start_ns = e->start_ns + (uint64_t)s->own_off;
	out->loop.end_ns = e->end_ns + (uint64_t)s->own_off;
	out->loop.tid = (pid_t)e->tid;
	out->loop.start_exact = e->flags & LOOP_EXACT;
	out->loop.end_exact = !(e->flags & LOOP_ROUGH);
	out->loop.is_long = e->flags & LOOP_LONG;
}
