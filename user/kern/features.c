// SPDX-License-Identifier: MIT OR Apache-2.0
#include "kern/features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define VMLINUX_BTF "/sys/kernel/btf/vmlinux"
#define LOCKDOWN "/sys/kernel/security/lockdown"
#define PARANOID "/proc/sys/kernel/perf_event_paranoid"

/* linux/capability.h of older distributions has neither */
#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

struct feature {
	const char *name;
	int (*probe)(struct err *err);
	bool needed; /* by the BPF backend */
	const char *what_for;
};

static bool have_cap(int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, data))
		return false;
	return data[cap / 32].effective >> cap % 32 & 1;
}

static int probe_bpf_syscall(struct err *err)
{
	/* a command that does not exist: -EINVAL where there is a bpf(), -EPERM where it is shut */
	long ret = syscall(SYS_bpf, -1, NULL, 0);

	if (ret < 0 && errno == ENOSYS)
		return err_set(err, -ENOSYS,
			       "this kernel has no bpf() system call (CONFIG_BPF_SYSCALL)");
	if (ret < 0 && errno == EPERM && have_cap(CAP_SYS_ADMIN))
		return err_set(
			err, -EPERM,
			"bpf() is forbidden here, though we are privileged: a seccomp filter (container runtime?)");
	return 0;
}

static int probe_btf(struct err *err)
{
	if (access(VMLINUX_BTF, R_OK))
		return err_set(err, -errno, "cannot read %s: %s (CONFIG_DEBUG_INFO_BTF)",
			       VMLINUX_BTF, strerror(errno));
	return 0;
}

static int probe_cap_bpf(struct err *err)
{
	if (have_cap(CAP_BPF) || have_cap(CAP_SYS_ADMIN))
		return 0;
	return err_set(err, -EPERM, "needs CAP_BPF: run as root (sudo)");
}

static int probe_cap_perfmon(struct err *err)
{
	if (have_cap(CAP_PERFMON) || have_cap(CAP_SYS_ADMIN))
		return 0;
	return err_set(err, -EPERM, "needs CAP_PERFMON: run as root (sudo)");
}

static int probe_cap_ptrace(struct err *err)
{
	if (have_cap(CAP_SYS_PTRACE))
		return 0;
	return err_set(err, -EPERM, "only processes that we may ptrace: without CAP_SYS_PTRACE");
}

static int probe_read_kernel(struct err *err)
{
	char text[128] = "";
	FILE *f = fopen(LOCKDOWN, "re");

	if (!f)
		return 0; /* no lockdown, or no securityfs: the load will tell */
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	if (strstr(text, "[confidentiality]"))
		return err_set(
			err, -EPERM,
			"the kernel is locked down (lockdown=confidentiality): BPF may not read its memory");
	return 0;
}

/* Tries to make the map; it is gone again at once. */
static int probe_map(enum bpf_map_type type, const char *name, const char *since, struct err *err)
{
	int ret = libbpf_probe_bpf_map_type(type, NULL);

	if (ret > 0)
		return 0;
	if (ret == 0 && !have_cap(CAP_BPF) && !have_cap(CAP_SYS_ADMIN))
		return err_set(err, -EPERM, "cannot be tried without CAP_BPF");
	return err_set(err, ret < 0 ? ret : -EOPNOTSUPP, "this kernel has no %s (Linux %s has)",
		       name, since);
}

static int probe_task_storage(struct err *err)
{
	return probe_map(BPF_MAP_TYPE_TASK_STORAGE, "BPF task storage", "5.11", err);
}

static int probe_ring_buffer(struct err *err)
{
	return probe_map(BPF_MAP_TYPE_RINGBUF, "BPF ring buffer", "5.8", err);
}

static int probe_timer(struct err *err)
{
	int ret = libbpf_probe_bpf_helper(BPF_PROG_TYPE_SYSCALL, BPF_FUNC_timer_start, NULL);

	if (ret > 0)
		return 0;
	if (!have_cap(CAP_BPF) && !have_cap(CAP_SYS_ADMIN))
		return err_set(err, -EPERM, "cannot be tried without CAP_BPF");
	return err_set(err, ret < 0 ? ret : -EOPNOTSUPP,
		       "this kernel has no BPF timers (Linux 5.15 has)");
}

/* The kernel's BTF has a type for each tracepoint that BPF can be attached to. */
static int probe_tracepoint(const char *type, const char *name, struct err *err)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int id;

	if (!btf)
		return err_set(err, -errno, "cannot read the kernel's BTF: %s", strerror(errno));
	id = btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF);
	btf__free(btf);
	if (id < 0)
		return err_set(err, -EOPNOTSUPP, "this kernel has no tracepoint %s", name);
	return 0;
}

