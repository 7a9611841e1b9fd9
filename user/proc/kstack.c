// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/kstack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc/procfile.h"

/* Ways into and out of the kernel, and of a thread that sleeps off its CPU: in every stack. */
static const char *const everywhere[] = {
	"entry_SYSCALL_64_after_hwframe",
	"do_syscall_64",
	"x64_sys_call",
	"ret_from_fork",
	"ret_from_fork_asm",
	"asm_exc_page_fault",
	"el0_svc",
	"el0t_64_sync_handler",
	"el0t_64_sync",
	"do_el0_svc",
	"invoke_syscall",
	"el0_svc_common",
	"__schedule",
	"schedule",
	"__switch_to",
};

static int is_everywhere(const char *function)
{
	for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++)
		if (!strcmp(function, everywhere[i]))
			return 1;
	return 0;
}

/* Letters of a name, of which OUT keeps what fits; returns what follows them. */
static const char *take_name(const char *s, char *out)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$");
	size_t kept = len < KSTACK_NAME_MAX ? len : KSTACK_NAME_MAX - 1;

	memcpy(out, s, kept);
	out[kept] = '\0';
	return s + len;
}

/* "[<0>] pipe_read+0x37e/0x550 [module]"; the mark is /proc's */
static void parse_frame(const char *line, struct kernel_stack *out)
{
	struct kernel_frame *f = &out->frame[out->cnt];
	char *end;

	if (out->cnt == KSTACK_MAX_FRAMES)
		return;
	*f = (struct kernel_frame){ .offset = 0 };
	if (*line == '[') {
		line = strchr(line, ']');
		if (!line || line[1] != ' ')
			return;
		line += 2;
	}
	line = take_name(line, f->function);
	if (!f->function[0] || strncmp(line, "+0x", 3) || !strncmp(f->function, "0x", 2))
		return;
	f->offset = strtoull(line + 3, &end, 16);
	if (*end == '/')
		strtoull(end + 1, &end, 16);
	if (!strncmp(end, " [", 2))
		take_name(end + 2, f->module);
	if (!is_everywhere(f->function))
		out->cnt++;
}

static void parse_regs(const char *line, struct unwind_regs *out)
{
	unsigned long long ip, sp, fp;

	if (sscanf(line, "regs %llx %llx %llx", &ip, &sp, &fp) == 3)
		*out = (struct unwind_regs){ .ip = ip, .sp = sp, .fp = fp, .knows_fp = true };
}

void kernel_stack__parse(const char *text, size_t len, struct kernel_stack *out)
{
	const char *end = text + len, *nl;
	char line[256];

	*out = (struct kernel_stack){ .cnt = 0 };
	for (; text < end; text = nl + 1) {
		size_t n;

		nl = memchr(text, '\n', (size_t)(end - text));
		if (!nl)
			break;
		n = (size_t)(nl - text) < sizeof(line) ? (size_t)(nl - text) : sizeof(line) - 1;
		memcpy(line, text, n);
		line[n] = '\0';
		if (!strncmp(line, "regs ", 5))
			parse_regs(line, &out->regs);
		else
			parse_frame(line, out);
	}
}

/* /proc/PID/wchan: the name alone, "0" for none */
static int load_wchan(pid_t pid, pid_t tid, struct kernel_stack *out)
{
	char name[KSTACK_NAME_MAX];
	ssize_t len = procfile__read(name, sizeof(name), "/proc/%d/task/%d/wchan", pid, tid);

	if (len < 0)
		return (int)len;
	take_name(name, out->frame[0].function);
	if (out->frame[0].function[0] && strcmp(out->frame[0].function, "0"))
		out->cnt = 1;
	return 0;
}

int kernel_stack__load(pid_t pid, pid_t tid, struct kernel_stack *out)
{
	char text[KSTACK_TEXT_MAX];
	ssize_t len = procfile__read(text, sizeof(text), "/proc/%d/task/%d/stack", pid, tid);

	*out = (struct kernel_stack){ .cnt = 0 };
	if (len <= 0)
		return load_wchan(pid, tid, out);
	kernel_stack__parse(text, (size_t)len, out);
	return 0;
}
