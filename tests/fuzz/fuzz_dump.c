// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Whole dumps of recorded processes (tests/data/recordings) whose memory lies. The first byte of
 * the input chooses the recording; what follows are lies of 12 bytes each: what, how many reads
 * after the one before it is told, where, and a value. So memory changes while it is read, too.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "proc/recording.h"
#include "py/python.h"
#include "py/redact.h"

#define RECORDINGS "tests/data/recordings/*.rec"
#define MAX_RECORDINGS 32
#define MAX_LIES 64
#define TIMEOUT_NS (20 * NSEC_PER_MSEC)
#define MAX_CPU_NS (2 * NSEC_PER_SEC) /* sanitizers included; time without a CPU is not ours */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum what {
	WORD, /* a value in place of a word */
	BYTE,
	SWAP, /* another word of the process: pointers that lead elsewhere, rings */
	POINTER, /* to somewhere in the process */
	GONE, /* a piece is not mapped any more */
	WHATS,
};

struct lie {
	uint8_t what, reads;
	uint16_t pad;
	uint32_t where;
	uint32_t value;
};

/* What stood where a lie stands. */
struct truth {
	size_t at; /* in the data */
	uint64_t word;
	struct recording_piece *piece; /* that is gone, or NULL */
	size_t len;
};

struct liar {
	struct recording *r;
	struct mem *mem; /* of R as it is now */
	struct lie lie[MAX_LIES];
	size_t cnt, told;
	size_t reads; /* since the last lie */
	struct truth truth[MAX_LIES]; /* of each lie that was told */
};

static struct recording recording[MAX_RECORDINGS];
static size_t recordings;
static struct redact *redact;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err err = { { 0 } };
	glob_t files;

	(void)argc;
	(void)argv;
	if (glob(RECORDINGS, 0, NULL, &files) || redact__new(NULL, 0, false, &redact, &err)) {
		fprintf(stderr, "no " RECORDINGS " here\n");
		exit(1);
	}
	for (size_t i = 0; i < files.gl_pathc && recordings < MAX_RECORDINGS; i++)
		if (!recording__load(files.gl_pathv[i], &recording[recordings], &err))
			recordings++;
	globfree(&files);
	return 0;
}

static uint64_t small_or_large(uint32_t value)
{
	/* the upper bits of an address and of a size are where checks fail */
	return (uint64_t)(value & 0xffffff) << (value >> 24 & 0x3f);
}

static struct truth tell(struct recording *r, const struct lie *lie)
{
	const struct recording_piece *p = &r->piece[lie->value % r->cnt];
	struct truth truth = { .at = lie->where % (r->len / 8) * 8 };
	uint64_t word;

	memcpy(&truth.word, r->data + truth.at, sizeof(truth.word));
	word = truth.word;
	switch (lie->what % WHATS) {
	case WORD:
		word = small_or_large(lie->value);
		break;
	case BYTE:
		memcpy((uint8_t *)&word + lie->pad % 8, &lie->value, 1);
		break;
	case SWAP:
		memcpy(&word, r->data + lie->value % (r->len / 8) * 8, sizeof(word));
		break;
	case POINTER:
		word = p->addr + (lie->value >> 16) % RECORDING_LINE;
		break;
	case GONE:
		truth.piece = &r->piece[lie->where % r->cnt];
		truth.len = truth.piece->len;
		truth.piece->len = 0;
		break;
	}
	memcpy(r->data + truth.at, &word, sizeof(word));
	return truth;
}

static void take_back(struct liar *l)
{
	const struct truth *t;

	while (l->told) {
		t = &l->truth[--l->told];
		memcpy(l->r->data + t->at, &t->word, sizeof(t->word));
		if (t->piece)
			t->piece->len = t->len;
	}
}

static ssize_t liar_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	struct liar *l = ctx;
	int err;

	for (; l->told < l->cnt && l->reads >= l->lie[l->told].reads; l->told++, l->reads = 0)
		l->truth[l->told] = tell(l->r, &l->lie[l->told]);
	l->reads++;
	for (size_t i = 0; i < cnt; i++) {
		err = mem__read(l->mem, range[i].addr, range[i].buf, range[i].len);
		if (err)
			return (ssize_t)i;
	}
	return (ssize_t)cnt;
}

static void check_frames(const struct py_frame *frame, size_t cnt)
{
	if (cnt > PY_MAX_FRAMES)
		abort();
	for (size_t i = 0; i < cnt; i++) {
		/* sanitising makes at most four bytes of one, UTF-8 four of a character */
		if (strlen(frame[i].file) > 4 * PY_MAX_PATH + 8 ||
		    strlen(frame[i].name) > 4 * PY_MAX_STRING + 8)
			abort();
		for (size_t k = 0; k < frame[i].nlocals; k++)
			if (!frame[i].local[k].name)
				abort();
	}
}

static void check(const struct py_snapshot *snap)
{
	if (snap->nthreads > PY_MAX_THREADS || snap->ntasks > PY_MAX_TASKS)
		abort();
	for (size_t i = 0; i < snap->nthreads; i++)
		check_frames(snap->thread[i].frame, snap->thread[i].nframes);
	for (size_t i = 0; i < snap->ntasks; i++) {
		check_frames(snap->task[i].frame, snap->task[i].nframes);
		if (snap->task[i].parent != PY_NO_INDEX && snap->task[i].parent >= i)
			abort();
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static const struct mem_ops liar_ops = { .readv = liar_readv };

static void dump(struct recording *r, struct liar *liar)
{
	struct py_walk_opts opts = { .timeout_ns = TIMEOUT_NS,
				     .tasks = PY_TASKS_ALL,
				     .tasks_ns = TIMEOUT_NS,
				     .locals = redact };
	uint64_t start = cpu_ns();
	struct py_snapshot *snap;
	struct python *py;
	struct mem *m;

	if (recording__mem(r, &liar->mem) || mem__from_ops(&liar_ops, liar, &m))
		abort();
	if (!python__open_recording(r, m, &py, NULL)) {
		/* the second one with what the first remembers */
		for (int i = 0; i < 2; i++) {
			if (python__walk(py, &opts, &snap, NULL))
				continue;
			check(snap);
			py_snapshot__free(snap);
			opts.tasks = PY_TASKS_BRIEF; /* as for the report of a stall */
		}
		python__free(py);
	}
	mem__free(liar->mem);
	if (cpu_ns() - start > MAX_CPU_NS)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct liar liar = { 0 };

	if (!len)
		return 0;
	liar.r = &recording[data[0] % recordings];
	liar.cnt = (len - 1) / sizeof(liar.lie[0]);
	liar.cnt = liar.cnt < MAX_LIES ? liar.cnt : MAX_LIES;
	memcpy(liar.lie, data + 1, liar.cnt * sizeof(liar.lie[0]));
	dump(liar.r, &liar);
	take_back(&liar);
	return 0;
}
