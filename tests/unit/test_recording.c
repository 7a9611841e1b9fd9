// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What was recorded of processes is read again: from tests/data/recordings/NAME.rec must come what
 * Python itself said of that process (NAME.txt, by tests/targets/recorded.py). And for the script
 * scripts/record
 *
 *	test_recording record PID FILE	one dump of a process: what it read goes to FILE
 *	test_recording print FILE	the same dump, of that file
 */
#include "proc/recording.h"

#include <errno.h>
#include <glob.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "py/python.h"
#include "py/redact.h"
#include "tap.h"

#define RECORDINGS "tests/data/recordings/"
#define MAX_TRUTH (1 << 20)
#define VERSIONS 7

static int walk(struct python *py, struct redact *redact, struct py_snapshot **snap,
		struct err *err)
{
	struct py_walk_opts opts = { .tasks = PY_TASKS_ALL, .locals = redact };

	return python__walk(py, &opts, snap, err);
}

/* The lines that tests/targets/recorded.py writes. */
static void tell_frame(struct strbuf *out, const struct py_thread *t, size_t k)
{
	const struct py_frame *f = &t->frame[k];

	strbuf_addf(out, "frame\t%s\t%zu\t%s\t%s\t%d\n", t->name, k, f->name, f->file, f->line);
	if (!strstr(f->name, "price"))
		return;
	for (size_t i = 0; i < f->nlocals; i++)
		if (strcmp(f->local[i].name, "self") && strcmp(f->local[i].name, "password"))
			strbuf_addf(out, "local\t%s\t%zu\t%s\t%s\n", t->name, k, f->local[i].name,
				    f->local[i].value ? f->local[i].value : "");
}

static char *tell(const struct py_snapshot *snap)
{
	struct strbuf out = STRBUF_INIT;

	for (size_t i = 0; i < snap->nthreads; i++)
		for (size_t k = 0; k < snap->thread[i].nframes; k++)
			if (strcmp(snap->thread[i].name, "MainThread"))
				tell_frame(&out, &snap->thread[i], k);
	for (size_t i = 0; i < snap->ntasks; i++)
		if (snap->task[i].nframes)
			strbuf_addf(&out, "task\t%s\t%s\n", snap->task[i].name,
				    snap->task[i].frame[snap->task[i].nframes - 1].name);
	return strbuf_detach(&out);
}

/* Twice: a second dump reads with what the first remembers. */
static int record(const char *pid, const char *file)
{
	struct err err = { { 0 } };
	struct py_snapshot *snap;
	struct redact *redact = NULL;
	struct recorder *rec = NULL;
	struct python *py = NULL;
	int ret;

	ret = redact__new(NULL, 0, false, &redact, &err);
	if (!ret)
		ret = python__record(atoi(pid), &py, &rec, &err);
	for (int i = 0; !ret && i < 2; i++) {
		ret = walk(py, redact, &snap, &err);
		if (!ret)
			py_snapshot__free(snap);
	}
	if (!ret)
		ret = recorder__save(rec, atoi(pid), file, &err);
	if (ret)
		fprintf(stderr, "test_recording: %s\n", err.text);
	python__free(py);
	recorder__free(rec);
	redact__free(redact);
	return ret ? 1 : 0;
}

static int print(const char *file)
{
	struct err err = { { 0 } };
	struct recording r;
	struct py_snapshot *snap;
	struct redact *redact = NULL;
	struct python *py;
	struct mem *m;
	char *text;
	int ret;

	ret = redact__new(NULL, 0, false, &redact, &err);
	if (!ret)
		ret = recording__load(file, &r, &err);
	if (!ret)
		ret = recording__mem(&r, &m);
	if (!ret)
		ret = python__open_recording(&r, m, &py, &err);
	if (!ret)
		ret = walk(py, redact, &snap, &err);
	if (ret) {
		fprintf(stderr, "test_recording: %s\n", err.text);
		return 1;
	}
	text = tell(snap);
	fprintf(stderr, "%s, %zu pieces, %zu bytes, %s %s\n", python__describe(py), r.cnt, r.len,
		snap->note, snap->tasks_note);
	fputs(text, stdout);
	free(text);
	py_snapshot__free(snap);
	python__free(py);
	recording__free(&r);
	redact__free(redact);
	return 0;
}

/* ---- recordings of the tree ------------------------------------------------------------------ */

