// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/maps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc/procfile.h"
#include "proc/task.h"

/* Digits of BASE at *P, at least one, no overflow; *P moves behind them. */
static int number(const char **p, const char *end, unsigned int base, uint64_t *out)
{
	const char *start = *p;
	uint64_t v = 0;
	unsigned int d;

	for (; *p < end; (*p)++) {
		if (**p >= '0' && **p <= '9')
			d = (unsigned int)(**p - '0');
		else if (**p >= 'a' && **p <= 'f')
			d = (unsigned int)(**p - 'a') + 10;
		else
			break;
		if (d >= base)
			break;
		if (v > (UINT64_MAX - d) / base)
			return -EINVAL;
		v = v * base + d;
	}
	*out = v;
	return *p == start ? -EINVAL : 0;
}

static int expect(const char **p, const char *end, char c)
{
	if (*p >= end || **p != c)
		return -EINVAL;
	(*p)++;
	return 0;
}

static int permissions(const char **p, const char *end, struct map *out)
{
	const char *s = *p;

	if (end - s < 4 || !strchr("r-", s[0]) || !strchr("w-", s[1]) || !strchr("x-", s[2]) ||
	    !strchr("ps", s[3]) || memchr(s, '\0', 4))
		return -EINVAL;
	out->readable = s[0] == 'r';
	out->writable = s[1] == 'w';
	out->executable = s[2] == 'x';
	out->shared = s[3] == 's';
	*p += 4;
	return 0;
}

/* 55d0c0a00000-55d0c0a21000 r-xp 00001000 fe:01 1234    /usr/bin/python3.11 */
int map__parse(const char *line, size_t len, struct map *out)
{
	const char *p = line, *end = line + len;
	uint64_t major, minor;

	*out = (struct map){ .path = "" };
	if (number(&p, end, 16, &out->start) || expect(&p, end, '-') ||
	    number(&p, end, 16, &out->end) || expect(&p, end, ' ') || permissions(&p, end, out) ||
	    expect(&p, end, ' ') || number(&p, end, 16, &out->offset) || expect(&p, end, ' ') ||
	    number(&p, end, 16, &major) || expect(&p, end, ':') || number(&p, end, 16, &minor) ||
	    expect(&p, end, ' ') || number(&p, end, 10, &out->inode))
		return -EINVAL;
	if (out->start >= out->end)
		return -EINVAL;
	out->dev_major = (uint32_t)major;
	out->dev_minor = (uint32_t)minor;
	if (p < end && *p != ' ')
		return -EINVAL;
	while (p < end && *p == ' ')
		p++;
	out->path = p;
	out->path_len = (size_t)(end - p);
	return 0;
}

static int add(struct maps *maps, size_t *cap, const struct map *map)
{
	size_t n = *cap ? *cap * 2 : 256;
	struct map *more;

	if (maps->cnt == *cap) {
		more = realloc(maps->map, n * sizeof(*more));
		if (!more)
			return -ENOMEM;
		maps->map = more;
		*cap = n;
	}
	maps->map[maps->cnt++] = *map;
	return 0;
}

/* A line that cannot be parsed is left out: a new kernel may say more, it will not say less. */
static int parse_all(struct maps *maps, size_t len)
{
	char *line = maps->text, *end = maps->text + len, *nl;
	size_t cap = 0;
	struct map map;

	for (; line < end; line = nl + 1) {
		nl = memchr(line, '\n', (size_t)(end - line));
		if (!nl)
			break;
		*nl = '\0';
		if (map__parse(line, (size_t)(nl - line), &map))
			continue;
		if (maps->cnt == MAPS_MAX) {
			maps->cut = true;
			break;
		}
		if (add(maps, &cap, &map))
			return -ENOMEM;
	}
	return 0;
}

static ssize_t slurp(pid_t pid, char **text, char *path, size_t path_len)
{
	struct task_list list;
	ssize_t len;

	snprintf(path, path_len, "/proc/%d/maps", pid);
	len = procfile__slurp(text, MAPS_MAX_BYTES, path);
	if (len || task_list__load(pid, &list))
		return len;
	/* the first thread has ended, and with it its view: the others still have theirs */
	for (size_t i = 0; i < list.cnt && !len; i++) {
		free(*text);
		snprintf(path, path_len, "/proc/%d/task/%d/maps", pid, list.tid[i]);
		len = procfile__slurp(text, MAPS_MAX_BYTES, path);
		if (len == -ENOENT || len == -ESRCH)
			len = 0;
	}
	task_list__free(&list);
	return len;
}

int maps__load(pid_t pid, struct maps *out, struct err *err)
{
	char path[64];
	ssize_t len;

	*out = (struct maps){ 0 };
	len = slurp(pid, &out->text, path, sizeof(path));
	if (len == -ESRCH || len == -ENOENT)
		return err_set(err, -ESRCH, "there is no process %d", pid);
	if (len == -EPERM)
		return err_set(err, -EPERM,
			       "may not read %s: be root, or have CAP_SYS_PTRACE (see ptrace(2))",
			       path);
	if (len < 0)
		return err_set(err, (int)len, "cannot read %s: %s", path, strerror((int)-len));
	out->cut = len == MAPS_MAX_BYTES;
	if (parse_all(out, (size_t)len)) {
		maps__free(out);
		return err_set(err, -ENOMEM, "no memory for the mappings of process %d", pid);
	}
	return 0;
}

int maps__from_text(char *text, size_t len, struct maps *out)
{
	*out = (struct maps){ .text = text };
	if (!parse_all(out, len))
		return 0;
	maps__free(out);
	return -ENOMEM;
}

void maps__free(struct maps *maps)
{
	if (!maps)
		return;
	free(maps->map);
	free(maps->text);
	*maps = (struct maps){ 0 };
}

const struct map *maps__find(const struct maps *maps, uint64_t addr)
{
	size_t lo = 0, hi = maps->cnt, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (addr < maps->map[mid].start)
			hi = mid;
		else if (addr >= maps->map[mid].end)
			lo = mid + 1;
		else
			return &maps->map[mid];
	}
	return NULL;
}
