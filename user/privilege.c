// SPDX-License-Identifier: MIT OR Apache-2.0
#include "privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CAP_PERFMON /* linux 5.8 */
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif

#define NICE_OF_THE_WATCH (-10)

static const int kept[] = {
	CAP_SYS_PTRACE, /* memory and /proc files of the targets */
	CAP_DAC_READ_SEARCH, /* /proc/PID/mem is 0600 and belongs to the target's user */
	CAP_BPF, /* pages that appear later enter the maps */
	CAP_PERFMON, /* one-shot events on threads that run; CPUs that come online */
	CAP_KILL, /* signals are passed on to the command */
};

int privilege__reduce(bool setuid, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uint64_t keep = 0, have;

	/* refused to ordinary users, and not worth a word then */
	setpriority(PRIO_PROCESS, 0, NICE_OF_THE_WATCH);

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_set(err, -errno, "prctl(PR_SET_NO_NEW_PRIVS): %s", strerror(errno));
	if (syscall(SYS_capget, &head, data))
		return err_set(err, -errno, "capget: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		keep |= 1ULL << kept[i];
	if (setuid)
		keep |= 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;
	have = ((uint64_t)data[1].permitted << 32 | data[0].permitted) & keep;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted = (uint32_t)(have >> 32 * i);
		data[i].effective &= data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data))
		return err_set(err, -errno, "capset: %s", strerror(errno));
	return 0;
}
