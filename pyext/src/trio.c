// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * trio.c - an instrument for one trio.run(): active while a task takes a step.
 *
 * Trio needs no particular base class of an instrument: it takes those of its hooks that the
 * object has, and each call of a hook costs it more than what we do there. So a step has one:
 * before_task_step() ends the section of the step before and begins a new one. What Trio itself
 * does between two steps counts to the first. before_io_wait(), once for all the tasks that were
 * ready together, makes the loop idle.
 */
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "registry.h"
#include "slot.h"

struct trio_instrument {
	PyObject_HEAD struct slot *slot; /* NULL before the first step and after the run */
};

/* "Trio run loop (thread 0x7f12_3456_789a)", as Python's format "#_x" has it. */
static size_t format_name(char *buf, size_t len, uint64_t ident)
{
	char digits[17], grouped[24];
	size_t i, n = 0, cnt;

	cnt = (size_t)snprintf(digits, sizeof(digits), "%llx", (unsigned long long)ident);
	for (i = 0; i < cnt; i++) {
		if (i > 0 && (cnt - i) % 4 == 0)
			grouped[n++] = '_';
		grouped[n++] = digits[i];
	}
	grouped[n] = '\0';
	return (size_t)snprintf(buf, len, "Trio run loop (thread 0x%s)", grouped);
}

/* The first hook of a run: its thread is known now. A new slot is active. */
static int begin_run(struct trio_instrument *t)
{
	uint64_t ident = tracker_own_ident();
	char name[64];
	size_t len = format_name(name, sizeof(name), ident);
	struct slot *s = tracker_acquire(name, len, ident);

	if (!s)
		return -1;
	registry__release(__atomic_exchange_n(&t->slot, s, __ATOMIC_ACQ_REL));
	return 0;
}

static PyObject *trio_before_task_step(PyObject *self, PyObject *Py_UNUSED(task))
{
	struct trio_instrument *t = (struct trio_instrument *)self;

	if (slot__go_on(&t->slot) == -EBADF && begin_run(t) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *trio_before_io_wait(PyObject *self, PyObject *Py_UNUSED(timeout))
{
	struct trio_instrument *t = (struct trio_instrument *)self;

	/* Without a slot: the wait after the step in which the instrument was added. */
	if (slot__go_idle(&t->slot) == -EBADF) {
		if (begin_run(t) < 0)
			return NULL;
		slot__go_idle(&t->slot);
	}
	Py_RETURN_NONE;
}

static void trio_release(struct trio_instrument *t)
{
	registry__release(__atomic_exchange_n(&t->slot, NULL, __ATOMIC_ACQ_REL));
}

static PyObject *trio_after_run(PyObject *self, PyObject *Py_UNUSED(unused))
{
	trio_release((struct trio_instrument *)self);
	Py_RETURN_NONE;
}

static void trio_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	trio_release((struct trio_instrument *)self);
	release(self);
	Py_DECREF(type);
}

PyDoc_STRVAR(trio_doc,
	     "TrioInstrument()\n--\n\n"
	     "Instrument for trio.lowlevel.add_instrument(): a tracker that is active while\n"
	     "a task of the run takes a step. It may be used for one run after another.");
PyDoc_STRVAR(before_doc, "before_task_step($self, task, /)\n--\n\n");
PyDoc_STRVAR(wait_doc, "before_io_wait($self, timeout, /)\n--\n\n");
PyDoc_STRVAR(after_run_doc, "after_run($self, /)\n--\n\n");

static PyMethodDef trio_methods[] = {
	{ "before_task_step", trio_before_task_step, METH_O, before_doc },
	{ "before_io_wait", trio_before_io_wait, METH_O, wait_doc },
	{ "after_run", trio_after_run, METH_NOARGS, after_run_doc },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot trio_slots[] = {
	{ Py_tp_doc, (void *)trio_doc },
	{ Py_tp_dealloc, trio_dealloc },
	{ Py_tp_methods, trio_methods },
	{ 0, NULL },
};

PyType_Spec trio_spec = {
	.name = "perpetuo._perpetuo.TrioInstrument",
	.basicsize = sizeof(struct trio_instrument),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = trio_slots,
};
