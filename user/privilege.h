/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the watch keeps of root's power once it runs. */
#ifndef PERPETUO_PRIVILEGE_H
#define PERPETUO_PRIVILEGE_H

#include <stdbool.h>

#include "base/err.h"

/*
 * For the time of the watch: raises our priority where that is allowed (a verdict is worth nothing
 * if the loader gets no CPU on an overloaded machine), drops all capabilities but those that the
 * watch needs (ptrace access and reading /proc of others, BPF, perf events, signals to the command)
 * and gives up gaining any by exec. Without capabilities only the last. SETUID: keeps what it takes
 * to run a command as another user, too. 0 or -errno with ERR.
 */
int privilege__reduce(bool setuid, struct err *err);

#endif
