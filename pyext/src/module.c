// SPDX-License-Identifier: MIT OR Apache-2.0
/* module.c - the module perpetuo._perpetuo: what it has, and what it does at fork and at exit. */
#include "module.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "registry.h"
#include "watch.h"

/*
 * Module slots that came after 3.9. Older interpreters refuse a number that they do not know, so
 * the running version decides which are there; the numbers are part of the stable ABI.
 */
#define SLOT_MULTIPLE_INTERPRETERS 3 /* 3.12 */
#define SLOT_GIL 4 /* 3.13 */
#define PER_INTERPRETER_GIL_SUPPORTED ((void *)2)
#define GIL_NOT_USED ((void *)1)

#define STALL_MAX_SECONDS 1e9

static void before_fork(void)
{
	watch__before_fork();
	registry__before_fork();
}

static void after_fork_parent(void)
{
	registry__after_fork_parent();
	watch__after_fork_parent();
}

static void after_fork_child(void)
{
	registry__after_fork_child();
	watch__after_fork_child();
}

PyDoc_STRVAR(
	stall_gil_doc,
	"stall_gil(seconds)\n--\n\n"
	"Sleeps while holding the GIL: a stall for tests. ValueError if seconds is negative or\n"
	"not finite. On a free-threaded interpreter only stop-the-world pauses wait for it.");

static PyObject *stall_gil(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwds)
{
	static char kw_seconds[] = "seconds";
	static char *keywords[] = { kw_seconds, NULL };
	struct timespec left;
	double seconds;

	if (!PyArg_ParseTupleAndKeywords(args, kwds, "d:stall_gil", keywords, &seconds))
		return NULL;
	if (!(seconds >= 0 && seconds <= STALL_MAX_SECONDS)) {
		PyErr_SetString(PyExc_ValueError, "seconds must be a number from 0 to 1e9");
		return NULL;
	}
	left.tv_sec = (time_t)seconds;
	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	Py_RETURN_NONE;
}

PyDoc_STRVAR(retire_doc, "_retire($module, /)\n--\n\n"
			 "Makes the trackers of this interpreter idle: it is about to end.");

static PyObject *retire(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	int64_t id = PyInterpreterState_GetID(PyInterpreterState_Get());

	if (id < 0)
		return NULL;
	registry__retire((uint32_t)id);
	Py_RETURN_NONE;
}

PyDoc_STRVAR(
	allow_tracer_doc,
	"_allow_tracer(pid, /)\n--\n\n"
	"Lets process pid and its children read this one (PR_SET_PTRACER). Nothing to do, and\n"
	"no error, on a kernel without Yama.");

static PyObject *allow_tracer(PyObject *Py_UNUSED(module), PyObject *arg)
{
	unsigned long pid = PyLong_AsUnsignedLong(arg);

	if (pid == (unsigned long)-1 && PyErr_Occurred())
		return NULL;
	if (prctl(PR_SET_PTRACER, pid, 0, 0, 0) < 0 && errno != EINVAL)
		return PyErr_SetFromErrno(PyExc_OSError);
	Py_RETURN_NONE;
}

PyDoc_STRVAR(watch_begin_doc,
	     "_watch_begin(status_fd, err_fd, out_fd, group, /)\n--\n\n"
	     "Follows a started watcher; takes the descriptors. RuntimeError if one runs.");

