/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* module.h - Python.h as this extension wants it, and the parts of which the module is made. */
#ifndef PERPETUO_MODULE_H
#define PERPETUO_MODULE_H

/*
 * One binary for all versions from 3.9 on. Free-threaded interpreters have no limited API (3.13,
 * 3.14) or another one, so there the extension is built for one version.
 */
#include <pyconfig.h>
#if !defined(Py_GIL_DISABLED) && !defined(Py_LIMITED_API)
#define Py_LIMITED_API 0x03090000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

struct slot;

/* Types; created anew for every interpreter. */
extern PyType_Spec tracker_spec;
extern PyType_Spec loop_spec;

/*
 * A slot for an event loop of the calling thread, already active: the word at @progress_addr moves
 * with its steps, and it is idle while the thread waits on @idle_fd (-1: not known). The caller
 * releases it by registry__release(). NULL with an exception set.
 */
struct slot *tracker_acquire_loop(const char *name, size_t name_len, uint64_t progress_addr,
				  int idle_fd);

/* The 12 of a running Python 3.12; of another major version a number that no 3.x has. */
long module_python_minor(void);

#endif
