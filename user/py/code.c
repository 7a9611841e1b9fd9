// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/strbuf.h"
#include "py/copies.h"
#include "py/linetable.h"
#include "py/unicode.h"

#define SLOTS 8192 /* of the hash table: a power of two */
#define MAX_ENTRIES (SLOTS / 2)
#define MAX_BYTES (6u << 20) /* all contents; then the cache starts afresh */
#define MAX_LINETABLE (256u << 10)
#define MAX_UNITS (64u << 20) /* instructions of one code object */

/* What is read of one object: from the field that holds its length to the end of its data. */
struct blob {
	uint64_t addr;
	size_t len;
	uint8_t *data; /* owned */
};

enum { FILE_BLOB, NAME_BLOB, LINES_BLOB, BLOBS };

/* The fields of a code object that never change while it lives. */
struct key {
	uint64_t type, units; /* instructions; 0 where the bytecode is an object of its own */
	uint64_t bytecode; /* that object */
	uint64_t object[BLOBS];
	uint32_t first, version;
};

struct entry {
	struct code code; /* first: what the caller sees */
	struct key key;
	struct blob blob[BLOBS];
	size_t skip[BLOBS]; /* bytes of the blob before its data */
	uint64_t seen; /* the load that asked for it last */
	uint64_t len; /* bytes of bytecode */
	bool ok;
	bool fleeting; /* cannot be compared (no compact str): read anew each time */
	char *text[2]; /* owned: file, name */
	struct copies copies;
};

struct code_cache {
	const struct py_target *target;
	struct entry *slot[SLOTS];
	size_t entries, bytes;
	uint64_t load;
	struct entry *work[PY_MAX_FRAMES];
	struct mem_range range[(BLOBS + 2) * PY_MAX_FRAMES];
	uint8_t head[PY_MAX_FRAMES][PY_CODE_BYTES];
	uint8_t obj_head[PY_MAX_FRAMES][BLOBS][PY_STR_BYTES];
	uint8_t *scratch;
	size_t scratch_len;
};

static void entry_clear(struct code_cache *cache, struct entry *e)
{
	for (size_t i = 0; i < BLOBS; i++) {
		cache->bytes -= e->blob[i].len;
		free(e->blob[i].data);
		e->blob[i] = (struct blob){ 0 };
	}
	free(e->text[FILE_BLOB]);
	free(e->text[NAME_BLOB]);
	e->text[FILE_BLOB] = e->text[NAME_BLOB] = NULL;
	copies__free(&e->copies);
	e->code.file = e->code.name = "";
	e->ok = false;
}

static void clear(struct code_cache *cache)
{
	for (size_t i = 0; i < SLOTS; i++) {
		if (!cache->slot[i])
			continue;
		entry_clear(cache, cache->slot[i]);
		free(cache->slot[i]);
		cache->slot[i] = NULL;
	}
	cache->entries = 0;
}

struct code_cache *code_cache__new(const struct py_target *t)
{
	struct code_cache *cache = calloc(1, sizeof(*cache));

	if (cache)
		cache->target = t;
	return cache;
}

void code_cache__free(struct code_cache *cache)
{
	if (!cache)
		return;
	clear(cache);
	free(cache->scratch);
	free(cache);
}

static struct entry *find_or_add(struct code_cache *cache, uint64_t addr)
{
	size_t i = (size_t)((addr >> 4) * 0x9e3779b97f4a7c15ull >> 32) % SLOTS;
	struct entry *e;

	/* never more than half full, plus one stack: there is a free slot */
	for (; cache->slot[i]; i = (i + 1) % SLOTS)
		if (cache->slot[i]->code.addr == addr)
			return cache->slot[i];
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->code = (struct code){ .addr = addr, .file = "", .name = "" };
	cache->slot[i] = e;
	cache->entries++;
	return e;
}

static int parse_key(const struct py_layout *l, const uint8_t *head, struct key *k)
{
	struct bytes b = { head, l->code.span };

	*k = (struct key){ 0 };
	if (bytes_u64(&b, l->object.type, &k->type) ||
	    bytes_u64(&b, l->code.filename, &k->object[FILE_BLOB]) ||
	    bytes_u64(&b, l->code.qualname, &k->object[NAME_BLOB]) ||
	    bytes_u64(&b, l->code.linetable, &k->object[LINES_BLOB]) ||
	    bytes_u32(&b, l->code.firstlineno, &k->first))
		return -EINVAL;
	if (l->code.version != PY_NONE && bytes_u32(&b, l->code.version, &k->version))
		return -EINVAL;
	if (l->code.object != PY_NONE)
		return bytes_u64(&b, l->code.object, &k->bytecode);
	if (bytes_u64(&b, l->object.var_size, &k->units))
		return -EINVAL;
	return k->units <= MAX_UNITS ? 0 : -EINVAL;
}

