// SPDX-License-Identifier: MIT OR Apache-2.0
/* tracker.c - StallTracker: a named slot, owned by a Python object. */
#include "module.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "registry.h"
#include "slot.h"
#include "thread.h"

struct tracker {
	PyObject_HEAD struct slot *slot; /* NULL once closed; see slot.h */
};

/* As threading.get_ident() has it. */
static uint64_t own_ident(void)
{
	return (uint64_t)pthread_self();
}

/*
 * The native id of another thread, from the table that threading keeps: there is no call that turns
 * a pthread_t into one. A hint, so whatever goes wrong means that it is unknown: 0.
 */
static uint32_t find_native_id(uint64_t ident)
{
	PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
	PyObject *threading, *active = NULL, *key = NULL, *thread = NULL, *tid = NULL;
	unsigned long value = 0;

	threading = modules ? PyMapping_GetItemString(modules, "threading") : NULL;
	if (threading)
		active = PyObject_GetAttrString(threading, "_active");
	if (active)
		key = PyLong_FromUnsignedLongLong(ident);
	if (key)
		thread = PyObject_GetItem(active, key);
	if (thread)
		tid = PyObject_GetAttrString(thread, "native_id");
	if (tid && PyLong_Check(tid))
		value = PyLong_AsUnsignedLong(tid);
	PyErr_Clear();
	Py_XDECREF(tid);
	Py_XDECREF(thread);
	Py_XDECREF(key);
	Py_XDECREF(active);
	Py_XDECREF(threading);
	return value <= INT32_MAX ? (uint32_t)value : 0;
}

/* A slot for SPEC, of which what concerns the thread and the interpreter is filled in here. */
static struct slot *acquire(struct slot_spec *spec)
{
	int64_t interp_id = PyInterpreterState_GetID(PyInterpreterState_Get());
	struct slot *s;

	if (interp_id < 0)
		return NULL;
	spec->interp_id = (uint32_t)interp_id;
#ifdef Py_GIL_DISABLED
	spec->own_line = true;
#endif
	if (spec->thread_ident == own_ident()) {
		spec->hint_tid = thread_tid();
		spec->tstate = (uintptr_t)PyThreadState_Get();
	} else if (spec->thread_ident) {
		spec->hint_tid = find_native_id(spec->thread_ident);
	}
	s = registry__acquire(spec);
	if (s)
		return s;
	if (errno == ENOSPC)
		PyErr_SetString(PyExc_RuntimeError, "Ran out of stall tracker slots in the "
						    "perpetuo instrumentation page");
	else
		PyErr_SetFromErrno(PyExc_OSError);
	return NULL;
}

/* A slot for thread IDENT (0: whoever holds the GIL), otherwise as tracker_acquire_loop(). */
static struct slot *acquire_tracker(const char *name, size_t name_len, uint64_t ident)
{
	struct slot_spec spec = { .name = name, .name_len = name_len, .thread_ident = ident };

	return acquire(&spec);
}

struct slot *tracker_acquire_loop(const char *name, size_t name_len, uint64_t progress_addr,
				  int idle_fd)
{
	struct slot_spec spec = {
		.name = name,
		.name_len = name_len,
		.thread_ident = own_ident(),
		.progress_addr = progress_addr,
		.idle_fd = idle_fd,
	};

	return acquire(&spec);
}

/* 0 with *ident set, or -1 with an exception. */
static int parse_thread(PyObject *arg, uint64_t *ident)
{
	if (PyUnicode_Check(arg)) {
		if (PyUnicode_CompareWithASCIIString(arg, "gil") == 0) {
			*ident = 0;
			return 0;
		}
		PyErr_SetString(PyExc_ValueError, "must be integer or the string 'gil'");
		return -1;
	}
	if (!PyLong_Check(arg)) {
		PyErr_SetString(PyExc_TypeError, "must be integer or the string 'gil'");
		return -1;
	}
	*ident = PyLong_AsUnsignedLongLong(arg);
	if (*ident == (uint64_t)-1 && PyErr_Occurred())
		return -1;
	if (*ident == 0) {
		PyErr_SetString(PyExc_ValueError, "thread id must be non-zero");
		return -1;
	}
	return 0;
}

