// SPDX-License-Identifier: MIT OR Apache-2.0
/* The table of account_abi.h, from the loader's side. */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "perpetuo.skel.h"
#include "stall/usage.h"

#define READ_TRIES 8
#define THREADS_PER_PROC 32

uint32_t bpf_account__size(uint32_t max_procs)
{
	uint32_t cnt = ACCOUNT_MIN_THREADS;

	while (cnt < max_procs * THREADS_PER_PROC && cnt < ACCOUNT_MAX_THREADS)
		cnt *= 2;
	return cnt;
}

static void *map_table(struct bpf_map *map, size_t len, int prot)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, (len + page - 1) / page * page, prot, MAP_SHARED, bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

int bpf_account__open(struct source *s, struct err *err)
{
	struct bpf_account *a = &s->account;

	a->cnt = bpf_map__max_entries(s->skel->maps.accounts);
	a->thread = map_table(s->skel->maps.accounts, a->cnt * sizeof(*a->thread),
			      PROT_READ | PROT_WRITE);
	if (a->thread)
		a->points = map_table(s->skel->maps.account_rings, a->cnt * sizeof(*a->points),
				      PROT_READ);
	if (!a->points)
		return err_set(err, -errno, "cannot map the BPF table of threads: %s",
			       strerror(errno));
	return 0;
}

void bpf_account__close(struct source *s)
{
	struct bpf_account *a = &s->account;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (a->thread)
		munmap(a->thread, (a->cnt * sizeof(*a->thread) + page - 1) / page * page);
	if (a->points)
		munmap((void *)(uintptr_t)a->points,
		       (a->cnt * sizeof(*a->points) + page - 1) / page * page);
}

void bpf_account__forget(struct source *s, uint32_t handle)
{
	for (uint32_t i = 0; i < s->account.cnt; i++)
		if (s->account.thread[i].handle == handle)
			__atomic_store_n(&s->account.thread[i].tid, 0, __ATOMIC_SEQ_CST);
}

/* In the root pid namespace the number of a thread says where it is. */
static const struct account_thread *find(const struct source *s, uint32_t handle, pid_t tid)
{
	for (uint32_t i = 0; i < s->account.cnt; i++) {
		const struct account_thread *th =
			&s->account.thread[((uint32_t)tid + i) & (s->account.cnt - 1)];

		if (th->tid && th->handle == handle && th->nr == (uint32_t)tid)
			return th;
	}
	return NULL;
}

static int ask(struct source *s, uint32_t index, struct account_query *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	struct account_query *q = &s->skel->bss->account_query;

	q->index = index;
	if (bpf_prog_test_run_opts(bpf_program__fd(s->skel->progs.account_ask), &run))
		return -errno;
	*out = *q;
	return 0;
}

/* The points of a ring that was gone round for NEWEST, from the oldest on. */
static size_t copy_points(const struct account_points *ring, uint32_t newest,
			  struct account_point out[ACCOUNT_POINTS])
{
	size_t cnt = newest < ACCOUNT_POINTS ? newest + 1 : ACCOUNT_POINTS;

	for (size_t i = 0; i < cnt; i++)
		out[i] = ring->point[(newest - (cnt - 1) + i) & (ACCOUNT_POINTS - 1)];
	return cnt;
}

/* One attempt. -EAGAIN: the thread left a CPU meanwhile. */
static int look(struct source *s, const struct account_thread *th, struct usage_view *v)
{
	uint32_t index = (uint32_t)(th - s->account.thread);
	uint32_t seq = __atomic_load_n(&th->seq, __ATOMIC_ACQUIRE);
	struct account_raw raw = th->raw;
	uint64_t off = th->clock_off + (uint64_t)s->own_off;
	struct account_query q = { 0 };
	size_t n;
	int ret;

	for (uint32_t i = 0; i < ACCOUNT_IPS; i++) {
		v->ip[i] = i < th->nips ? th->ip[i] : (struct account_ip){ 0 };
		v->ip[i].at += (uint64_t)s->own_off;
	}
	n = copy_points(&s->account.points[index], th->newest, v->point);
	ret = ask(s, index, &q);
	if (ret)
		return ret;
	if (seq & 1 || __atomic_load_n(&th->seq, __ATOMIC_ACQUIRE) != seq)
		return -EAGAIN;
	v->cnt = n;
	v->on_cpu = q.found && q.on_cpu;
	if (q.found) {
		v->point[n] = v->point[n - 1];
		account_advance(&v->point[n], &raw, &q.look, v->on_cpu);
		v->cnt++;
	}
	for (size_t i = 0; i < v->cnt; i++)
		v->point[i].at += off;
	return v->cnt < 2 ? -ENOENT : 0;
}

int bpf_account__usage(struct source *s, uint32_t proc, pid_t tid, struct usage_view *out)
{
	const struct account_thread *th = find(s, s->proc[proc].handle, tid);
	int ret = -EAGAIN;

	out->cnt = 0;
	if (!th)
		return -ENOENT;
	for (int i = 0; i < READ_TRIES && ret == -EAGAIN; i++)
		ret = look(s, th, out);
	if (ret)
		out->cnt = 0;
	return ret;
}
