/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* perpetuo-bpf dump PID: the Python stacks of a process, once. */
#ifndef PERPETUO_DUMP_H
#define PERPETUO_DUMP_H

#include "options.h"

/* Dumps all of OPTS->pids. The exit status: 0, or 1 if one of them could not be dumped (said on
 * stderr). */
int dump__run(const struct options *opts);

#endif