/* New reference to the name as bytes. */
static PyObject *encode_name(PyObject *name)
{
	PyObject *bytes = PyUnicode_AsUTF8String(name);

	if (!bytes && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
		PyErr_Clear();
		PyErr_Format(PyExc_ValueError, "name has a lone surrogate and is no text: %R",
			     name);
	}
	return bytes;
}

static PyObject *tracker_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
	static char kw_name[] = "name", kw_thread[] = "relevant_thread", kw_hint[] = "thread_hint";
	static char *keywords[] = { kw_name, kw_thread, kw_hint, NULL };
	PyObject *name, *thread = NULL, *hint = NULL, *bytes;
	struct tracker *t;
	uint64_t ident;

	if (!PyArg_ParseTupleAndKeywords(args, kwds, "U|O$O:StallTracker", keywords, &name, &thread,
					 &hint))
		return NULL;
	if (!thread == !hint) {
		PyErr_SetString(PyExc_TypeError,
				thread ? "StallTracker() takes relevant_thread or thread_hint, "
					 "two names for the same, but not both"
				       : "StallTracker() missing required argument "
					 "'relevant_thread' (pos 2)");
		return NULL;
	}
	if (parse_thread(thread ? thread : hint, &ident) < 0)
		return NULL;
	bytes = encode_name(name);
	if (!bytes)
		return NULL;
	t = (struct tracker *)PyType_GenericAlloc(type, 0);
	if (t) {
		t->slot = acquire_tracker(PyBytes_AsString(bytes), (size_t)PyBytes_Size(bytes),
					  ident);
		if (!t->slot)
			Py_CLEAR(t);
	}
	Py_DECREF(bytes);
	return (PyObject *)t;
}

static void tracker_release(struct tracker *t)
{
	registry__release(__atomic_exchange_n(&t->slot, NULL, __ATOMIC_ACQ_REL));
}

static void tracker_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	tracker_release((struct tracker *)self);
	release(self);
	Py_DECREF(type);
}

/* The exception for what a function of slot.h returned; NULL to be returned. */
static PyObject *raise_state(int err, const char *already)
{
	PyErr_SetString(PyExc_RuntimeError,
			err == -EBADF ? "attempt to use closed StallTracker" : already);
	return NULL;
}

static PyObject *tracker_go_active(PyObject *self, PyObject *Py_UNUSED(unused))
{
	int err = slot__go_active(&((struct tracker *)self)->slot);

	if (err)
		return raise_state(err, "Already active");
	Py_RETURN_NONE;
}

static PyObject *tracker_go_idle(PyObject *self, PyObject *Py_UNUSED(unused))
{
	int err = slot__go_idle(&((struct tracker *)self)->slot);

	if (err)
		return raise_state(err, "Already idle");
	Py_RETURN_NONE;
}

static PyObject *tracker_is_active(PyObject *self, PyObject *Py_UNUSED(unused))
{
	int active = slot__is_active(&((struct tracker *)self)->slot);

	if (active < 0)
		return raise_state(active, NULL);
	return PyBool_FromLong(active);
}

static PyObject *tracker_counter_address(PyObject *self, PyObject *Py_UNUSED(unused))
{
	__u64 *word = registry__make_counter(&((struct tracker *)self)->slot);

	if (!word)
		return raise_state(-EBADF, NULL);
	return PyLong_FromVoidPtr(word);
}

static PyObject *tracker_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
	tracker_release((struct tracker *)self);
	Py_RETURN_NONE;
}

static PyObject *tracker_leak(PyObject *self, PyObject *Py_UNUSED(unused))
{
	Py_INCREF(self);
	Py_RETURN_NONE;
}

