// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * loop.c - an event loop of the calling thread, registered for the watcher, which then costs
 * nothing at any of its steps.
 *
 * An event loop runs each step in a context of its own (contextvars), and CPython counts in the
 * thread state how often the thread enters and leaves one: context_ver (Python/context.c). That is
 * the count that the slot names. No interface tells where it lies, but it may be tried: where it is
 * said to be for this version, a call of Context.run() must add two.
 */
#include "module.h"

#include "registry.h"
#include "slot.h"

#define TRIES 3 /* a signal handler or a finalizer may run contexts, too */

/* Offset of context_ver in the thread state of 3.N, with a GIL and without, debug or not. */
static const uint16_t ver_offset[] = {
	[9] = 248, [10] = 248, [11] = 232, [12] = 216, [13] = 216, [14] = 216, [15] = 240,
};

#define KNOWN_MINORS (long)(sizeof(ver_offset) / sizeof(ver_offset[0]))

struct loop_slot {
	PyObject_HEAD struct slot *slot; /* NULL once closed; see slot.h */
};

/* Enters a context and leaves it. 0, or -1 with an exception. */
static int run_context(PyObject *context)
{
	PyObject *result = PyObject_CallMethod(context, "run", "O", (PyObject *)&PyBool_Type);

	Py_XDECREF(result);
	return result ? 0 : -1;
}

/* 1 if that moves the word at @addr by two, 0 if not, -1 with an exception. */
static int is_count(const volatile uint64_t *addr)
{
	PyObject *module = PyImport_ImportModule("contextvars"), *context = NULL;
	int found = -1;

	if (module)
		context = PyObject_CallMethod(module, "copy_context", NULL);
	for (int i = 0; context && i < TRIES && found <= 0; i++) {
		uint64_t before = *addr;

		found = run_context(context);
		if (found < 0)
			break;
		found = *addr - before == 2;
	}
	Py_XDECREF(context);
	Py_XDECREF(module);
	return found;
}

/* Address of the calling thread's count of contexts; 0 with an exception. */
static uint64_t find_count(void)
{
	long minor = module_python_minor();
	uintptr_t addr = (uintptr_t)PyThreadState_Get();
	int found = 0;

	if (minor < KNOWN_MINORS && ver_offset[minor]) {
		addr += ver_offset[minor];
		found = is_count((const volatile uint64_t *)addr);
	}
	if (!found)
		PyErr_SetString(PyExc_RuntimeError,
				"This Python does not count its contexts in a known place, so its "
				"event loops cannot be registered");
	return found == 1 ? addr : 0;
}

static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
	static char kw_name[] = "name", kw_fd[] = "idle_fd";
	static char *keywords[] = { kw_name, kw_fd, NULL };
	Py_ssize_t len;
	const char *name;
	uint64_t count;
	struct loop_slot *l;
	int fd;

	if (!PyArg_ParseTupleAndKeywords(args, kwds, "s#i:LoopSlot", keywords, &name, &len, &fd))
		return NULL;
	count = find_count();
	if (!count)
		return NULL;
	l = (struct loop_slot *)PyType_GenericAlloc(type, 0);
	if (!l)
		return NULL;
	l->slot = tracker_acquire_loop(name, (size_t)len, count, fd < 0 ? -1 : fd);
	if (!l->slot)
		Py_CLEAR(l);
	return (PyObject *)l;
}

static void loop_release(struct loop_slot *l)
{
	registry__release(__atomic_exchange_n(&l->slot, NULL, __ATOMIC_ACQ_REL));
}

static PyObject *loop_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
	loop_release((struct loop_slot *)self);
	Py_RETURN_NONE;
}

static void loop_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	loop_release((struct loop_slot *)self);
	release(self);
	Py_DECREF(type);
}

PyDoc_STRVAR(loop_doc,
	     "LoopSlot(name, idle_fd)\n--\n\n"
	     "Tells the watcher that the calling thread runs an event loop, which waits on\n"
	     "the descriptor idle_fd (-1: not known). Until it is closed or deleted.\n"
	     "RuntimeError if this Python does not count its contexts in a known place.");
PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
			"The loop is no more. May be called again.");

PyDoc_STRVAR(after_run_doc, "after_run($self, /)\n--\n\n"
			    "close(), for Trio: the only hook that it sees.");

static PyMethodDef loop_methods[] = {
	{ "close", loop_close, METH_NOARGS, close_doc },
	{ "after_run", loop_close, METH_NOARGS, after_run_doc },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot loop_slots[] = {
	{ Py_tp_doc, (void *)loop_doc },
	{ Py_tp_new, loop_new },
	{ Py_tp_dealloc, loop_dealloc },
	{ Py_tp_methods, loop_methods },
	{ 0, NULL },
};

PyType_Spec loop_spec = {
	.name = "perpetuo._perpetuo.LoopSlot",
	.basicsize = sizeof(struct loop_slot),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = loop_slots,
};
