// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/mem.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"
#include "tap.h"

#define PAGE 4096

static void image(void)
{
	static const uint8_t data[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct image im = { 0x1000, data, sizeof(data), 0 };
	struct mem *m = image_mem(&im);
	uint8_t buf[3][8] = { 0 };
	struct mem_range r[3] = {
		{ 0x1000, buf[0], 4, 99 },
		{ 0x100f, buf[1], 4, 99 },
		{ 0x1008, buf[2], 2, 99 },
	};
	uint64_t v = 99;

	is_int(mem__readv(m, r, 3), -EFAULT, "one of three is not there");
	ok(!r[0].err && r[1].err == -EFAULT && !r[2].err, "and only that one is missing");
	ok(!memcmp(buf[0], data, 4) && !memcmp(buf[2], data + 8, 2), "the others were read");
	is_int(im.calls, 2, "with two calls");
	is_int(mem__read_u64(m, 0x1009, &v), -EFAULT, "a word that is not all there");
	is_int(v, 0, "leaves 0");
	is_int(mem__read(m, 0, NULL, 0), 0, "nothing is always there");
	is_int(mem__check(m), 0, "an image does not end");
	is_int(mem__stats(m)->faults, 2, "faults are counted");
	mem__free(m);
}

/* The same results as one by one, whatever lies where. */
static void any_order(void)
{
	enum { LEN = 5 * PAGE, CNT = 600, ROUNDS = 200 };
	static uint8_t data[LEN], one[CNT][80], any[CNT][80];
	static struct mem_range a[CNT], b[CNT];
	struct image im = { 0x10000, data, LEN - 100, 0 };
	struct mem *m = image_mem(&im);
	size_t wrong = 0, calls;

	srand(1);
	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)rand();
	for (size_t round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < CNT; i++) {
			uint64_t addr = 0x10000 - 50 + (uint64_t)rand() % LEN;
			size_t len = (size_t)rand() % (round % 2 ? 80 : 9);

			a[i] = (struct mem_range){ addr, one[i], len, 99 };
			b[i] = (struct mem_range){ addr, any[i], len, 99 };
		}
		if (mem__readv(m, a, CNT) != mem__readv_any(m, b, CNT))
			wrong++;
		for (size_t i = 0; i < CNT; i++)
			if (a[i].err != b[i].err || (!a[i].err && memcmp(one[i], any[i], a[i].len)))
				wrong++;
	}
	is_int((int64_t)wrong, 0, "ranges that are joined are read as they are alone");
	for (size_t i = 0; i < 200; i++)
		a[i] = (struct mem_range){ 0x10000 + 16 * i, one[i], 8, 99 };
	calls = mem__stats(m)->ranges;
	is_int(mem__readv_any(m, a, 200), 0, "two hundred in one page");
	is_int((int64_t)(mem__stats(m)->ranges - calls), 1, "are one");
	a[0] = (struct mem_range){ UINT64_MAX - 3, one[0], 8, 99 };
	a[1] = (struct mem_range){ UINT64_MAX - 2, one[1], 2, 99 };
	a[2] = (struct mem_range){ 0x10000, one[2], 8, 99 };
	is_int(mem__readv_any(m, a, 3), -EFAULT, "addresses that overflow");
	ok(a[0].err && a[1].err && !a[2].err, "are refused, and nothing else is");
	mem__free(m);
}

static void whole_pages(void)
{
	enum { LEN = 7 * PAGE - 100 };
	static uint8_t data[LEN];
	struct image im = { 0x10000, data, LEN, 0 };
	struct mem *m = image_mem(&im);
	uint64_t v;

	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i / 8);
	mem__use_pages(m, true);
	im.calls = 0;
	for (uint64_t i = 0; i < 100; i++)
		mem__read_u64(m, 0x10008 + 16 * i, &v);
	is_int(im.calls, 1, "a hundred words of one page are one read");
	ok(v == 0x0101010101010101ULL * (1 + 2 * 99), "and right");
	data[8] = 99;
	mem__read_u64(m, 0x10008, &v);
	ok(v == 0x0101010101010101, "a page is read once");
	is_int(mem__read_u64(m, 0x10000 + PAGE - 4, &v), 0, "a word in two pages");
	is_int(mem__read_u64(m, 0x10000 + 6 * PAGE + 8, &v), 0, "a page that is not whole");
	is_int(mem__read_u64(m, 0x10000 + LEN, &v), -EFAULT, "and its end");
	mem__use_pages(m, false);
	mem__read_u64(m, 0x10008, &v);
	ok(v == 0x0101010101010163, "afterwards the process is read again");
	mem__free(m);
}

