// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A program that says it is CPython 3.13 and fills what it exports with lies: liar MODE. It prints
 * "ready" and stays. Beside the interpreter it has a page of perpetuo 0.7 with a slot that is
 * active for ever, so that a watcher looks at its stacks, too.
 *
 * Its main thread sleeps at the end of a chain of DEPTH frames liar_0 ... In mode "honest" that is
 * all; the others break one thing each.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/slot_abi.h"
#include "tests/lib/debug_offsets.h"

#define DEPTH 8
#define INTERPRETERS 4
#define THREADS 8
#define HEX 0x030d00f0u
#define PAGE 4096
#define STATE_BYTES 8192 /* of an interpreter or a thread state */
#define MOVES 64 /* between two sleeps of the thread that changes things */

/* What a reader looks for by name. */
uint8_t _PyRuntime[283320] __attribute__((aligned(16)));
unsigned long Py_Version = HEX;
uint8_t PyCode_Type[416], PyUnicode_Type[416], PyDict_Type[416], PyType_Type[416];
uint8_t PyTuple_Type[416], PyLong_Type[416], PyList_Type[416], PyBytes_Type[416];
uint8_t _Py_NoneStruct[64];

/* Everything else lies here, so that one lie can lead to another. */
static struct world {
	uint8_t interp[INTERPRETERS][STATE_BYTES];
	uint8_t thread[THREADS][STATE_BYTES];
	uint8_t gil[256];
	uint8_t code[DEPTH][256];
	uint8_t text[DEPTH + 1][128]; /* str: names, and the file's */
	uint8_t lines[64]; /* bytes */
	uint8_t names[128]; /* tuple of the local variables' */
	uint8_t modules[64], keys[4096]; /* a dict */
} world __attribute__((aligned(16)));

static uint8_t *chunk; /* the data stack: a page of its own */

static uint64_t addr_of(const void *p)
{
	return (uintptr_t)p;
}

static void put(void *at, size_t off, uint64_t value)
{
	memcpy((uint8_t *)at + off, &value, sizeof(value));
}

static uint64_t noise(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static uint8_t *frame(int i)
{
	return chunk + 32 + (DEPTH - 1 - i) * 96; /* the oldest behind the head and a word */
}

static void make_str(uint8_t *at, const char *text)
{
	put(at, 8, addr_of(PyUnicode_Type));
	put(at, 16, strlen(text));
	put(at, 32, 1 << 2 | 1 << 5 | 1 << 6); /* one byte a character, compact, ASCII */
	memcpy(at + 40, text, strlen(text) + 1);
}

static void make_code(int i)
{
	static const uint32_t first_line = 10;
	uint8_t *code = world.code[i];
	char name[32];

	snprintf(name, sizeof(name), "liar_%d", i);
	make_str(world.text[i], name);
	put(code, 8, addr_of(PyCode_Type));
	put(code, 16, 4); /* units of bytecode */
	memcpy(code + 68, &first_line, sizeof(first_line));
	put(code, 96, addr_of(world.names));
	put(code, 112, addr_of(world.text[DEPTH]));
	put(code, 128, addr_of(world.text[i]));
	put(code, 136, addr_of(world.lines));
}

/* The innermost frame is number 0, the oldest the first of the data stack. */
static void make_frames(void)
{
	chunk = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk == MAP_FAILED)
		exit(1);
	for (int i = 0; i < DEPTH; i++) {
		make_code(i);
		put(frame(i), 0, addr_of(world.code[i]));
		put(frame(i), 8, i + 1 < DEPTH ? addr_of(frame(i + 1)) : 0);
		put(frame(i), 56, addr_of(world.code[i]) + 200 + 2);
	}
}

static void make_thread(int i, uint64_t native_id)
{
	uint8_t *ts = world.thread[i];

	put(ts, 16, addr_of(world.interp[0]));
	put(ts, 72, addr_of(frame(0)));
	put(ts, 152, native_id ? (uint64_t)pthread_self() : 0x1000u + (unsigned int)i);
	put(ts, 160, native_id);
	put(ts, 232, addr_of(chunk));
	put(ts, 240, addr_of(chunk) + PAGE / 2);
}

static void make_interpreter(void)
{
	uint8_t *in = world.interp[0];

	put(in, 16, addr_of(world.gil));
	put(in, 7344, addr_of(world.thread[0]));
	put(in, 7656, addr_of(world.modules));
	memcpy(_PyRuntime, debug_offsets_313, sizeof(debug_offsets_313));
	memcpy(_PyRuntime, "xdebugpy", 8);
	put(_PyRuntime, 632, addr_of(in));
	put(_PyRuntime, 640, addr_of(in));
}

static void make_objects(void)
{
	make_str(world.text[DEPTH], "/srv/liar.py");
	put(world.lines, 8, addr_of(PyBytes_Type));
	put(world.lines, 16, 4);
	memcpy(world.lines + 32, "\x83\x00\x83\x00", 4);
	put(world.names, 8, addr_of(PyTuple_Type));
	put(world.modules, 8, addr_of(PyDict_Type));
	put(world.modules, 32, addr_of(world.keys));
}

/* ---- the lies -------------------------------------------------------------------------------- */

