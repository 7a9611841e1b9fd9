// SPDX-License-Identifier: MIT OR Apache-2.0
#include "dump.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "listing.h"
#include "position.h"
#include "proc/task.h"
#include "py/python.h"
#include "py/redact.h"
#include "sink/fold.h"
#include "sink/sink.h"
#include "source/source.h"
#include "stall/resolve.h"
#include "target.h"

#define MODULE "dump"

/* For what threads wait for: other processes are searched for the ends of pipes. */
#define WAITS_NS (200 * NSEC_PER_MSEC)
#define POSITIONS_NS (200 * NSEC_PER_MSEC)
#define LISTING_NS (300 * NSEC_PER_MSEC) /* for source lines */
#define LINES_OF_THREAD 3

/* The kernel's help for threads that run; opened only when there is one. */
struct helper {
	const struct source_ops *ops; /* NULL: none */
	struct source *source;
	bool tried;
	struct redact *redact; /* owned; NULL: no local variables */
};

static void ignore_event(void *ctx, const struct source_event *ev)
{
	(void)ctx;
	(void)ev;
}

static void open_helper(struct helper *h, const struct options *opts)
{
	struct source_opts so = {
		.poll_ns = opts->poll_ns,
		.thresholds = &opts->thresholds,
		.max_procs = 1,
	};
	struct err why = { { 0 } };

	if (h->tried || !strcmp(opts->backend, source_poll.name))
		return;
	h->tried = true;
	if (source_bpf.open(&so, ignore_event, NULL, &h->source, &why)) {
		log_msg(LOG_DEBUG, MODULE, "running threads are read without BPF: %s", why.text);
		return;
	}
	h->ops = &source_bpf;
}

static bool any_running(const struct py_snapshot *snap)
{
	for (size_t i = 0; i < snap->nthreads; i++)
		if (snap->thread[i].state == PY_RUNNING && !snap->thread[i].exact)
			return true;
	return false;
}

/* One walk; a second one with the kernel's help if a running thread needs it. */
static int walk(struct python *py, struct helper *h, const struct options *opts,
		struct py_snapshot **snap, struct err *err)
{
	struct py_walk_opts wo = { .tasks = PY_TASKS_ALL, .greenlets = true, .locals = h->redact };
	struct py_snapshot *better = NULL;
	int ret;

	if (opts->native) /* the kernel tells more of threads that are blocked, too */
		open_helper(h, opts);
	ret = python__walk(py, &wo, snap, err);
	if (ret || !any_running(*snap))
		return ret;
	open_helper(h, opts);
	if (!h->ops)
		return 0;
	wo.capture = h->ops->capture;
	wo.capture_ctx = h->source;
	if (!python__walk(py, &wo, &better, NULL)) {
		py_snapshot__free(*snap);
		*snap = better;
	}
	return 0;
}

/* ---- source lines ---------------------------------------------------------------------------- */

struct excerpt {
	struct listing_line line[LISTING_MAX];
	size_t cnt;
};

static bool has_line(const struct excerpt *x, const struct report_frame *f)
{
	for (size_t i = 0; i < x->cnt; i++)
		if (x->line[i].line == f->line && !strcmp(x->line[i].file, f->file))
			return true;
	return false;
}

/* The program's own frames that are nearest to where the thread is. */
static void want_lines(struct excerpt *x, const struct report_thread *t)
{
	const struct report_frame *frame = t->frame;
	size_t left = LINES_OF_THREAD;

	for (size_t i = 0; i < t->nframes && left && x->cnt < LISTING_MAX; i++) {
		if (frame[i].line <= 0 || *frame[i].file == '<' || file_in_library(frame[i].file))
			continue;
		left--;
		if (has_line(x, &frame[i]))
			continue;
		x->line[x->cnt++] =
			(struct listing_line){ .file = frame[i].file, .line = frame[i].line };
	}
}

/* Every frame in one of the lines that were read gets it. */
static void give_lines(const struct excerpt *x, struct report_frame *frame, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < x->cnt && !frame[i].source; k++)
			if (x->line[k].text && frame[i].line == x->line[k].line &&
			    !strcmp(frame[i].file, x->line[k].file))
				frame[i].source = x->line[k].text;
}

static void excerpt__read(struct excerpt *x, const struct target *t, const struct resolved *r)
{
	for (size_t i = 0; i < r->nthreads; i++)
		want_lines(x, &r->thread[i]);
	listing__read(t->pid, t->pidfd, x->line, x->cnt, LISTING_NS);
	for (size_t i = 0; i < r->nthreads; i++)
		give_lines(x, r->frame + (r->thread[i].frame - r->frame), r->thread[i].nframes);
}

