// SPDX-License-Identifier: MIT OR Apache-2.0
/* The table of gil_abi.h, from the loader's side. */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/event_abi.h"
#include "perpetuo.skel.h"

_Static_assert(PY_MAX_GILS <= GIL_MAX, "the table has room for all GILs of a process");

int bpf_gil__open(struct source *s, struct err *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = (sizeof(*s->gils) * s->opts.max_procs + page - 1) / page * page;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(s->skel->maps.gils), 0);

	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot map the BPF table of GILs: %s",
			       strerror(errno));
	s->gils = p;
	s->gils_len = len;
	if (bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.core_pid_level), &run))
		return err_set(err, -errno, "cannot ask for the depth of our pid namespace: %s",
			       strerror(errno));
	return 0;
}

void bpf_gil__close(struct source *s)
{
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
	if (t->cnt == gils->cnt && t->thread_id == gils->thread_id &&
	    !memcmp(t->gil, gils->words, gils->cnt * sizeof(t->gil[0])))
		return;
	__atomic_store_n(&t->cnt, 0, __ATOMIC_SEQ_CST);
	t->thread_id = gils->thread_id;
	memcpy(t->gil, gils->words, gils->cnt * sizeof(t->gil[0]));
	__atomic_store_n(&t->cnt, (uint32_t)gils->cnt, __ATOMIC_SEQ_CST);
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

bool bpf_gil__waits(const struct source *s, uint32_t proc, uint64_t start_ns)
{
	const struct gil_table *t = &s->gils[proc];

	for (uint32_t i = 0; i < GIL_THREADS; i++) {
		const struct gil_thread *th = &t->thread[i];

		if (th->tid && th->wait.since + (uint64_t)s->own_off == start_ns)
			return true;
	}
	return false;
}

void bpf_gil__event(const struct source *s, const struct event_gil *e, struct source_event *out)
{
	out->type = e->type == EVENT_GIL_WAIT ? SOURCE_GIL_WAIT : SOURCE_GIL_END;
	out->gil.words = e->gil;
	out->gil.start_ns = e->start_ns + (uint64_t)s->own_off;
	out->gil.end_ns = e->end_ns + (uint64_t)s->own_off;
	out->gil.switches = e->switches;
	out->gil.tid = (pid_t)e->tid;
	out->gil.waiting = e->waiting;
	out->gil.is_long = e->flags & GIL_LONG;
	out->gil.unsure = e->flags & GIL_UNSURE;
}
