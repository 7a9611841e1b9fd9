/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whole pages of a process, kept for the time of one lookup: its small reads lie close together. */
#ifndef PERPETUO_PROC_PAGES_H
#define PERPETUO_PROC_PAGES_H

#include <stddef.h>
#include <stdint.h>

#define PAGES_SIZE 4096 /* bytes of one, whatever the kernel's are: no mapping ends within one */

struct pages; /* opaque */

struct pages *pages__new(void); /* NULL: no memory */
void pages__free(struct pages *p); /* NULL is fine */

/* The bytes of the page at ADDR (a multiple of PAGES_SIZE), or NULL: it is not kept. */
const uint8_t *pages__find(struct pages *p, uint64_t addr);

/*
 * Where the page at ADDR is to be read to. It counts as kept from then on: a reader that fails
 * calls pages__drop(). An older page may have to go.
 */
uint8_t *pages__place(struct pages *p, uint64_t addr);
void pages__drop(struct pages *p, uint64_t addr);

#endif