static void honest(void)
{
}

static void frame_ring(void)
{
	put(frame(DEPTH - 1), 8, addr_of(frame(2)));
}

static void thread_ring(void)
{
	for (int i = 0; i < THREADS; i++) {
		make_thread(i, i ? 0 : (uint64_t)getpid());
		put(world.thread[i], 8, addr_of(world.thread[(i + 1) % THREADS]));
	}
}

static void interpreter_ring(void)
{
	for (int i = 0; i < INTERPRETERS; i++)
		put(world.interp[i], 7264, addr_of(world.interp[(i + 1) % INTERPRETERS]));
}

/* Lengths of all that has one, each larger than any memory. */
static void lengths(void)
{
	static const uint64_t len[] = { 1ULL << 62, UINT64_MAX, 1ULL << 40, 1ULL << 31 };

	for (int i = 0; i < DEPTH; i++) {
		put(world.text[i], 16, len[i % 4]);
		put(world.code[i], 16, i % 2 ? len[i % 4] : 4);
	}
	put(world.text[DEPTH], 16, len[0]);
	put(world.lines, 16, len[2]);
	put(world.names, 16, len[1]);
}

static void dicts(void)
{
	memset(world.keys, 0xff, sizeof(world.keys));
	put(world.keys, 8, 0x00010101);
	put(world.keys, 24, 1ULL << 60);
	put(world.modules, 16, UINT64_MAX);
}

static void stack_sizes(void)
{
	put(world.thread[0], 240, UINT64_MAX);
	put(chunk, 0, addr_of(chunk)); /* the chunk before it is itself */
	put(chunk, 16, 1ULL << 60);
}

static void wild_pointers(void)
{
	put(frame(3), 8, 0xffffffff81000000ULL);
	put(frame(1), 0, 1);
	put(world.thread[0], 8, UINT64_MAX - 7);
	put(world.interp[0], 7264, 0xfff0ULL);
	put(world.interp[0], 16, UINT64_MAX);
}

/* Offsets that lead out of every struct, though each lies within what it claims to be in. */
static void offsets(void)
{
	for (size_t word = 4; word < 73; word++)
		put(_PyRuntime, 8 * word, 65528);
}

static void *move(void *arg)
{
	uint64_t *word = arg;
	size_t cnt = sizeof(world) / sizeof(*word);

	for (;;) {
		for (int i = 0; i < MOVES; i++) {
			uint64_t r = noise();

			/* a pointer to somewhere in here, or one that leads nowhere, or a number */
			word[r % cnt] = r >> 62 == 0   ? r
					: r >> 62 == 1 ? r >> 40
						       : addr_of(word) + r % sizeof(world) / 8 * 8;
			put(frame((int)(r >> 32 & 7)), 8, addr_of(frame((int)(r >> 35 & 7))));
		}
		usleep(100);
		if (noise() % 64 == 0) {
			thread_ring();
			make_interpreter();
		}
	}
	return NULL;
}

/* The data stack comes and goes. */
static void *vanish(void *arg)
{
	void *at = chunk;

	(void)arg;
	for (;;) {
		munmap(at, PAGE);
		usleep(50);
		if (mmap(at, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
			continue;
		for (int i = 0; i < DEPTH; i++) {
			put(frame(i), 0, addr_of(world.code[i]));
			put(frame(i), 8, i + 1 < DEPTH ? addr_of(frame(i + 1)) : 0);
			put(frame(i), 56, addr_of(world.code[i]) + 200 + 2);
		}
		usleep(50);
	}
	return NULL;
}

static void start(void *(*function)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, &world))
		exit(1);
}

static void moving(void)
{
	start(move);
}

static void vanishing(void)
{
	start(vanish);
}

static const struct {
	const char *name;
	void (*lie)(void);
} modes[] = {
	{ "honest", honest },		{ "frame-ring", frame_ring },
	{ "thread-ring", thread_ring }, { "interpreter-ring", interpreter_ring },
	{ "lengths", lengths },		{ "dicts", dicts },
	{ "stack-sizes", stack_sizes }, { "wild-pointers", wild_pointers },
	{ "offsets", offsets },		{ "moving", moving },
	{ "vanishing", vanishing },
};

static void publish(void)
{
	static const uint8_t magic[] = SLOT_MAGIC_BYTES;
	static const char name[] = "liar";
	struct slot_page_v0 *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		exit(1);
	page->self = addr_of(page);
	page->slot[0].name_ptr = addr_of(name);
	page->slot[0].name_len = strlen(name);
	page->slot[0].thread_hint = (uint64_t)pthread_self();
	page->slot[0].count = 1;
	memcpy(page->magic, magic, sizeof(magic));
}

int main(int argc, char **argv)
{
	size_t n = sizeof(modes) / sizeof(modes[0]), i;

	for (i = 0; i < n && argc == 2; i++)
		if (!strcmp(argv[1], modes[i].name))
			break;
	if (argc != 2 || i == n) {
		for (i = 0; i < n; i++)
			printf("%s\n", modes[i].name);
		return 2;
	}
	make_objects();
	make_frames();
	make_thread(0, (uint64_t)getpid());
	make_interpreter();
	publish();
	modes[i].lie();
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}