static PyObject *watch_begin(PyObject *Py_UNUSED(module), PyObject *args)
{
	struct watch_handles h;
	int group, err;

	if (!PyArg_ParseTuple(args, "iiii:_watch_begin", &h.status_fd, &h.err_fd, &h.out_fd,
			      &group))
		return NULL;
	h.group = group;
	err = watch__begin(&h);
	if (err == -EALREADY) {
		PyErr_SetString(PyExc_RuntimeError, "watcher is already running");
		return NULL;
	}
	if (err) {
		errno = -err;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	Py_RETURN_NONE;
}

PyDoc_STRVAR(watch_running_doc, "_watch_running($module, /)\n--\n\nWhether a watcher runs.");

static PyObject *watch_running(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	return PyBool_FromLong(watch__is_running());
}

PyDoc_STRVAR(watch_early_end_doc,
	     "_watch_early_end(timeout_ms, /)\n--\n\n"
	     "None, or (status, last line of stderr) if the watcher ends within the time.");

static PyObject *watch_early_end(PyObject *Py_UNUSED(module), PyObject *arg)
{
	long timeout_ms = PyLong_AsLong(arg);
	struct watch_end end;
	bool ended;

	if (timeout_ms == -1 && PyErr_Occurred())
		return NULL;
	Py_BEGIN_ALLOW_THREADS ended = watch__wait_early_end((int)timeout_ms, &end);
	Py_END_ALLOW_THREADS if (!ended) Py_RETURN_NONE;
	return Py_BuildValue("iy", end.status, end.last_line);
}

PyDoc_STRVAR(watch_stop_doc, "_watch_stop($module, /)\n--\n\n"
			     "Ends the watcher and waits for that. False if none was running.");

static PyObject *watch_stop(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
	bool running;

	Py_BEGIN_ALLOW_THREADS running = watch__stop();
	Py_END_ALLOW_THREADS return PyBool_FromLong(running);
}

static PyMethodDef module_methods[] = {
	{ "stall_gil", (PyCFunction)(void *)stall_gil, METH_VARARGS | METH_KEYWORDS,
	  stall_gil_doc },
	{ "_retire", retire, METH_NOARGS, retire_doc },
	{ "_allow_tracer", allow_tracer, METH_O, allow_tracer_doc },
	{ "_watch_begin", watch_begin, METH_VARARGS, watch_begin_doc },
	{ "_watch_running", watch_running, METH_NOARGS, watch_running_doc },
	{ "_watch_early_end", watch_early_end, METH_O, watch_early_end_doc },
	{ "_watch_stop", watch_stop, METH_NOARGS, watch_stop_doc },
	{ NULL, NULL, 0, NULL },
};

static int add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
	PyObject *type = PyType_FromSpec(spec);

	if (!type)
		return -1;
	if (PyModule_AddObject(module, name, type) < 0) {
		Py_DECREF(type);
		return -1;
	}
	return 0;
}

static int call_at_exit(PyObject *module)
{
	PyObject *atexit, *func, *result = NULL;

	atexit = PyImport_ImportModule("atexit");
	func = PyObject_GetAttrString(module, "_retire");
	if (atexit && func)
		result = PyObject_CallMethod(atexit, "register", "O", func);
	Py_XDECREF(func);
	Py_XDECREF(atexit);
	Py_XDECREF(result);
	return result ? 0 : -1;
}

static bool finalize_is_due; /* changed by the main interpreter only */

/* After the last line of Python: the process may live on, as in a program that embeds Python. */
static void finalize(void)
{
	finalize_is_due = false;
	registry__set_finalized(true);
}

static int module_exec(PyObject *module)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool fork_handled;
	int err = 0;

	pthread_mutex_lock(&lock);
	if (!fork_handled)
		err = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	fork_handled = !err;
	pthread_mutex_unlock(&lock);
	if (err) {
		PyErr_NoMemory();
		return -1;
	}
	registry__set_finalized(false);
	/* Py_AtExit() has 32 places for all; without one the flag is missed, nothing else. */
	if (!finalize_is_due && PyInterpreterState_GetID(PyInterpreterState_Get()) == 0)
		finalize_is_due = Py_AtExit(finalize) == 0;
	if (add_type(module, &tracker_spec, "StallTracker") < 0 ||
	    add_type(module, &loop_spec, "LoopSlot") < 0)
		return -1;
	/* Told apart from the module of the same name that PyPI's perpetuo has. */
	if (PyModule_AddIntConstant(module, "SLOT_VERSION", SLOT_V1) < 0)
		return -1;
	return call_at_exit(module);
}

static PyModuleDef_Slot module_slots[4];

static struct PyModuleDef module_def = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_perpetuo",
	.m_doc = "Slots that a stall watcher reads from outside.",
	.m_methods = module_methods,
	.m_slots = module_slots,
};

long module_python_minor(void)
{
	char *end;
	long major = strtol(Py_GetVersion(), &end, 10);

	return major == 3 && *end == '.' ? strtol(end + 1, NULL, 10) : LONG_MAX;
}

static void choose_slots(void)
{
	PyModuleDef_Slot *slot = module_slots;
	long minor = module_python_minor();

	*slot++ = (PyModuleDef_Slot){ Py_mod_exec, module_exec };
	if (minor >= 12)
		*slot++ = (PyModuleDef_Slot){ SLOT_MULTIPLE_INTERPRETERS,
					      PER_INTERPRETER_GIL_SUPPORTED };
	if (minor >= 13)
		*slot++ = (PyModuleDef_Slot){ SLOT_GIL, GIL_NOT_USED };
	*slot = (PyModuleDef_Slot){ 0, NULL };
}

PyMODINIT_FUNC PyInit__perpetuo(void);

PyMODINIT_FUNC PyInit__perpetuo(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	/* Interpreters with GILs of their own may come here at once. */
	pthread_once(&once, choose_slots);
	return PyModuleDef_Init(&module_def);
}
