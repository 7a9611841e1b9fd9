// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/maps.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

static int parse(const char *line, struct map *out)
{
	return map__parse(line, strlen(line), out);
}

static void lines(void)
{
	static const char *const bad[] = {
		"",
		"00400000-0041f000",
		"00400000 0041f000 r-xp 0 0:0 0",
		"0041f000-00400000 r-xp 00000000 00:00 0",
		"00400000-00400000 r-xp 00000000 00:00 0",
		"zz400000-0041f000 r-xp 00000000 00:00 0",
		"00400000-0041f000 r?xp 00000000 00:00 0",
		"00400000-0041f000 r-xp 00000000 00 0",
		"00400000-0041f000 r-xp 00000000 00:00 0x",
		"10000000000000000-20000000000000000 r-xp 00000000 00:00 0",
	};
	struct map m;

	is_int(parse("55d0c0a00000-55d0c0a21000 r-xp 00001000 fe:01 1234    /usr/bin/my python (deleted)",
		     &m),
	       0, "a file");
	is_int(m.start, 0x55d0c0a00000, "start");
	is_int(m.end, 0x55d0c0a21000, "end");
	ok(m.readable && !m.writable && m.executable && !m.shared, "permissions");
	is_int(m.offset, 0x1000, "offset");
	is_int(m.inode, 1234, "inode is decimal");
	is_str(m.path, "/usr/bin/my python (deleted)", "path with blanks");
	is_int(parse("7ffd000-7ffe000 rw-s 00000000 00:00 0", &m), 0, "anonymous");
	ok(m.writable && m.shared && !m.path_len, "shared, no path");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(parse(bad[i], &m), -EINVAL, "refused: '%s'", bad[i]);
}

static void own(void)
{
	struct err err = { { 0 } };
	const struct map *map;
	struct maps maps;
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	is_int(maps__load(getpid(), &maps, &err), 0, "our own mappings %s", err.text);
	map = maps__find(&maps, (uintptr_t)&own);
	ok(map && map->executable && strstr(map->path, "test_maps"), "this function's");
	map = maps__find(&maps, (uintptr_t)page);
	ok(map && map->readable && !map->executable && !map->inode, "an anonymous page's");
	ok(!maps__find(&maps, 0), "nothing lies at 0");
	ok(!maps__find(&maps, UINT64_MAX), "nor at the end");
	maps__free(&maps);
	maps__free(&maps);
	maps__free(NULL);
	is_int(maps__load(0x7fffffff, &maps, &err), -ESRCH, "no such process");
	is_int(maps.cnt, 0, "leaves none");
}

int main(void)
{
	plan(9 + 10 + 7);
	lines();
	own();
	return done();
}
