// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/recording.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/strbuf.h"
#include "proc/maps.h"

#define MAGIC "perpetuo-recording 1"
#define MAX_LINES (RECORDING_MAX_BYTES / RECORDING_LINE)
#define HEAD_BYTES 16 /* of a piece: address, length */

struct line {
	uint64_t addr;
	uint8_t data[RECORDING_LINE];
};

struct recorder {
	struct line *line; /* owned; as they were read, some of them twice */
	size_t cnt, cap;
	int err; /* sticks */
};

/* ---- keeping what is read -------------------------------------------------------------------- */

struct recorder_mem {
	struct mem *from; /* owned */
	struct recorder *rec;
};

static int by_addr(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* By address, each once. */
static void tidy(struct recorder *rec)
{
	size_t n = 0;

	if (rec->cnt)
		qsort(rec->line, rec->cnt, sizeof(*rec->line), by_addr);
	for (size_t i = 0; i < rec->cnt; i++)
		if (!n || rec->line[n - 1].addr != rec->line[i].addr)
			rec->line[n++] = rec->line[i];
	rec->cnt = n;
}

static int make_room(struct recorder *rec)
{
	size_t cap = rec->cap ? rec->cap * 2 : 4096;
	struct line *more;

	if (rec->cnt < rec->cap)
		return 0;
	tidy(rec);
	if (rec->cnt < rec->cap / 2)
		return 0;
	if (cap > 2 * MAX_LINES)
		return -EFBIG;
	more = realloc(rec->line, cap * sizeof(*more));
	if (!more)
		return -ENOMEM;
	rec->line = more;
	rec->cap = cap;
	return 0;
}

static void keep(struct recorder_mem *m, uint64_t addr, size_t len)
{
	struct recorder *rec = m->rec;

	for (uint64_t at = addr & ~(uint64_t)(RECORDING_LINE - 1); !rec->err && at < addr + len;
	     at += RECORDING_LINE) {
		rec->err = make_room(rec);
		if (rec->err)
			return;
		rec->line[rec->cnt].addr = at;
		if (!mem__read(m->from, at, rec->line[rec->cnt].data, RECORDING_LINE))
			rec->cnt++;
	}
}

static ssize_t recorder_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	struct recorder_mem *m = ctx;
	int err;

	for (size_t i = 0; i < cnt; i++) {
		err = mem__read(m->from, range[i].addr, range[i].buf, range[i].len);
		if (err)
			return i || err == -EFAULT ? (ssize_t)i : err;
		keep(m, range[i].addr, range[i].len);
	}
	return (ssize_t)cnt;
}

static int recorder_check(void *ctx)
{
	return mem__check(((struct recorder_mem *)ctx)->from);
}

static void recorder_mem_free(void *ctx)
{
	struct recorder_mem *m = ctx;

	mem__free(m->from);
	free(m);
}

static const struct mem_ops recorder_ops = {
	.readv = recorder_readv,
	.check = recorder_check,
	.free = recorder_mem_free,
	.sparse = true,
};

int recorder__new(struct mem *from, struct mem **out, struct recorder **rec)
{
	struct recorder_mem *m = calloc(1, sizeof(*m));

	*out = NULL;
	*rec = calloc(1, sizeof(**rec));
	if (!m || !*rec) {
		mem__free(from);
		free(m);
		free(*rec);
		*rec = NULL;
		return -ENOMEM;
	}
	*m = (struct recorder_mem){ .from = from, .rec = *rec };
	if (!mem__from_ops(&recorder_ops, m, out))
		return 0;
	recorder__free(*rec);
	*rec = NULL;
	return -ENOMEM;
}