static void side_by_side(void)
{
	enum { LEN = 64 * PAGE };
	static uint8_t data[LEN];
	struct image im = { 0x10000, data, LEN, 0 };
	struct mem *m = image_mem(&im);
	uint64_t v[4];
	int missed = 0;

	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i / PAGE);
	mem__use_pages(m, true);
	mem__defer(m, true);
	im.calls = 0;
	for (uint64_t i = 0; i < 4; i++)
		missed += mem__read_u64(m, 0x10000 + i * 16 * PAGE, &v[i]) == -EAGAIN;
	ok(missed == 4 && !im.calls, "what no page has is left for later");
	ok(mem__catch_up(m) && im.calls == 1, "then all of it is one read");
	missed = 0;
	for (uint64_t i = 0; i < 4; i++)
		missed += mem__read_u64(m, 0x10000 + i * 16 * PAGE, &v[i]) ||
			  v[i] != i * 16 * 0x0101010101010101ULL;
	ok(!missed && im.calls == 1, "and right");
	ok(!mem__catch_up(m), "nothing is missing any more");
	is_int(mem__read_u64(m, 8, &v[0]), -EAGAIN, "what is not there may come");
	ok(!mem__catch_up(m), "but does not");
	mem__defer(m, false);
	is_int(mem__read_u64(m, 8, &v[0]), -EFAULT, "and is not waited for afterwards");
	mem__free(m);
}

static void own(void)
{
	uint8_t *map =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mem_range many[700];
	struct err err = { { 0 } };
	uint8_t buf[700];
	struct mem *m;
	bool right = true;

	munmap(map + PAGE, PAGE);
	is_int(mem__open(getpid(), &m, &err), 0, "ourselves %s", err.text);
	for (size_t i = 0; i < PAGE; i++)
		map[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < 700; i++)
		many[i] = (struct mem_range){ (uintptr_t)map + PAGE - 690 + i, &buf[i], 1, 0 };
	is_int(mem__readv(m, many, 700), -EFAULT,
	       "more ranges than one call takes, ten of them not there");
	for (size_t i = 0; i < 690; i++)
		right = right && !many[i].err && buf[i] == (uint8_t)((PAGE - 690 + i) * 7);
	for (size_t i = 690; i < 700; i++)
		right = right && many[i].err == -EFAULT;
	ok(right, "each range has its own result");
	is_int(mem__read(m, (uintptr_t)map + PAGE - 4, buf, 8), -EFAULT,
	       "across the end of a mapping");
	is_int(mem__read(m, UINT64_MAX - 3, buf, 8), -EFAULT, "an address that overflows");
	is_int(mem__read(m, 0xffff800000000000, buf, 8), -EFAULT, "the kernel's half");
	mem__free(m);
	munmap(map, PAGE);
}

static void other(void)
{
	int go[2];
	struct err err = { { 0 } };
	static uint64_t word = 0x1122334455667788;
	uint64_t seen;
	struct mem *m;
	pid_t child;
	char byte;

	if (pipe(go))
		exit(1);
	child = fork();
	if (!child) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) < 0);
	}
	is_int(mem__open(child, &m, &err), 0, "a child %s", err.text);
	is_int(mem__read_u64(m, (uintptr_t)&word, &seen) ?: (int64_t)seen, (int64_t)word,
	       "its memory");
	is_int(mem__check(m), 0, "is there");
	kill(child, SIGKILL);
	siginfo_t info;
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	is_int(mem__check(m), -ESRCH, "and gone when it has ended");
	is_int(mem__read_u64(m, (uintptr_t)&word, &seen), -ESRCH, "nothing can be read");
	waitpid(child, NULL, 0);
	is_int(mem__read_u64(m, (uintptr_t)&word, &seen), -ESRCH, "nor when it was waited for");
	mem__free(m);
	mem__free(NULL);
	is_int(mem__open(child, &m, &err), -ESRCH, "no process: %s", err.text);
	close(go[0]);
	close(go[1]);
}

int main(void)
{
	plan(9 + 5 + 7 + 7 + 6 + 7);
	image();
	whole_pages();
	side_by_side();
	any_order();
	own();
	other();
	return done();
}
