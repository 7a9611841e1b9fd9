// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * core.bpf.c - the maps that several programs use.
 *
 * In a file of its own that comes first when the objects are linked (the Makefile sees to it): the
 * linker of libbpf 1.1 leaves the BTF offset of a map at 0 when it meets a use before the
 * definition, and the loader then does not find it.
 */
#include "bpf/core.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct proc_of_map proc_of SEC(".maps");
struct procs_map procs SEC(".maps");
struct segments_map segments SEC(".maps");
struct counts_map counts SEC(".maps");
struct events_map events SEC(".maps");

struct pass_state pass;

__u16 proc_at[PROC_PLACES];

__u32 pid_level; /* __: its type stands in the skeleton */

/* Run once by the loader. */
SEC("syscall")
int core_pid_level(void *ctx)
{
	pid_level = BPF_CORE_READ(bpf_get_current_task_btf(), thread_pid, level);
	return 0;
}
