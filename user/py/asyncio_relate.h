/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which task of asyncio waits for which (await, gather), and who has started whom (TaskGroup). */
#ifndef PERPETUO_PY_ASYNCIO_RELATE_H
#define PERPETUO_PY_ASYNCIO_RELATE_H

#include "py/kind.h"
#include "py/target.h"
#include "py/taskset.h"

/* SET is indexed. 0 (SET->note says what is missing), -ENOMEM, -ESRCH, -EPERM. */
int asyncio__relate(const struct py_target *t, struct kinds *kinds, struct taskset *set);

#endif