static PyObject *tracker_enter(PyObject *self, PyObject *Py_UNUSED(unused))
{
	int err = slot__go_active(&((struct tracker *)self)->slot);

	/* A new tracker is active already. */
	if (err && err != -EALREADY)
		return raise_state(err, NULL);
	Py_INCREF(self);
	return self;
}

static PyObject *tracker_exit(PyObject *self, PyObject *Py_UNUSED(args))
{
	/* Idle or closed inside the block is the caller's choice, and no reason to hide what it
	 * raised. */
	slot__go_idle(&((struct tracker *)self)->slot);
	Py_RETURN_NONE;
}

static PyObject *tracker_repr(PyObject *self)
{
	int active = slot__is_active(&((struct tracker *)self)->slot);

	return PyUnicode_FromFormat("<perpetuo.StallTracker at %p, %s>", (void *)self,
				    active < 0 ? "closed"
				    : active   ? "active"
					       : "idle");
}

PyDoc_STRVAR(go_active_doc,
	     "go_active($self, /)\n--\n\n"
	     "A section begins now. RuntimeError if one is under way, or if closed.");
PyDoc_STRVAR(go_idle_doc, "go_idle($self, /)\n--\n\n"
			  "The section ends now. RuntimeError if none is under way, or if closed.");
PyDoc_STRVAR(is_active_doc, "is_active($self, /)\n--\n\n"
			    "Whether a section is under way. RuntimeError if closed.");
PyDoc_STRVAR(
	counter_address_doc,
	"counter_address($self, /)\n--\n\n"
	"Address of the tracker's 64-bit count, for foreign code that adds 1 to it at every\n"
	"change: odd means active. From the first call on the tracker is a plain counter: it\n"
	"has no exact start, and go_active() and go_idle() add 1, too. The address stays valid\n"
	"while the process lives, also after close(). RuntimeError if closed.");
PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
			"Ends the section if one is under way, and gives the tracker's slot back.\n"
			"May be called again.");
PyDoc_STRVAR(leak_doc, "_leak($self, /)\n--\n\n"
		       "Keeps the tracker for as long as the process lives.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\n"
			"Active from here on, if it is not already.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *args)\n--\n\n"
		       "Idle from here on, if it is not already.");
PyDoc_STRVAR(tracker_doc,
	     "StallTracker(name, relevant_thread=..., *, thread_hint=...)\n--\n\n"
	     "Marks sections that should be short; a watcher reports one that is not.\n\n"
	     "name: any text; it stands in the report (cut after 136 bytes of UTF-8).\n"
	     "relevant_thread: the threading.get_ident() of the thread whose stack explains a\n"
	     "    stall, or 'gil' for the thread that holds the GIL. Also called thread_hint.\n\n"
	     "A new tracker is active. As a context manager it is active inside the block. Any\n"
	     "thread may use it. It is closed when it is deleted. After os.fork() the child has\n"
	     "it, too; there it is idle if its thread is not the one that forked.");

static PyMethodDef tracker_methods[] = {
	{ "go_active", tracker_go_active, METH_NOARGS, go_active_doc },
	{ "go_idle", tracker_go_idle, METH_NOARGS, go_idle_doc },
	{ "is_active", tracker_is_active, METH_NOARGS, is_active_doc },
	{ "counter_address", tracker_counter_address, METH_NOARGS, counter_address_doc },
	{ "close", tracker_close, METH_NOARGS, close_doc },
	{ "_leak", tracker_leak, METH_NOARGS, leak_doc },
	{ "__enter__", tracker_enter, METH_NOARGS, enter_doc },
	{ "__exit__", tracker_exit, METH_VARARGS, exit_doc },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot tracker_slots[] = {
	{ Py_tp_doc, (void *)tracker_doc }, { Py_tp_new, tracker_new },
	{ Py_tp_dealloc, tracker_dealloc }, { Py_tp_repr, tracker_repr },
	{ Py_tp_methods, tracker_methods }, { 0, NULL },
};

PyType_Spec tracker_spec = {
	.name = "perpetuo.StallTracker",
	.basicsize = sizeof(struct tracker),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = tracker_slots,
};