static int probe_switch(struct err *err)
{
	return probe_tracepoint("btf_trace_sched_switch", "sched_switch", err);
}

static int probe_hrtimer(struct err *err)
{
	return probe_tracepoint("btf_trace_hrtimer_expire_entry", "hrtimer_expire_entry", err);
}

static int probe_perf(struct err *err)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000000,
		.disabled = 1,
	};
	long ncpus = sysconf(_SC_NPROCESSORS_CONF);
	int code = -ENODEV;

	for (int cpu = 0; cpu < ncpus; cpu++) {
		long fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

		if (fd >= 0) {
			close((int)fd);
			return 0;
		}
		code = -errno;
		if (code != -ENODEV && code != -ENXIO)
			break;
	}
	return err_set(err, code, "perf_event_open is refused: %s%s", strerror(-code),
		       code == -EACCES || code == -EPERM ? " (" PARANOID ")" : "");
}

static const struct feature features[] = {
	[FEATURE_BPF_SYSCALL] = { "bpf-syscall", probe_bpf_syscall, true, "any BPF program" },
	[FEATURE_BTF] = { "btf", probe_btf, true, "one binary for all kernels" },
	[FEATURE_CAP_BPF] = { "cap-bpf", probe_cap_bpf, true, "loading programs" },
	[FEATURE_CAP_PERFMON] = { "cap-perfmon", probe_cap_perfmon, true,
				  "reading the memory of targets in the kernel" },
	[FEATURE_READ_KERNEL] = { "read-kernel", probe_read_kernel, true,
				  "knowing a stopped target from a stalled one" },
	[FEATURE_TASK_STORAGE] = { "task-storage", probe_task_storage, true,
				   "knowing watched threads at a switch" },
	[FEATURE_RING_BUFFER] = { "ring-buffer", probe_ring_buffer, true, "telling of stalls" },
	[FEATURE_TIMER] = { "timer", probe_timer, true, "judging at the deadline" },
	[FEATURE_TRACE_SWITCH] = { "sched-switch", probe_switch, true,
				   "reading slots when a thread leaves its CPU" },
	[FEATURE_PERF_TICK] = { "perf-tick", probe_perf, false,
				"reading slots and stacks while a thread computes" },
	[FEATURE_HRTIMER_TICK] = { "hrtimer-tick", probe_hrtimer, false,
				   "the same, where perf_event_open is refused" },
	[FEATURE_CAP_PTRACE] = { "cap-ptrace", probe_cap_ptrace, false,
				 "reading targets of other users" },
};
_Static_assert(sizeof(features) / sizeof(*features) == FEATURE_MAX, "a row for each feature");

/* libbpf prints what its probes try. */
static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

int feature__probe(enum feature_id id, struct err *err)
{
	libbpf_print_fn_t before = libbpf_set_print(quiet);
	int ret = features[id].probe(err);

	libbpf_set_print(before);
	return ret;
}

int features__bpf_usable(struct err *why)
{
	int ret;

	for (int i = 0; i < FEATURE_MAX; i++) {
		ret = features[i].needed ? feature__probe(i, why) : 0;
		if (ret)
			return ret;
	}
	if (feature__probe(FEATURE_PERF_TICK, NULL)) {
		ret = feature__probe(FEATURE_HRTIMER_TICK, why);
		if (ret)
			return ret;
	}
	return 0;
}

int features__print(FILE *out)
{
	struct utsname os = { 0 };
	bool have[FEATURE_MAX];
	struct err why = { "" };

	uname(&os);
	fprintf(out, "Linux %s %s\n", os.release, os.machine);
	for (int i = 0; i < FEATURE_MAX; i++) {
		struct err reason = { "" };
		int code = feature__probe(i, &reason);

		have[i] = !code;
		fprintf(out, "%-14s %-3s  %s\n", features[i].name, have[i] ? "yes" : "no",
			have[i] ? features[i].what_for : err_text(&reason, code));
	}
	if (features__bpf_usable(&why))
		fprintf(out, "backend        poll (not bpf: %s)\n", why.text);
	else
		fprintf(out, "backend        bpf, tick by %s\n",
			have[FEATURE_PERF_TICK] ? "perf events" : "the scheduler (hrtimer)");
	/* the poll backend sees loops that the program has registered; the BPF one knows how to
	 * find them, and GILs, on x86-64 */
	fprintf(out, "sources        slot%s\n",
		!why.text[0] && !strcmp(os.machine, "x86_64") ? ", gil, loop"
							      : ", loop (registered ones)");
	return fflush(out) || ferror(out) ? -EIO : 0;
}
