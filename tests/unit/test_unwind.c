// SPDX-License-Identifier: MIT OR Apache-2.0
/* Native stacks: of this very program, and of memory that lies. */
#include "proc/unwind.h"

#include <stdlib.h>
#include <unistd.h>

#include "proc/kstack.h"
#include "tap.h"

static struct mem *own;
static struct native_stack stack;
static int result;

#ifdef __x86_64__
/* Its caller's frames stay as they are while it runs. */
static __attribute__((noinline)) void innermost(void)
{
	struct unwind_regs r = { .knows_fp = true };

	__asm__ volatile("lea 0(%%rip), %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2"
			 : "=&r"(r.ip), "=&r"(r.sp), "=&r"(r.fp));
	result = native_stack__unwind(getpid(), own, &r, NULL, &stack);
}

static __attribute__((noinline)) int middle(int n)
{
	volatile char room[20000];

	room[n] = 1;
	innermost();
	return room[n];
}

/* A frame of which the size is known at run time only: it needs the frame pointer. */
static __attribute__((noinline)) int outermost(int n)
{
	volatile char *room = __builtin_alloca((size_t)n);

	room[0] = 1;
	return middle(n) + room[0];
}

static void ourselves(void)
{
	static const char *const names[] = { "innermost", "middle", "outermost" };

	outermost(1000);
	is_int(result, 0, "our own stack");
	for (size_t i = 0; i < 3; i++) /* compilers may add to them: "middle.constprop.0" */
		ok(!strncmp(stack.frame[i].function, names[i], strlen(names[i])), "%s", names[i]);
	ok(stack.cnt > 4, "and on to main's caller");
	is_str(stack.note, "", "whole: it ends where the thread began");
	ok(!strncmp(stack.frame[0].library, "test_unwind", 11), "the library has a name");
	ok(stack.frame[0].offset < 4096, "the offset is one in the function");
}

/* A stack whose words all are an address of code, or chosen so that frames lead in a circle. */
static void lies(void)
{
	struct unwind_regs r = { .ip = stack.frame[0].addr, .sp = 0x1000, .knows_fp = true };
	size_t len = 16384, longest = 0, wrong = 0;
	uint64_t *words = malloc(len);
	struct unwind_copy copy = { .addr = 0x1000, .data = (void *)words, .len = len };

	srandom(1);
	for (int turn = 0; turn < 200; turn++) {
		for (size_t i = 0; i < len / 8; i++)
			words[i] = turn & 1 ? r.ip + (uint64_t)random() % 64
					    : 0x1000 + (uint64_t)random() % len / 8 * 8;
		r.fp = words[0] % 16 ? 0x1000 : words[0];
		wrong += native_stack__unwind(getpid(), own, &r, &copy, &stack) != 0;
		longest = stack.cnt > longest ? stack.cnt : longest;
	}
	free(words);
	ok(!wrong && longest <= UNWIND_MAX_FRAMES, "a stack that lies is bounded (%zu frames)",
	   longest);
	r.ip = 0x10;
	is_int(native_stack__unwind(getpid(), own, &r, NULL, &stack), 0, "no code there");
	ok(!stack.cnt && *stack.note, "is said");
	r.sp = UINT64_MAX - 3;
	r.ip = (uintptr_t)innermost;
	is_int(native_stack__unwind(getpid(), own, &r, NULL, &stack), 0, "no stack there");
	ok(stack.cnt == 1 && *stack.note, "one frame, and why no more");
}
#else
static void ourselves(void)
{
	skip(8, "unwinding is for x86_64");
}

static void lies(void)
{
	skip(5, "unwinding is for x86_64");
}
#endif

static void kernel(void)
{
	static const char text[] =
		"regs 7f01 7ffe8 1\n[<0>] nfs_wait+0x4d/0x60 [nfs]\n"
		"\n__schedule+0x1/0x2\n\033[2J+0x1/0x2\n0x0+0x1/0x2\nvfs_read+0x32c/0x400\n"
		"a.part.0+0x1/0x2\ncut off";
	static char many[64 * KSTACK_MAX_FRAMES];
	struct kernel_stack k;
	size_t len = 0;

	kernel_stack__parse(text, strlen(text), &k);
	is_int(k.cnt, 3,
	       "a stack in the kernel: frames with a name, but for those of every thread");
	is_str(k.frame[0].function, "nfs_wait", "a function");
	is_str(k.frame[0].module, "nfs", "of a module");
	is_int(k.frame[1].offset, 0x32c, "an offset");
	is_str(k.frame[2].function, "a.part.0", "a piece of a function");
	ok(k.regs.ip == 0x7f01 && k.regs.sp == 0x7ffe8 && k.regs.fp == 1, "registers");
	while (len < sizeof(many) - 32)
		len += (size_t)sprintf(many + len, "f+0x1/0x2\n");
	kernel_stack__parse(many, len, &k);
	is_int(k.cnt, KSTACK_MAX_FRAMES, "no more than there is room for");
}

int main(void)
{
	struct err err = { { 0 } };

	if (mem__open(getpid(), &own, &err))
		skip_all("cannot read our own memory: %s", err.text);
	plan(20);
	ourselves();
	lies();
	kernel();
	mem__free(own);
	return done();
}