static uint64_t parse_copies(const struct py_layout *l, const uint8_t *head)
{
	struct bytes b = { head, l->code.span };
	uint64_t addr = 0;

	if (l->code.copies != PY_NONE)
		bytes_u64(&b, l->code.copies, &addr);
	return addr;
}

/* ---- comparing what is cached ---------------------------------------------------------------- */

static int reserve(struct code_cache *cache, size_t len)
{
	uint8_t *more;

	if (len <= cache->scratch_len)
		return 0;
	more = realloc(cache->scratch, len);
	if (!more)
		return -ENOMEM;
	cache->scratch = more;
	cache->scratch_len = len;
	return 0;
}

static bool can_be_compared(const struct entry *e)
{
	return e->ok && !e->fleeting;
}

/*
 * One call for the heads of work[0..CNT), and behind each its copies and what is cached of it, as
 * the target has it now.
 */
static int read_heads(struct code_cache *cache, size_t cnt)
{
	size_t total = 0, at = 0, n = 0;

	for (size_t i = 0; i < cnt; i++) {
		total += copies__len(&cache->work[i]->copies);
		for (size_t k = 0; can_be_compared(cache->work[i]) && k < BLOBS; k++)
			total += cache->work[i]->blob[k].len;
	}
	if (reserve(cache, total))
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		const struct entry *e = cache->work[i];
		size_t len = copies__len(&e->copies);

		cache->range[n++] = (struct mem_range){ e->code.addr, cache->head[i],
							cache->target->layout.code.span, 0 };
		if (len)
			cache->range[n++] =
				(struct mem_range){ e->copies.at, cache->scratch + at, len, 0 };
		at += len;
		for (size_t k = 0; can_be_compared(e) && k < BLOBS; k++) {
			const struct blob *b = &e->blob[k];

			cache->range[n++] =
				(struct mem_range){ b->addr, cache->scratch + at, b->len, 0 };
			at += b->len;
		}
	}
	return mem__readv_any(cache->target->mem, cache->range, n);
}

static bool same_blobs(const struct entry *e, const struct mem_range *now)
{
	for (size_t k = 0; k < BLOBS; k++)
		if (now[k].err || memcmp(now[k].buf, e->blob[k].data, now[k].len))
			return false;
	return true;
}

/* ---- reading what is not cached -------------------------------------------------------------- */

/* Which bytes of a str are wanted; at most MAX characters. */
static int plan_str(const struct py_target *t, struct entry *e, unsigned int which,
		    const uint8_t *head, uint64_t max)
{
	const struct py_layout *l = &t->layout;
	struct bytes b = { head, l->str.ascii_size };
	uint64_t addr = e->key.object[which], data = addr, type;
	struct py_str s;

	if (bytes_u64(&b, l->object.type, &type) || (t->str_type && type != t->str_type) ||
	    py_str__parse(l, &b, &s))
		return -EINVAL;
	if (s.len > max)
		s.len = max;
	if (s.compact) {
		e->blob[which].addr = addr + l->str.length;
		e->skip[which] = s.data - l->str.length;
	} else {
		if (mem__read_u64(t->mem, addr + s.data, &data))
			return -EINVAL;
		e->blob[which].addr = data;
		e->skip[which] = 0;
		e->fleeting = true;
	}
	e->blob[which].len = e->skip[which] + s.len * s.kind;
	return 0;
}

static int plan_lines(const struct py_target *t, struct entry *e, const uint8_t *head)
{
	const struct py_layout *l = &t->layout;
	struct bytes b = { head, l->bytes.data };
	uint64_t len;

	if (bytes_u64(&b, l->object.var_size, &len) || len > MAX_LINETABLE)
		return -EINVAL;
	e->blob[LINES_BLOB].addr = e->key.object[LINES_BLOB] + l->object.var_size;
	e->skip[LINES_BLOB] = l->bytes.data - l->object.var_size;
	e->blob[LINES_BLOB].len = e->skip[LINES_BLOB] + len;
	return 0;
}

/* Decides what to read for E and gets the memory for it. */
static int plan(struct code_cache *cache, struct entry *e, uint8_t head[BLOBS][PY_STR_BYTES])
{
	const struct py_target *t = cache->target;
	struct blob *b;

	e->fleeting = false;
	if (plan_str(t, e, FILE_BLOB, head[FILE_BLOB], PY_MAX_PATH) ||
	    plan_str(t, e, NAME_BLOB, head[NAME_BLOB], PY_MAX_STRING) ||
	    plan_lines(t, e, head[LINES_BLOB])) {
		for (size_t k = 0; k < BLOBS; k++)
			e->blob[k] = (struct blob){ 0 };
		return -EINVAL;
	}
	for (size_t k = 0; k < BLOBS; k++) {
		b = &e->blob[k];
		b->data = malloc(b->len ? b->len : 1);
		cache->bytes += b->len;
	}
	return e->blob[0].data && e->blob[1].data && e->blob[2].data ? 0 : -ENOMEM;
}