/* ---- one process ----------------------------------------------------------------------------- */

static bool is_listed(const struct py_snapshot *snap, pid_t tid)
{
	for (size_t i = 0; i < snap->nthreads; i++)
		if (snap->thread[i].tid == tid)
			return true;
	return false;
}

/* Threads that Python does not know: of a library, or before they run their first line. */
static size_t count_others(pid_t pid, const struct py_snapshot *snap)
{
	struct task_list list;
	size_t n = 0;

	if (task_list__load(pid, &list))
		return 0;
	for (size_t i = 0; i < list.cnt; i++)
		n += !is_listed(snap, list.tid[i]);
	task_list__free(&list);
	return n;
}

/* Where threads are below their Python frames. */
static void find_positions(const struct target *t, const struct helper *h,
			   const struct py_snapshot *snap, struct resolved *resolved,
			   struct positions *out)
{
	const struct position_means means = {
		.pid = t->pid,
		.mem = t->mem,
		.ops = h->ops,
		.source = h->source,
		.deadline_ns = clock_monotonic_ns() + POSITIONS_NS,
		.most = POSITIONS_MAX,
	};

	positions__find(out, &means, snap, resolved, true);
}

static bool has_gil(const struct py_snapshot *snap)
{
	for (size_t i = 0; i < snap->nthreads; i++)
		if (snap->thread[i].gil)
			return true;
	return false;
}

static int dump_one(pid_t pid, const struct options *opts, struct helper *h, struct sink *sink,
		    struct err *err)
{
	struct report_dump out = { .pid = pid };
	struct py_snapshot *snap = NULL;
	struct resolved resolved = { 0 };
	struct positions positions = { 0 };
	struct waits waits = { .pid = pid };
	struct excerpt excerpt = { .cnt = 0 };
	struct python *py = NULL;
	struct target *t = NULL;
	int ret;

	ret = target__open(pid, 0, &t, err);
	if (!ret)
		ret = python__open(pid, &py, err);
	if (!ret)
		ret = walk(py, h, opts, &snap, err);
	if (!ret)
		ret = resolved__init(&resolved, snap, NULL);
	if (ret)
		goto out;
	out.wall_ns = clock_wall_ns();
	out.python = python__describe(py);
	out.note = snap->note;
	out.cmdline = (const char *const *)t->cmdline;
	out.ncmdline = t->ncmdline;
	out.thread_list = resolved.thread;
	out.nthreads = resolved.nthreads;
	out.others = count_others(pid, snap);
	out.has_gil = has_gil(snap);
	out.tasks = resolved.tasks;
	out.greenlet_list = resolved.greenlet;
	out.ngreenlets = resolved.ngreenlets;
	out.greenlets_found = snap->greenlets_found;
	out.greenlets_note = snap->greenlets_note;
	waits.deadline_ns = clock_monotonic_ns() + WAITS_NS;
	waits.mem = t->mem;
	resolved__look(&resolved, snap, &waits, true);
	excerpt__read(&excerpt, t, &resolved);
	if (opts->native)
		find_positions(t, h, snap, &resolved, &positions);
	ret = sink__dump(sink, &out, err);
out:
	listing__free(excerpt.line, excerpt.cnt);
	resolved__free(&resolved);
	positions__free(&positions);
	py_snapshot__free(snap);
	python__free(py);
	target__free(t);
	return ret;
}

int dump__run(const struct options *opts)
{
	struct helper helper = { 0 };
	struct err err = { { 0 } };
	struct sink *sink = NULL;
	int status = 0, ret;

	ret = sink__open(opts->json ? &sink_json : &sink_text, STDOUT_FILENO, opts->output,
			 opts->locals, &sink, &err);
	if (!ret && opts->locals)
		ret = redact__new(opts->redact, opts->nredact, opts->show_secrets, &helper.redact,
				  &err);
	if (ret) {
		log_msg(LOG_ERROR, MODULE, "%s", err_text(&err, ret));
		sink__free(sink);
		return 1;
	}
	if (opts->full)
		sink__show_all(sink);
	for (size_t i = 0; i < opts->npids; i++) {
		memset(&err, 0, sizeof(err));
		ret = dump_one(opts->pids[i], opts, &helper, sink, &err);
		if (ret) {
			log_msg(LOG_ERROR, MODULE, "%s", err_text(&err, ret));
			status = 1;
		}
	}
	if (helper.ops)
		helper.ops->free(helper.source);
	redact__free(helper.redact);
	sink__free(sink);
	return status;
}