static char *slurp(const char *path)
{
	char *text = calloc(1, MAX_TRUTH + 1);
	FILE *file = fopen(path, "r");

	if (text && file && !fread(text, 1, MAX_TRUTH, file))
		*text = '\0';
	if (file)
		fclose(file);
	return text;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of TEXT, which is cut up, in order. */
static char **lines_of(char *text, size_t *cnt)
{
	char **line = calloc(strlen(text) / 2 + 2, sizeof(*line)), *save;

	*cnt = 0;
	for (char *s = strtok_r(text, "\n", &save); line && s; s = strtok_r(NULL, "\n", &save))
		line[(*cnt)++] = s;
	if (line)
		qsort(line, *cnt, sizeof(*line), by_text);
	return line;
}

/* How many lines only one of both has. */
static size_t differences(char *got, char *want)
{
	size_t n, m, i = 0, k = 0, found = 0;
	char **a = lines_of(got, &n), **b = lines_of(want, &m);

	while (a && b && (i < n || k < m)) {
		int order = i == n ? 1 : k == m ? -1 : strcmp(a[i], b[k]);

		if (order && found++ < 10)
			diag("%s %s",
			     order < 0 ? "is there:  " : "is missing:", order < 0 ? a[i] : b[k]);
		i += order <= 0;
		k += order >= 0;
	}
	found += !m;
	free(a);
	free(b);
	return found;
}

static void replay_one(const char *path, struct redact *redact)
{
	struct err err = { { 0 } };
	struct py_snapshot *snap = NULL;
	struct recording r = { 0 };
	struct python *py = NULL;
	struct mem *m;
	char truth[512], *want, *got;
	const char *name = strrchr(path, '/') + 1;
	size_t inexact = 0;
	uint64_t start;
	int ret;

	/* NAME.txt beside NAME.rec */
	snprintf(truth, sizeof(truth), "%.*s.txt", (int)(strlen(path) - 4), path);
	want = slurp(truth);
	ret = recording__load(path, &r, &err);
	start = clock_monotonic_ns();
	if (!ret)
		ret = recording__mem(&r, &m);
	if (!ret)
		ret = python__open_recording(&r, m, &py, &err);
	if (!ret)
		ret = walk(py, redact, &snap, &err);
	start = clock_monotonic_ns() - start;
	is_int(ret, 0, "%s: opened and walked%s%s", name, ret ? ": " : "", ret ? err.text : "");
	for (size_t i = 0; snap && i < snap->nthreads; i++)
		inexact += !snap->thread[i].exact;
	ok(snap && !inexact, "%s: every stack is exact", name);
	got = snap ? tell(snap) : NULL;
	ok(got && want && !differences(got, want), "%s: %s, as Python said (%.1f ms)", name,
	   py ? python__describe(py) : "nothing", (double)start / NSEC_PER_MSEC);
	free(got);
	free(want);
	py_snapshot__free(snap);
	python__free(py);
	recording__free(&r);
}

static void replay_all(const glob_t *files)
{
	struct redact *redact = NULL;

	if (redact__new(NULL, 0, false, &redact, NULL))
		exit(1);
	for (size_t i = 0; i < files->gl_pathc; i++)
		replay_one(files->gl_pathv[i], redact);
	redact__free(redact);
}

/* The word WORD of _Py_DebugOffsets becomes VALUE. */
static bool change_offset(struct recording *r, size_t word, uint64_t value)
{
	for (size_t i = 0; i < r->cnt; i++) {
		uint8_t *at = memmem(r->piece[i].data, r->piece[i].len, "xdebugpy", 8);

		if (!at || (size_t)(r->piece[i].data + r->piece[i].len - at) < 8 * word + 8)
			continue;
		memcpy(at + 8 * word, &value, sizeof(value));
		return true;
	}
	return false;
}

/* A process that tells lies about itself: its stacks are not believed. */
static void lies(void)
{
	struct err err = { { 0 } };
	struct py_snapshot *snap = NULL;
	struct recording r = { 0 };
	struct python *py = NULL;
	size_t exact = 0, doubts = 0;
	struct mem *m;
	glob_t files;
	int ret;

	if (glob(RECORDINGS "3.13.*[0-9].rec", 0, NULL, &files) ||
	    recording__load(files.gl_pathv[0], &r, &err))
		exit(1);
	/* thread_state.current_frame becomes c_profileobj, which is NULL: as if there were no
	 * frames */
	ok(change_offset(&r, 23, 96), "an offset of %s is made wrong",
	   strrchr(files.gl_pathv[0], '/') + 1);
	ret = recording__mem(&r, &m);
	if (!ret)
		ret = python__open_recording(&r, m, &py, &err);
	if (!ret)
		ret = walk(py, NULL, &snap, &err);
	is_int(ret, 0, "it is read%s", err.text);
	for (size_t i = 0; snap && i < snap->nthreads; i++) {
		exact += snap->thread[i].exact;
		doubts += strstr(snap->thread[i].note, "no whole stack") != NULL;
	}
	ok(snap && snap->nthreads && !exact && doubts == snap->nthreads,
	   "no stack is called exact: %zu of %zu threads, %s", exact, snap ? snap->nthreads : 0,
	   snap && snap->nthreads ? snap->thread[0].note : "none");
	py_snapshot__free(snap);
	python__free(py);
	recording__free(&r);
	globfree(&files);
}

/* ---- what a recording is --------------------------------------------------------------------- */

static char file_name[] = "/tmp/test_recording.XXXXXX";

/* This program's own memory stands for a target's. */
static void keeps(void)
{
	static uint8_t bytes[3 * RECORDING_LINE] = { [70] = 1, 2, 3, 4 };
	uint64_t addr = (uintptr_t)bytes;
	struct recording r = { 0 };
	struct recorder *rec;
	struct mem *m, *own;
	uint32_t word;

	if (mem__open(getpid(), &own, NULL) || recorder__new(own, &m, &rec))
		exit(1);
	is_int(mem__read_u32(m, addr + 70, &word), 0, "a read");
	is_int(mem__read_u32(m, 8, &word), -EFAULT, "a read of what is not there");
	is_int(mem__check(m), 0, "the process lives");
	mem__free(m);
	is_int(recorder__save(rec, getpid(), file_name, NULL), 0, "saved");
	recorder__free(rec);
	is_int(recording__load(file_name, &r, NULL), 0, "loaded");
	ok(strstr(r.exe, "test_recording") && strstr(r.maps, "test_recording"),
	   "it knows the executable and its mappings");
	if (recording__mem(&r, &m))
		exit(1);
	is_int(mem__read_u32(m, addr + 70, &word) ?: (int)word, 0x04030201, "what was read");
	is_int(mem__read_u32(m, addr + 72, &word), 0, "and what is beside it");
	is_int(mem__read_u32(m, 8, &word), -EFAULT, "what was not there is not");
	is_int(mem__read_u32(m, addr + (1 << 20), &word), -EFAULT, "nor what was not read");
	mem__free(m);
	recording__free(&r);
}

static void refuses(const char *text, const char *name)
{
	struct err err = { { 0 } };
	struct recording r;
	FILE *file = fopen(file_name, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		exit(1);
	is_int(recording__load(file_name, &r, &err), -EINVAL, "%s", name);
}

static void damaged(void)
{
	struct recording r;

	refuses("", "an empty file");
	refuses("perpetuo-recording 2\nexe x\nmaps 0\npieces 0\n", "one of another version");
	refuses("perpetuo-recording 1\nexe x\nmaps 99999999999999999999\npieces 0\n",
		"mappings without end");
	refuses("perpetuo-recording 1\nexe x\nmaps 0\npieces 1\n", "a piece that is missing");
	refuses("perpetuo-recording 1\nexe x\nmaps 0\npieces 1\naaaaaaaabbbbbbbb", "a huge piece");
	unlink(file_name);
	is_int(recording__load(file_name, &r, NULL), -ENOENT, "a file that is not there");
	recorder__free(NULL);
}

static void each_version(void)
{
	static const char *const version[] = {
		"3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"
	};
	char pattern[64];
	glob_t files;

	for (size_t i = 0; i < VERSIONS; i++) {
		snprintf(pattern, sizeof(pattern), RECORDINGS "%s.*.rec", version[i]);
		ok(!glob(pattern, 0, NULL, &files), "there is a recording of %s", version[i]);
		globfree(&files);
	}
}

int main(int argc, char **argv)
{
	glob_t files;

	if (argc == 4 && !strcmp(argv[1], "record"))
		return record(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "print"))
		return print(argv[2]);
	if (mkstemp(file_name) < 0)
		return 1;
	if (glob(RECORDINGS "*.rec", 0, NULL, &files))
		memset(&files, 0, sizeof(files));
	plan(10 + 6 + 3 + VERSIONS + 3 * (int)files.gl_pathc);
	keeps();
	damaged();
	each_version();
	replay_all(&files);
	lies();
	globfree(&files);
	return done();
}