static char *decode(const struct py_target *t, const struct entry *e, unsigned int which,
		    const uint8_t *head)
{
	struct bytes b = { head, t->layout.str.ascii_size };
	const struct blob *blob = &e->blob[which];
	struct strbuf text = STRBUF_INIT;
	struct bytes data;
	struct py_str s;

	if (py_str__parse(&t->layout, &b, &s))
		return NULL;
	data = (struct bytes){ blob->data + e->skip[which], blob->len - e->skip[which] };
	py_str__decode(&text, &data, s.kind);
	if (data.len / s.kind < s.len)
		strbuf_adds(&text, "...");
	return strbuf_detach(&text);
}

static void finish(struct code_cache *cache, struct entry *e, uint8_t head[BLOBS][PY_STR_BYTES])
{
	for (unsigned int which = FILE_BLOB; which <= NAME_BLOB; which++)
		e->text[which] = decode(cache->target, e, which, head[which]);
	if (!e->text[FILE_BLOB] || !e->text[NAME_BLOB]) {
		entry_clear(cache, e);
		return;
	}
	e->code.file = e->text[FILE_BLOB];
	e->code.name = e->text[NAME_BLOB];
	e->ok = true;
}

/* Before 3.11 the bytecode is an object whose length is of interest; later the units tell. */
static size_t plan_len(const struct py_layout *l, struct entry *e, struct mem_range *range)
{
	e->len = e->key.units * 2;
	if (l->code.object == PY_NONE)
		return 0;
	*range = (struct mem_range){ e->key.bytecode + l->object.var_size, &e->len, 8, 0 };
	return 1;
}

/* Two calls for any number of entries: the heads of their objects, then the contents. */
static int fetch(struct code_cache *cache, struct entry **list, size_t cnt)
{
	const struct py_layout *l = &cache->target->layout;
	size_t planned = 0, n = 0;
	int err;

	for (size_t i = 0; i < cnt; i++)
		for (size_t k = 0; k < BLOBS; k++)
			cache->range[n++] = (struct mem_range){
				.addr = list[i]->key.object[k],
				.buf = cache->obj_head[i][k],
				.len = k == LINES_BLOB ? l->bytes.data : l->str.ascii_size,
			};
	for (size_t i = 0; i < cnt; i++)
		n += plan_len(l, list[i], &cache->range[n]);
	err = mem__readv_any(cache->target->mem, cache->range, n);
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < cnt; i++) {
		struct mem_range *r = &cache->range[i * BLOBS];

		if (r[0].err || r[1].err || r[2].err || list[i]->len > MAX_UNITS * 2)
			continue;
		err = plan(cache, list[i], cache->obj_head[i]);
		if (err == -ENOMEM)
			return err;
		if (err)
			continue;
		if (planned != i) {
			memcpy(cache->obj_head[planned], cache->obj_head[i],
			       sizeof(cache->obj_head[0]));
			list[planned] = list[i];
		}
		planned++;
	}
	n = 0;
	for (size_t i = 0; i < planned; i++)
		for (size_t k = 0; k < BLOBS; k++)
			cache->range[n++] =
				(struct mem_range){ list[i]->blob[k].addr, list[i]->blob[k].data,
						    list[i]->blob[k].len, 0 };
	err = mem__readv_any(cache->target->mem, cache->range, n);
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < planned; i++) {
		struct mem_range *r = &cache->range[i * BLOBS];

		if (r[0].err || r[1].err || r[2].err)
			entry_clear(cache, list[i]);
		else
			finish(cache, list[i], cache->obj_head[i]);
	}
	return 0;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* The different code objects of S, into work[]. */
static ssize_t gather(struct code_cache *cache, const struct stack *s,
		      const struct code *out[PY_MAX_FRAMES])
{
	struct entry *e;
	size_t n = 0;

	cache->load++;
	for (size_t i = 0; i < s->cnt; i++) {
		e = find_or_add(cache, s->frame[i].code);
		if (!e)
			return -ENOMEM;
		out[i] = &e->code;
		if (e->seen != cache->load)
			cache->work[n++] = e;
		e->seen = cache->load;
	}
	return (ssize_t)n;
}