void recorder__free(struct recorder *rec)
{
	if (!rec)
		return;
	free(rec->line);
	free(rec);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The mapped files, without what differs from machine to machine: device and inode. */
static int tell_maps(pid_t pid, struct strbuf *out, struct err *err)
{
	struct maps maps;
	int ret = maps__load(pid, &maps, err);

	if (ret)
		return ret;
	for (size_t i = 0; i < maps.cnt; i++) {
		const struct map *m = &maps.map[i];

		if (m->path[0] == '/')
			strbuf_addf(out, "%lx-%lx %c%c%c%c %lx 00:00 0 %s\n", m->start, m->end,
				    m->readable ? 'r' : '-', m->writable ? 'w' : '-',
				    m->executable ? 'x' : '-', m->shared ? 's' : 'p', m->offset,
				    m->path);
	}
	maps__free(&maps);
	return 0;
}

/* How many lines follow each other from line I on. */
static size_t run_len(const struct recorder *rec, size_t i)
{
	size_t n = 1;

	while (i + n < rec->cnt && rec->line[i + n].addr == rec->line[i].addr + n * RECORDING_LINE)
		n++;
	return n;
}

static bool write_pieces(gzFile file, const struct recorder *rec)
{
	size_t cnt = 0, n;
	uint64_t head[2];

	for (size_t i = 0; i < rec->cnt; i += run_len(rec, i))
		cnt++;
	if (gzprintf(file, "pieces %zu\n", cnt) <= 0)
		return false;
	for (size_t i = 0; i < rec->cnt; i += n) {
		n = run_len(rec, i);
		head[0] = htole64(rec->line[i].addr);
		head[1] = htole64(n * RECORDING_LINE);
		if (gzwrite(file, head, sizeof(head)) != sizeof(head))
			return false;
		for (size_t k = i; k < i + n; k++)
			if (gzwrite(file, rec->line[k].data, RECORDING_LINE) != RECORDING_LINE)
				return false;
	}
	return true;
}

static int write_file(struct recorder *rec, const char *exe, const struct strbuf *maps,
		      const char *path, struct err *err)
{
	gzFile file = gzopen(path, "wb9");
	bool good;

	if (!file)
		return err_set(err, -EIO, "cannot write %s: %s", path, strerror(errno));
	good = gzprintf(file, MAGIC "\nexe %s\nmaps %zu\n", exe, maps->len) > 0 &&
	       gzwrite(file, strbuf_str(maps), (unsigned int)maps->len) == (int)maps->len &&
	       write_pieces(file, rec);
	if (gzclose(file) != Z_OK || !good)
		return err_set(err, -EIO, "cannot write all of %s", path);
	return 0;
}

int recorder__save(struct recorder *rec, pid_t pid, const char *path, struct err *err)
{
	struct strbuf maps = STRBUF_INIT;
	char link[32], exe[PATH_MAX];
	ssize_t n;
	int ret;

	if (rec->err)
		return err_set(err, rec->err, "what was read of process %d is too much", pid);
	tidy(rec);
	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	ret = tell_maps(pid, &maps, err);
	if (!ret && (!strbuf_str(&maps) || maps.len > RECORDING_MAX_MAPS))
		ret = err_set(err, -ENOMEM, "too many mappings in process %d", pid);
	if (!ret)
		ret = write_file(rec, exe, &maps, path, err);
	strbuf_free(&maps);
	return ret;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_all(gzFile file, void *buf, size_t len)
{
	return len <= INT_MAX && gzread(file, buf, (unsigned int)len) == (int)len;
}

/* A line "KEY VALUE": VALUE, without its newline; NULL: it is another one. */
static const char *value_of(gzFile file, const char *key, char *buf, int cap)
{
	size_t n = strlen(key);
	char *end;

	if (!gzgets(file, buf, cap) || strncmp(buf, key, n) || buf[n] != ' ')
		return NULL;
	end = strchr(buf, '\n');
	if (!end)
		return NULL;
	*end = '\0';
	return buf + n + 1;
}

static bool count_of(gzFile file, const char *key, size_t max, size_t *out)
{
	char buf[64], *end;
	const char *value = value_of(file, key, buf, sizeof(buf));
	unsigned long n;

	if (!value || *value < '0' || *value > '9')
		return false;
	n = strtoul(value, &end, 10);
	*out = n;
	return !*end && n <= max;
}

/* One behind the other, as they stand in the file. */
static bool add_piece(gzFile file, struct recording *r, struct recording_piece *p, uint64_t after)
{
	uint64_t head[2];
	uint8_t *more;

	if (!read_all(file, head, sizeof(head)))
		return false;
	p->addr = le64toh(head[0]);
	p->len = le64toh(head[1]);
	if (p->addr < after || !p->len || p->len > RECORDING_MAX_BYTES - r->len ||
	    p->addr > UINT64_MAX - p->len)
		return false;
	more = realloc(r->data, r->len + p->len);
	if (!more)
		return false;
	r->data = more;
	r->len += p->len;
	return read_all(file, r->data + r->len - p->len, p->len);
}

static bool read_pieces(gzFile file, struct recording *r)
{
	uint64_t after = 0;
	size_t at = 0;

	r->piece = calloc(r->cnt + 1, sizeof(*r->piece));
	if (!r->piece)
		return false;
	for (size_t i = 0; i < r->cnt; i++) {
		if (!add_piece(file, r, &r->piece[i], after))
			return false;
		after = r->piece[i].addr + r->piece[i].len;
	}
	for (size_t i = 0; i < r->cnt; at += r->piece[i++].len)
		r->piece[i].data = r->data + at;
	return true;
}

static bool read_file(gzFile file, struct recording *r)
{
	char line[PATH_MAX + 16];
	const char *exe;
	size_t n;

	if (!gzgets(file, line, sizeof(line)) || strcmp(line, MAGIC "\n"))
		return false;
	exe = value_of(file, "exe", line, sizeof(line));
	r->exe = exe ? strdup(exe) : NULL;
	if (!r->exe || !count_of(file, "maps", RECORDING_MAX_MAPS, &n))
		return false;
	r->maps = calloc(1, n + 1);
	return r->maps && read_all(file, r->maps, n) &&
	       count_of(file, "pieces", MAX_LINES, &r->cnt) && read_pieces(file, r);
}

int recording__load(const char *path, struct recording *out, struct err *err)
{
	gzFile file;
	bool good;

	*out = (struct recording){ 0 };
	file = gzopen(path, "rb");
	if (!file)
		return err_set(err, -ENOENT, "cannot open %s: %s", path, strerror(errno));
	good = read_file(file, out);
	gzclose(file);
	if (good)
		return 0;
	recording__free(out);
	return err_set(err, -EINVAL, "%s is no recording, or a damaged one", path);
}

void recording__free(struct recording *r)
{
	free(r->exe);
	free(r->maps);
	free(r->piece);
	free(r->data);
	*r = (struct recording){ 0 };
}

/* ---- as memory ------------------------------------------------------------------------------- */

static const struct recording_piece *find(const struct recording *r, uint64_t addr)
{
	size_t lo = 0, hi = r->cnt, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (addr < r->piece[mid].addr)
			hi = mid;
		else if (addr - r->piece[mid].addr >= r->piece[mid].len)
			lo = mid + 1;
		else
			return &r->piece[mid];
	}
	return NULL;
}

static ssize_t recording_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	const struct recording_piece *p;
	uint64_t off;

	for (size_t i = 0; i < cnt; i++) {
		if (!range[i].len)
			continue;
		p = find(ctx, range[i].addr);
		if (!p)
			return (ssize_t)i;
		off = range[i].addr - p->addr;
		if (range[i].len > p->len - off)
			return (ssize_t)i;
		memcpy(range[i].buf, p->data + off, range[i].len);
	}
	return (ssize_t)cnt;
}

int recording__mem(struct recording *r, struct mem **out)
{
	static const struct mem_ops ops = { .readv = recording_readv, .sparse = true };

	return mem__from_ops(&ops, r, out);
}
