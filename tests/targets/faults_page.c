// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A target whose slot page lies: faults_page MODE. It prints "ready PID" when the page is there and
 * goes on until it is killed.
 *
 *	version   a page of a version that nobody knows
 *	elsewhere `self` is not where the page is
 *	metas     the metas are said to lie outside the mapping
 *	many      more words in use than a page has
 *	v0        a v0 page: name pointers anywhere, lengths huge, threads that are none
 *	v1        every slot active since an odd time, and metas of garbage
 *	running   as v1, while a thread changes words and the generation as fast as it can
 *	turning   as v1; from SIGUSR1 on one field of the header after the other turns bad and good
 */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/slot_abi.h"

#define GUARD 4096
#define TURN_US 3000

static const uint8_t magic[SLOT_MAGIC_LEN] = SLOT_MAGIC_BYTES;

/* Acts on a terminal in every way, is no UTF-8, and ends in the middle of a character. */
static const char evil[] =
	"\x1b]0;owned\x07\x1b[2J\x1b[31m\r\n\t\"\\}\x9b\xff\xc0\x80\xe2\x80\xae\xe2"
	"\x80\xa8\xf0\x9f";

static uint64_t noise(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static void *map(size_t len, int share)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, share | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static struct slot_page *map_v1(void)
{
	char *p = map(GUARD + SLOT_MAP_LEN + GUARD, MAP_PRIVATE);
	struct slot_page *page = (struct slot_page *)(p + GUARD);

	if (mprotect(p, GUARD, PROT_NONE) || mprotect(p + GUARD + SLOT_MAP_LEN, GUARD, PROT_NONE)) {
		perror("mprotect");
		exit(1);
	}
	page->self = (uintptr_t)page;
	page->version = SLOT_V1;
	page->word_cap = SLOT_WORDS;
	page->meta_off = SLOT_META_OFF;
	page->meta_len = sizeof(struct slot_meta);
	page->long_ns = SLOT_DEFAULT_LONG_NS;
	page->in_use = SLOT_WORDS;
	page->generation = 1;
	return page;
}

static struct slot_meta *metas(struct slot_page *page)
{
	return (struct slot_meta *)((char *)page + SLOT_META_OFF);
}

static void fill_meta(struct slot_meta *m, uint32_t i)
{
	static const uint32_t tid[] = { 0, 1, UINT32_MAX, 4194304 };

	for (size_t k = 0; k < sizeof(*m) / sizeof(uint64_t); k++)
		((uint64_t *)m)[k] = noise();
	m->thread_ident = i % 3 ? noise() : 0;
	m->hint_tid = i % 5 ? tid[i % 4] : (uint32_t)getpid();
	m->kind = i % 4 ? SLOT_STAMP : (uint16_t)noise();
	m->name_len = i % 2 ? (uint16_t)noise() : SLOT_NAME_CAP;
	memcpy(m->name, evil, sizeof(evil));
}

static uint64_t lie(uint32_t i)
{
	static const uint64_t word[] = {
		1, 3, UINT64_MAX, INT64_MAX, 0, 1ULL << 63 | 1, 2, UINT64_MAX - 1,
	};

	return i % 16 < 8 ? word[i % 8] : noise() % 1000000000 | 1;
}

static void fill_v1(struct slot_page *page)
{
	for (uint32_t i = 0; i < SLOT_WORDS; i++) {
		page->word[i] = lie(i);
		fill_meta(&metas(page)[i], i);
	}
}

static void fill_v0(void)
{
	struct slot_page_v0 *page = map(sizeof(*page), MAP_SHARED);
	const uint64_t at[] = {
		0, 1, UINT64_MAX, 0xffffffff81000000ULL, (uintptr_t)evil, (uintptr_t)page + 4090,
	};
	const uint64_t len[] = { 0, 5, sizeof(evil), 1ULL << 40, UINT64_MAX };

	page->self = (uintptr_t)page;
	page->version = SLOT_V0;
	for (uint32_t i = 0; i < SLOT_V0_SLOTS; i++)
		page->slot[i] = (struct slot_v0){
			.count = i % 4 ? noise() | 1 : UINT64_MAX,
			.name_ptr = at[i % 6],
			.name_len = len[i % 5],
			.thread_hint = i % 3 ? noise() : 0,
		};
	memcpy(page->magic, magic, sizeof(magic));
}

static void *run(void *arg)
{
	volatile struct slot_page *page = arg;

	for (;;) {
		page->generation++;
		page->word[noise() % SLOT_WORDS] = noise();
	}
	return NULL;
}

static void *turn(void *arg)
{
	volatile struct slot_page *page = arg;

	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigwait(&set, &sig);
	for (uint32_t i = 0;; i++) {
		struct slot_page good = *(struct slot_page *)arg;

		switch (i % 7) {
		case 0:
			page->in_use = UINT32_MAX;
			break;
		case 1:
			page->in_use = (uint32_t)(noise() % SLOT_WORDS);
			break;
		case 2:
			page->meta_off = (uint32_t)noise();
			break;
		case 3:
			page->self = noise();
			break;
		case 4:
			page->version = 9;
			break;
		case 5:
			page->magic[0]++;
			break;
		case 6:
			page->word_cap = page->meta_len = UINT32_MAX;
			break;
		}
		page->generation++;
		usleep(TURN_US);
		good.generation = page->generation + 1;
		memcpy(arg, &good, offsetof(struct slot_page, word));
		usleep(TURN_US);
	}
	return NULL;
}

static void in_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, arg)) {
		fprintf(stderr, "no thread\n");
		exit(1);
	}
}

int main(int argc, char *argv[])
{
	const char *mode = argc == 2 ? argv[1] : "";
	struct slot_page *page;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (!strcmp(mode, "v0")) {
		fill_v0();
		goto ready;
	}
	page = map_v1();
	fill_v1(page);
	if (!strcmp(mode, "version")) {
		page->version = 7;
	} else if (!strcmp(mode, "elsewhere")) {
		page->self += 8;
	} else if (!strcmp(mode, "metas")) {
		page->meta_off = UINT32_MAX - 64;
	} else if (!strcmp(mode, "many")) {
		page->in_use = UINT32_MAX;
	} else if (!strcmp(mode, "running")) {
		in_thread(run, page);
	} else if (!strcmp(mode, "turning")) {
		in_thread(turn, page);
	} else if (strcmp(mode, "v1") != 0) {
		fprintf(stderr, "usage: faults_page MODE\n");
		return 2;
	}
	memcpy(page->magic, magic, sizeof(magic));
ready:
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	for (;;)
		pause();
}