/*
 * Looks at work[0..CNT) again. Entries that are no code objects (any more) are cleared; those that
 * are not cached, or not any more, come first in work[] (returned number).
 */
static ssize_t sort_out(struct code_cache *cache, size_t cnt)
{
	const struct py_target *t = cache->target;
	struct mem_range *r = cache->range;
	size_t fetch_cnt = 0;
	struct entry *e;
	struct key k;
	int err;

	err = read_heads(cache, cnt);
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < cnt; i++) {
		const struct mem_range *head = r++, *copies = NULL, *blobs;
		uint64_t list;
		bool cached;

		e = cache->work[i];
		cached = can_be_compared(e);
		if (copies__len(&e->copies))
			copies = r++;
		blobs = r;
		r += cached ? BLOBS : 0;
		if (head->err || parse_key(&t->layout, cache->head[i], &k) ||
		    k.type != t->code_type) {
			entry_clear(cache, e);
			continue;
		}
		list = parse_copies(&t->layout, cache->head[i]);
		if (copies && !copies->err && list == e->copies.at &&
		    !copies__again(&e->copies, copies->buf))
			e->copies.seen = cache->load;
		if (cached && !memcmp(&e->key, &k, sizeof(k)) && same_blobs(e, blobs)) {
			e->copies.at = list;
			continue;
		}
		entry_clear(cache, e);
		e->copies.at = list;
		e->key = k;
		cache->work[fetch_cnt++] = e;
	}
	return (ssize_t)fetch_cnt;
}

/* Reads the copies of S that the heads did not come with. */
static int load_copies(struct code_cache *cache, const struct stack *s,
		       const struct code *out[PY_MAX_FRAMES])
{
	struct copies *list[PY_MAX_FRAMES];
	struct entry *e;
	size_t n = 0;

	for (size_t i = 0; i < s->cnt; i++) {
		e = (struct entry *)out[i];
		if (!e || !e->copies.at || e->copies.seen == cache->load)
			continue;
		e->copies.seen = cache->load;
		list[n++] = &e->copies;
	}
	return copies__load(cache->target->mem, list, n, cache->range);
}

int code_cache__load(struct code_cache *cache, const struct stack *s,
		     const struct code *out[PY_MAX_FRAMES])
{
	ssize_t n;
	int err;

	if (cache->entries >= MAX_ENTRIES - PY_MAX_FRAMES || cache->bytes > MAX_BYTES)
		clear(cache);
	n = gather(cache, s, out);
	if (n > 0)
		n = sort_out(cache, (size_t)n);
	if (n < 0)
		return (int)n;
	err = n ? fetch(cache, cache->work, (size_t)n) : 0;
	for (size_t i = 0; i < s->cnt; i++)
		if (!((const struct entry *)out[i])->ok)
			out[i] = NULL;
	if (!err && cache->target->layout.code.copies != PY_NONE)
		err = load_copies(cache, s, out);
	return err;
}

/* before the first instruction: a frame that is still being set up */
static bool in_code(const struct entry *e, int64_t offset)
{
	return offset >= -2 && offset < (int64_t)e->len;
}

static int64_t offset_of(const struct code_cache *cache, const struct entry *e, uint64_t instr)
{
	int64_t offset = (int64_t)(instr - (e->code.addr + cache->target->layout.code.bytecode));

	for (size_t i = 0; !in_code(e, offset) && i < e->copies.cnt; i++)
		if (e->copies.addr[i])
			offset = (int64_t)(instr - e->copies.addr[i]);
	return offset;
}

int code__place(const struct code_cache *cache, const struct code *code, uint64_t instr,
		struct line_place *out)
{
	const struct entry *e = (const struct entry *)code;
	const struct blob *b = &e->blob[LINES_BLOB];
	struct bytes table = { b->data + e->skip[LINES_BLOB], b->len - e->skip[LINES_BLOB] };
	int64_t offset = offset_of(cache, e, instr);

	*out = (struct line_place){ .column = -1, .end_column = -1 };
	if (!in_code(e, offset))
		return -ERANGE;
	switch (cache->target->layout.code.lines) {
	case PY_LINES_LNOTAB:
		out->line = linetable__line_lnotab(&table, (int)e->key.first, offset);
		break;
	case PY_LINES_RANGES:
		out->line = linetable__line_ranges(&table, (int)e->key.first, offset);
		break;
	case PY_LINES_LOCATIONS:
		linetable__place(&table, (int)e->key.first, offset, out);
		break;
	}
	return 0;
}

int code__line(const struct code_cache *cache, const struct code *code, uint64_t instr)
{
	struct line_place place;
	int err = code__place(cache, code, instr, &place);

	return err ? err : place.line;
}
