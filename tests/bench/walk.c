// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * walk PID ROUNDS: opens the Python of a process and walks its stacks. One line: "VERSION elf MS
 * READS cold MS READS warm MS READS threads N frames N", times as medians, READS calls that read
 * memory. Cold is all that follows once _PyRuntime is found in the ELF file: the self-test and the
 * first walk.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "proc/mem.h"
#include "py/python.h"
#include "py/runtime.h"
#include "py/target.h"

#define COLD_ROUNDS 20

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t reads(const struct python *py)
{
	return python__mem_stats(py)->calls;
}

/* One walk: how long it took, and (if wanted) of how many threads and frames. */
static uint64_t walk(struct python *py, size_t *threads, size_t *frames)
{
	uint64_t start = clock_monotonic_ns(), took;
	struct py_snapshot *snap;
	struct err err;

	if (python__walk(py, NULL, &snap, &err)) {
		fprintf(stderr, "walk: %s\n", err.text);
		exit(1);
	}
	took = clock_monotonic_ns() - start;
	*threads = snap->nthreads;
	*frames = 0;
	for (size_t i = 0; i < snap->nthreads; i++)
		*frames += snap->thread[i].nframes;
	py_snapshot__free(snap);
	return took;
}

/* What finding _PyRuntime takes. */
static uint64_t find(pid_t pid, uint64_t *calls)
{
	uint64_t start = clock_monotonic_ns(), took;
	struct py_target t = { .pid = pid };
	struct runtime runtime;

	if (mem__open(pid, &t.mem, NULL) || runtime__find(&t, &runtime, NULL))
		exit(1);
	took = clock_monotonic_ns() - start;
	*calls = mem__stats(t.mem)->calls;
	mem__free(t.mem);
	return took;
}

static struct python *open_or_die(pid_t pid)
{
	struct err err = { { 0 } };
	struct python *py;

	if (!python__open(pid, &py, &err))
		return py;
	fprintf(stderr, "walk: %s\n", err.text);
	exit(1);
}

/* From nothing to the first walk. */
static uint64_t open_and_walk(pid_t pid, uint64_t *calls)
{
	uint64_t start = clock_monotonic_ns(), took;
	struct python *py = open_or_die(pid);
	size_t threads, frames;

	walk(py, &threads, &frames);
	took = clock_monotonic_ns() - start;
	*calls = reads(py);
	python__free(py);
	return took;
}

static double median_ms(uint64_t *took, size_t cnt)
{
	qsort(took, cnt, sizeof(*took), by_value);
	return (double)took[cnt / 2] / NSEC_PER_MSEC;
}

int main(int argc, char **argv)
{
	size_t rounds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, threads = 0, frames = 0;
	uint64_t elf[COLD_ROUNDS], cold[COLD_ROUNDS], elf_reads, cold_reads, warm_reads;
	uint64_t *warm = calloc(rounds + 1, sizeof(*warm));
	pid_t pid = argc == 3 ? atoi(argv[1]) : 0;
	struct python *py;
	double elf_ms;

	if (!rounds || !warm) {
		fprintf(stderr, "walk: walk PID ROUNDS\n");
		return 1;
	}
	for (size_t i = 0; i < COLD_ROUNDS; i++) {
		elf[i] = find(pid, &elf_reads);
		cold[i] = open_and_walk(pid, &cold_reads);
	}
	py = open_or_die(pid);
	walk(py, &threads, &frames);
	for (size_t i = 0; i < rounds; i++) {
		warm_reads = reads(py);
		warm[i] = walk(py, &threads, &frames);
	}
	warm_reads = reads(py) - warm_reads;
	elf_ms = median_ms(elf, COLD_ROUNDS);
	printf("%s\telf %.3f %llu cold %.3f %llu warm %.3f %llu threads %zu frames %zu\n",
	       python__describe(py), elf_ms, (unsigned long long)elf_reads,
	       median_ms(cold, COLD_ROUNDS) - elf_ms, (unsigned long long)(cold_reads - elf_reads),
	       median_ms(warm, rounds), (unsigned long long)warm_reads, threads, frames);
	python__free(py);
	free(warm);
	return 0;
}
