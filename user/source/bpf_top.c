// SPDX-License-Identifier: MIT OR Apache-2.0
/* The table of top_abi.h, from the loader's side. */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/top_abi.h"
#include "perpetuo.skel.h"

_Static_assert(SOURCE_MAX_COUNTS == TOP_THREADS, "who asks has room for all");

int bpf_top__open(struct source *s, struct err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = (sizeof(*s->tops) * s->opts.max_procs + page - 1) / page * page;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(s->skel->maps.tops), 0);

	if (p == MAP_FAILED)
		return err_set(err, -errno, "cannot map the BPF table of counters: %s",
			       strerror(errno));
	s->tops = p;
	s->tops_len = len;
	return 0;
}

void bpf_top__close(struct source *s)
{
	if (s->tops)
		munmap(s->tops, s->tops_len);
}

void bpf_top__reset(struct source *s, uint32_t proc)
{
	if (s->tops)
		memset(&s->tops[proc], 0, sizeof(s->tops[proc]));
}

/* For how long the thread has been waiting that is not through yet. */
static uint64_t open_wait(const struct gil_table *t, uint32_t tid, uint64_t now)
{
	for (uint32_t i = 0; i < GIL_THREADS; i++) {
		const struct gil_thread *th = &t->thread[i];
		uint64_t since = __atomic_load_n(&th->wait.since, __ATOMIC_SEQ_CST);

		if (th->tid == tid && !th->stw && since && since < now)
			return now - since;
	}
	return 0;
}

/* It has been read for the last time: the entry is free, unless another thread took it already. */
static void drop(struct top_thread *th, uint32_t tid)
{
	__atomic_compare_exchange_n(&th->tid, &tid, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

size_t bpf_top__read(const struct source *s, uint32_t proc, struct source_counts *out)
{
	uint64_t now = bpf_clock_ns(s), open;
	size_t cnt = 0;

	for (uint32_t i = 0; s->tops && i < TOP_THREADS; i++) {
		struct top_thread *th = &s->tops[proc].thread[i];
		uint32_t tid = __atomic_load_n(&th->tid, __ATOMIC_SEQ_CST);
		bool left = __atomic_load_n(&th->left, __ATOMIC_SEQ_CST);
		struct source_counts *c = &out[cnt];

		if (!tid || !th->nr)
			continue;
		open = left ? 0 : open_wait(&s->gils[proc], tid, now);
		*c = (struct source_counts){
			.tid = (pid_t)th->nr,
			.held_ns = th->gil.held_ns,
			.waited_ns = th->gil.waited_ns + open,
			.worst_wait_ns = open > th->gil.worst_ns ? open : th->gil.worst_ns,
			.waits = th->gil.waits,
			.loop = th->loop,
		};
		if (left)
			drop(th, tid);
		else if (th->gil.flags & TOP_HOLDS && th->gil.seen < now)
			c->held_ns += now - th->gil.seen;
		cnt++;
	}
	return cnt;
}
