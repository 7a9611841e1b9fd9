// SPDX-License-Identifier: MIT OR Apache-2.0
#include "position.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proc/kstack.h"
#include "proc/unwind.h"
#include "py/moment.h"
#include "py/python.h"
#include "source/source.h"
#include "stall/resolve.h"

#define TRIES 3 /* who waits for the GIL wakes every 5 ms */

struct position {
	struct native_stack native;
	struct kernel_stack kernel;
	const char *note; /* "" or why it is not of the moment of the Python frames */
	struct report_native native_frame[UNWIND_MAX_FRAMES];
	struct report_kernel kernel_frame[KSTACK_MAX_FRAMES];
};

/* At the moment at which the tick took its Python stack. */
static bool look_running(struct position *p, const struct position_means *means,
			 const struct py_thread *th)
{
	const struct pywalk_native *n = th->native;
	uint64_t kernel[PYWALK_KERNEL];
	struct unwind_regs regs;
	struct unwind_copy copy;

	if (!n)
		return false;
	regs = (struct unwind_regs){ .ip = n->ip, .sp = n->sp, .fp = n->fp, .knows_fp = true };
	copy = (struct unwind_copy){ .addr = n->sp, .data = n->stack, .len = n->stack_len };
	for (size_t i = 0; i < n->nkernel; i++)
		kernel[i] = n->kernel[i];
	if (n->nkernel && means->ops && means->ops->kernel_stack)
		means->ops->kernel_stack(means->source, th->tid, kernel, n->nkernel, &p->kernel);
	return !native_stack__unwind(means->pid, means->mem, &regs, &copy, &p->native);
}

static void load_kernel(struct position *p, const struct position_means *means,
			const struct py_thread *th)
{
	if (means->ops && means->ops->kernel_stack &&
	    !means->ops->kernel_stack(means->source, th->tid, NULL, 0, &p->kernel))
		return;
	kernel_stack__load(means->pid, th->tid, &p->kernel);
}

/* 0: it stood still meanwhile. */
static bool look_once(struct position *p, const struct position_means *means,
		      const struct py_thread *th)
{
	struct moment before, after;
	struct unwind_regs regs;

	moment__look(means->pid, th->tid, &before);
	if (!before.off)
		return false;
	load_kernel(p, means, th);
	regs = p->kernel.regs;
	if (!regs.ip && before.knows_call)
		regs = (struct unwind_regs){ .ip = before.call.pc, .sp = before.call.sp };
	if (native_stack__unwind(means->pid, means->mem, &regs, NULL, &p->native))
		return false;
	moment__look(means->pid, th->tid, &after);
	if (!moment__stood_still(&before, &after))
		return false;
	if (th->exact && before.switches != th->switches)
		p->note = "a moment after the Python frames";
	return true;
}

static bool look(struct position *p, const struct position_means *means, const struct py_thread *th)
{
	if (th->state == PY_RUNNING)
		return look_running(p, means, th);
	if (!th->tid || (th->state != PY_BLOCKED && th->state != PY_STOPPED))
		return false;
	for (int i = 0; i < TRIES; i++)
		if (look_once(p, means, th))
			return true;
	return false;
}

static void tell(struct position *p, struct report_thread *out)
{
	for (size_t i = 0; i < p->native.cnt; i++) {
		const struct native_frame *f = &p->native.frame[i];

		p->native_frame[i] =
			(struct report_native){ f->library, f->function, f->offset, f->addr };
	}
	for (size_t i = 0; i < p->kernel.cnt; i++) {
		const struct kernel_frame *f = &p->kernel.frame[i];

		p->kernel_frame[i] = (struct report_kernel){ f->function, f->module, f->offset };
	}
	out->native = p->native_frame;
	out->nnative = p->native.cnt;
	out->native_note = *p->note ? p->note : p->native.note;
	out->kernel = p->kernel_frame;
	out->nkernel = p->kernel.cnt;
}

static bool is_wanted(const struct report_thread *t, bool all)
{
	return all || t->responsible || (t->holds_gil && !t->waits_gil);
}

void positions__find(struct positions *p, const struct position_means *means,
		     const struct py_snapshot *snap, struct resolved *resolved, bool all)
{
	size_t wanted = 0;

	for (size_t i = 0; i < resolved->nthreads && wanted < means->most; i++)
		wanted += is_wanted(&resolved->thread[i], all);
	if (!wanted)
		return;
	p->list = calloc(wanted, sizeof(*p->list));
	for (size_t i = 0; p->list && i < resolved->nthreads && p->cnt < wanted; i++) {
		struct position *one = &p->list[p->cnt];

		if (!is_wanted(&resolved->thread[i], all))
			continue;
		if (clock_monotonic_ns() > means->deadline_ns)
			return;
		one->note = "";
		if (look(one, means, &snap->thread[resolved->wait[i].thread]))
			tell(&p->list[p->cnt++], &resolved->thread[i]);
	}
}

void positions__free(struct positions *p)
{
	free(p->list);
	*p = (struct positions){ 0 };
}
