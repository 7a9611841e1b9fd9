// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/pages.h"

#include <stdlib.h>

#define MAX_PAGES 256
#define NONE 1 /* no page begins there */

struct pages {
	uint64_t addr[MAX_PAGES];
	size_t next; /* which one goes when there is no room: the oldest */
	size_t found; /* the last one: the next look is mostly for it, too */
	uint8_t bytes[MAX_PAGES][PAGES_SIZE];
};

struct pages *pages__new(void)
{
	struct pages *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	for (size_t i = 0; i < MAX_PAGES; i++)
		p->addr[i] = NONE;
	p->next = p->found = 0;
	return p;
}

void pages__free(struct pages *p)
{
	free(p);
}

const uint8_t *pages__find(struct pages *p, uint64_t addr)
{
	if (p->addr[p->found] == addr)
		return p->bytes[p->found];
	for (size_t i = 0; i < MAX_PAGES; i++) {
		if (p->addr[i] != addr)
			continue;
		p->found = i;
		return p->bytes[i];
	}
	return NULL;
}

uint8_t *pages__place(struct pages *p, uint64_t addr)
{
	size_t i = p->next;

	p->next = (i + 1) % MAX_PAGES;
	p->addr[i] = addr;
	return p->bytes[i];
}

void pages__drop(struct pages *p, uint64_t addr)
{
	for (size_t i = 0; i < MAX_PAGES; i++)
		if (p->addr[i] == addr)
			p->addr[i] = NONE;
}
