// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "py/python.h"

static const char *const state_name[] = {
	[PY_UNKNOWN] = "unknown", [PY_RUNNING] = "running", [PY_BLOCKED] = "blocked",
	[PY_STOPPED] = "stopped", [PY_GONE] = "gone",
};

static const char *const task_state_name[] = {
	[PY_TASK_CREATED] = "created",
	[PY_TASK_READY] = "ready",
	[PY_TASK_WAITING] = "waiting",
	[PY_TASK_RUNNING] = "running",
};

static bool is_culprit(const struct py_thread *t, const struct culprit *who)
{
	if (!who)
		return false;
	if (who->gil_holder)
		return t->holds_gil;
	if (who->tstate)
		return t->tstate == who->tstate;
	if (who->ident)
		return t->ident == who->ident;
	return who->ns_tid && t->ns_tid == who->ns_tid;
}

/* What the thread of the report at INDEX does, as far as it is known by now. */
static void fill_words(struct resolved *r, size_t index, const struct py_thread *t)
{
	struct resolved_wait *rw = &r->wait[index];
	struct report_thread *out = &r->thread[index];
	struct strbuf words = STRBUF_INIT;

	if (t->waits_gil) {
		strbuf_adds(&words, "waiting for the GIL");
	} else if (t->state == PY_BLOCKED && t->knows_call) {
		strbuf_adds(&words,
			    t->uninterruptible ? "in uninterruptible sleep in " : "blocked in ");
		if (rw->wait.call[0])
			wait__add(&rw->wait, &words);
		else
			strbuf_adds(&words, "a page fault");
	}
	if (strbuf_str(&words))
		text_copy(rw->words, sizeof(rw->words), strbuf_str(&words));
	strbuf_free(&words);
	out->doing = rw->words;
	out->call = rw->wait.call;
	out->fd = rw->wait.fd;
	out->about = rw->wait.about;
	out->futex = rw->wait.futex;
	out->uninterruptible = t->uninterruptible;
	out->waits_gil = t->waits_gil;
}

static void fill_wait(struct resolved *r, size_t index, const struct py_snapshot *snap,
		      size_t thread)
{
	const struct py_thread *t = &snap->thread[thread];
	const struct task_syscall none = { .nr = -1 };

	r->wait[index].thread = thread;
	wait__init(&r->wait[index].wait,
		   t->state == PY_BLOCKED && t->knows_call ? &t->call : &none);
	fill_words(r, index, t);
}

void resolved__look(struct resolved *r, const struct py_snapshot *snap, const struct waits *w,
		    bool all)
{
	for (size_t i = 0; i < r->nthreads; i++) {
		const struct py_thread *t = &snap->thread[r->wait[i].thread];

		if (!all && !r->thread[i].responsible)
			continue;
		wait__look(&r->wait[i].wait, &t->call, w);
		fill_words(r, i, t);
	}
}

/* Takes as many of LOCAL as F has; returns what follows them. */
static struct report_local *fill_frame(struct report_frame *out, struct report_local *local,
				       const struct py_frame *f)
{
	*out = (struct report_frame){
		.name = f->name,
		.file = f->file,
		.line = f->line,
		.end_line = f->place.end_line > 0 ? f->place.end_line : 0,
		.column = f->place.end_line > 0 ? f->place.column + 1 : 0,
		.end_column = f->place.end_line > 0 ? f->place.end_column + 1 : 0,
		.local = f->local ? local : NULL,
		.nlocals = f->nlocals,
		.locals_cut = f->locals_cut,
	};
	for (size_t i = 0; i < f->nlocals; i++)
		*local++ = (struct report_local){ f->local[i].name, f->local[i].value };
	return local;
}

static void fill(struct report_thread *out, struct report_frame *frame, const struct py_thread *t,
		 bool responsible)
{
	*out = (struct report_thread){
		.name = t->name,
		.state = state_name[t->state],
		.ident = t->ident,
		.tid = t->tid,
		.responsible = responsible,
		.holds_gil = t->holds_gil,
		.collects = t->collects,
		.exact = t->exact,
		.note = t->note,
		.frame = frame,
		.nframes = t->nframes,
		.cut = t->cut,
		.outer = t->outer,
		.task = t->task,
	};
}

