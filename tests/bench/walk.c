// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * walk PID ROUNDS: opens the Python of a process and walks its stacks. One line: "VERSION opened MS
 * READS first MS READS warm MS READS threads N frames N", times as medians, READS calls that read
 * memory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "proc/mem.h"
#include "py/python.h"

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

int main(int argc, char **argv)
{
	size_t rounds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, threads, frames;
	uint64_t start = clock_monotonic_ns(), opened, first, before, opened_reads, first_reads;
	uint64_t *took = calloc(rounds + 1, sizeof(*took));
	struct err err = { { 0 } };
	struct python *py;

	if (!rounds || !took || python__open((pid_t)atoi(argv[1]), &py, &err)) {
		fprintf(stderr, "walk: %s\n", rounds ? err.text : "walk PID ROUNDS");
		return 1;
	}
	opened = clock_monotonic_ns() - start;
	opened_reads = reads(py);
	first = walk(py, &threads, &frames);
	first_reads = reads(py) - opened_reads;
	for (size_t i = 0; i < rounds; i++) {
		before = reads(py);
		took[i] = walk(py, &threads, &frames);
	}
	before = reads(py) - before;
	qsort(took, rounds, sizeof(*took), by_value);
	printf("%s\topened %.3f %llu first %.3f %llu warm %.3f %llu threads %zu frames %zu\n",
	       python__describe(py), (double)opened / 1e6, (unsigned long long)opened_reads,
	       (double)first / 1e6, (unsigned long long)first_reads, (double)took[rounds / 2] / 1e6,
	       (unsigned long long)before, threads, frames);
	python__free(py);
	free(took);
	return 0;
}
