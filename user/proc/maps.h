/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The mappings of a process: /proc/PID/maps. */
#ifndef PERPETUO_PROC_MAPS_H
#define PERPETUO_PROC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define MAPS_MAX 262144 /* mappings; vm.max_map_count is 65530 by default */
#define MAPS_MAX_BYTES (64u << 20)

struct map {
	uint64_t start, end; /* [start, end) */
	uint64_t offset; /* in the file */
	uint64_t inode; /* 0 = anonymous */
	uint32_t dev_major, dev_minor; /* of its file system; major 0: it has no block device */
	bool readable, writable, executable, shared;
	/* As the kernel prints it: not sanitised, " (deleted)" included; "" = none. NUL-terminated
	 * and owned by the struct maps; after map__parse a piece of the line and not terminated. */
	const char *path;
	size_t path_len;
};

struct maps {
	struct map *map; /* by address */
	size_t cnt;
	bool cut; /* there were more than MAPS_MAX or MAPS_MAX_BYTES */
	char *text; /* owned: the paths lie in it */
};

/* Parses one line without its newline. 0 or -EINVAL (*OUT is then undefined). */
int map__parse(const char *line, size_t len, struct map *out);

/*
 * Reads all mappings of PID. 0 and *OUT (maps__free its content), or -ESRCH, -EPERM, -ENOMEM, -EIO
 * with one line in ERR. A process that has no memory of its own (kernel thread, zombie) has none.
 */
int maps__load(pid_t pid, struct maps *out, struct err *err);
/* The same out of the text of such a file, LEN bytes and a NUL, which is taken over. 0 or -ENOMEM.
 */
int maps__from_text(char *text, size_t len, struct maps *out);
void maps__free(struct maps *maps); /* content only, NULL and zeroed structs are fine */

/* The mapping that holds ADDR, or NULL. */
const struct map *maps__find(const struct maps *maps, uint64_t addr);

#endif