/* FRAME: where its frames go. */
static void fill_task(struct report_task *out, struct report_frame *frame,
		      const struct py_snapshot *snap, const struct py_task *t)
{
	const struct py_thread *th = t->thread < snap->nthreads ? &snap->thread[t->thread] : NULL;

	for (size_t i = 0; i < t->nframes; i++)
		frame[i] = (struct report_frame){
			.name = t->frame[i].name,
			.file = t->frame[i].file,
			.line = t->frame[i].line,
		};
	*out = (struct report_task){
		.library = t->library,
		.name = t->name,
		.state = task_state_name[t->state],
		.count = t->count,
		.current = t->current,
		.exact = t->exact,
		.parent = t->parent == PY_NO_INDEX ? REPORT_NO_INDEX : t->parent,
		.thread = th ? th->name : "",
		.tid = th ? th->tid : 0,
		.waits_for = t->waits_for,
		.note = t->note,
		.frame = frame,
		.nframes = t->nframes,
	};
}

/* Likewise. */
static void fill_greenlet(struct report_greenlet *out, struct report_frame *frame,
			  const struct py_snapshot *snap, const struct py_greenlet *g)
{
	const struct py_thread *th = g->thread < snap->nthreads ? &snap->thread[g->thread] : NULL;

	for (size_t i = 0; i < g->nframes; i++)
		fill_frame(&frame[i], NULL, &g->frame[i]);
	*out = (struct report_greenlet){
		.type = g->type,
		.count = g->count,
		.thread = th ? th->name : "",
		.tid = th ? th->tid : 0,
		.exact = g->exact,
		.note = g->note,
		.frame = frame,
		.nframes = g->nframes,
		.cut = g->cut,
	};
}

static size_t count_frames(const struct py_snapshot *snap)
{
	size_t n = 0;

	for (size_t i = 0; i < snap->nthreads; i++)
		n += snap->thread[i].nframes;
	for (size_t i = 0; i < snap->ntasks; i++)
		n += snap->task[i].nframes;
	for (size_t i = 0; i < snap->ngreenlets; i++)
		n += snap->greenlet[i].nframes;
	return n;
}

int resolved__init(struct resolved *r, const struct py_snapshot *snap, const struct culprit *who)
{
	size_t nframes, nlocals = 0, at = 0, n = 0;
	struct report_local *local;

	memset(r, 0, sizeof(*r));
	if (!snap || !snap->nthreads)
		return 0;
	nframes = count_frames(snap);
	for (size_t i = 0; i < snap->nthreads; i++)
		for (size_t k = 0; k < snap->thread[i].nframes; k++)
			nlocals += snap->thread[i].frame[k].nlocals;
	r->thread = calloc(snap->nthreads, sizeof(*r->thread));
	r->wait = calloc(snap->nthreads, sizeof(*r->wait));
	r->task = calloc(snap->ntasks ? snap->ntasks : 1, sizeof(*r->task));
	r->greenlet = calloc(snap->ngreenlets ? snap->ngreenlets : 1, sizeof(*r->greenlet));
	r->frame = calloc(nframes ? nframes : 1, sizeof(*r->frame));
	r->local = calloc(nlocals ? nlocals : 1, sizeof(*r->local));
	if (!r->thread || !r->wait || !r->task || !r->greenlet || !r->frame || !r->local) {
		resolved__free(r);
		return -ENOMEM;
	}
	local = r->local;
	r->exact = true;
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < snap->nthreads; i++) {
			const struct py_thread *t = &snap->thread[i];
			bool responsible = is_culprit(t, who);

			if (responsible != (turn == 0))
				continue;
			fill(&r->thread[n], r->frame + at, t, responsible);
			fill_wait(r, n, snap, i);
			n++;
			for (size_t k = 0; k < t->nframes; k++)
				local = fill_frame(&r->frame[at++], local, &t->frame[k]);
			r->nresponsible += responsible;
			r->exact &= !responsible || t->exact;
		}
	}
	for (size_t i = 0; i < snap->ntasks; i++) {
		fill_task(&r->task[i], r->frame + at, snap, &snap->task[i]);
		at += snap->task[i].nframes;
	}
	for (size_t i = 0; i < snap->ngreenlets; i++) {
		fill_greenlet(&r->greenlet[i], r->frame + at, snap, &snap->greenlet[i]);
		at += snap->greenlet[i].nframes;
	}
	r->tasks =
		(struct report_tasks){ r->task, snap->ntasks, snap->tasks_found, snap->tasks_note };
	r->ngreenlets = snap->ngreenlets;
	r->nthreads = n;
	r->exact &= r->nresponsible > 0;
	return 0;
}

void resolved__free(struct resolved *r)
{
	free(r->greenlet);
	free(r->task);
	free(r->thread);
	free(r->wait);
	free(r->frame);
	free(r->local);
	memset(r, 0, sizeof(*r));
}
