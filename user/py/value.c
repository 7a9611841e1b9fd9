// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/object.h"
#include "py/repr.h"
#include "py/unicode.h"
#include "py/value_batch.h"

#define MAX_ITEM_CHARS 64 /* of a str or bytes in a container */
#define PEEK_BYTES PY_HEAD_BYTES /* of every object: most end in it */
#define PAGE 4096u
#define MAX_LEN (1ull << 40) /* more than any machine holds: damaged */
#define DICT_LOOK 64 /* entries that are looked at, some may be deleted */
#define DICT_PEEK 256 /* bytes of the keys: small dicts end in it */
#define SET_LOOK 128 /* the same of a set, most are empty */
#define SET_ENTRY 16
#define SET_DELETED UINT64_MAX /* the hash of a deleted entry: -1 */
#define CONTENT_BYTES (1u << 20) /* all contents of a load */
#define AGAIN_BYTES (CONTENT_BYTES + 8 * VALUE_BATCH) /* what of it is read again, and cells */
#define NEGATIVE 2 /* sign bits of a tagged int */

_Static_assert(VALUE_BATCH <= MAX_ITEMS_LOADED, "one buffer of heads serves both");
_Static_assert(PY_STR_BYTES <= PY_HEAD_BYTES, "the head of a str fits, too");

struct value_reader *value_reader__new(const struct py_target *t)
{
	struct value_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->target = t;
	r->classes = classes__new(t);
	r->content = malloc(CONTENT_BYTES + AGAIN_BYTES);
	if (r->classes && r->content)
		return r;
	value_reader__free(r);
	return NULL;
}

void value_reader__free(struct value_reader *r)
{
	if (!r)
		return;
	classes__free(r->classes);
	free(r->content);
	free(r);
}

void value_reader__begin(struct value_reader *r, const struct redact *redact)
{
	r->redact = redact;
	r->cnt = 0;
	classes__begin(r->classes);
}

/* ---- reading many at once -------------------------------------------------------------------- */

static void want(struct value_reader *r, struct value *v, uint64_t addr, void *buf, size_t len)
{
	struct wanted *w = &r->wanted;

	w->range[w->cnt] = (struct mem_range){ addr, buf, len, 0 };
	w->who[w->cnt++] = v;
}

/* A value of which something is not there is VALUE_UNREADABLE. */
static int fetch(struct value_reader *r)
{
	struct wanted *w = &r->wanted;
	size_t cnt = w->cnt;
	int err = mem__readv_any(r->target->mem, w->range, cnt);

	w->cnt = 0;
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < cnt; i++)
		if (w->range[i].err)
			w->who[i]->kind = VALUE_UNREADABLE;
	return 0;
}

/* Memory for LEN bytes of content until the next load; NULL: no more. */
static uint8_t *take(struct value_reader *r, size_t len)
{
	uint8_t *p = r->content + r->used;

	if (len > r->limit - r->used)
		return NULL;
	r->used += len;
	return p;
}

static enum value_kind kind_of_type(const struct py_target *t, uint64_t type)
{
	const struct {
		uint64_t type;
		enum value_kind kind;
	} kinds[] = {
		{ t->known.integer, VALUE_INT },
		{ t->known.number, VALUE_FLOAT },
		{ t->str_type, VALUE_STR },
		{ t->known.bytes, VALUE_BYTES },
		{ t->known.tuple, VALUE_TUPLE },
		{ t->known.list, VALUE_LIST },
		{ t->dict_type, VALUE_DICT },
		{ t->known.set, VALUE_SET },
		{ t->known.frozenset, VALUE_FROZENSET },
		{ t->known.type, VALUE_CLASS },
		{ t->known.cell, VALUE_CELL },
	};

	for (size_t i = 0; type && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].type == type)
			return kinds[i].kind;
	return VALUE_OBJECT;
}

/* At least MIN bytes, which are there, and of MAX what does not go beyond the page: the next one
 * may not be mapped. */
static size_t peek_len(uint64_t addr, size_t min, size_t max)
{
	size_t left = PAGE - addr % PAGE;

	left = left < max ? left : max;
	return left > min ? left : min;
}

/* The class of each, and what else of it is on the way. */
static int read_types(struct value_reader *r, struct value *v, size_t cnt)
{
	const struct py_target *t = r->target;
	int err;

	for (size_t i = 0; i < cnt; i++) {
		if (v[i].kind != VALUE_NEW)
			continue;
		if (!v[i].addr)
			v[i].kind = VALUE_NOTHING;
		else if (v[i].addr == t->known.none)
			v[i].kind = VALUE_NONE;
		else if (v[i].addr == t->known.true_)
			v[i].kind = VALUE_TRUE;
		else if (v[i].addr == t->known.false_)
			v[i].kind = VALUE_FALSE;
		else
			v[i].peeked = peek_len(v[i].addr, t->layout.object.type + 8, PEEK_BYTES);
		if (v[i].kind == VALUE_NEW)
			want(r, &v[i], v[i].addr, r->head[i], v[i].peeked);
	}
	err = fetch(r);
	for (size_t i = 0; i < cnt; i++) {
		struct bytes b = { r->head[i], v[i].peeked };

		if (v[i].kind != VALUE_NEW)
			continue;
		v[i].kind = VALUE_UNREADABLE;
		if (!bytes_u64(&b, t->layout.object.type, &v[i].type))
			v[i].kind = kind_of_type(t, v[i].type);
	}
	return err;
}

/* What is in the cells takes their place. */
static int open_cells(struct value_reader *r)
{
	const struct py_layout *l = &r->target->layout;
	bool any = false;
	int err;

	for (size_t i = 0; i < r->cnt; i++) {
		struct value *v = &r->value[i];

		if (v->kind != VALUE_CELL)
			continue;
		v->cell = v->addr;
		v->kind = VALUE_NEW;
		/* the object follows the head */
		want(r, v, v->cell + l->object.var_size, &v->addr, 8);
		any = true;
	}
	if (!any)
		return 0;
	err = fetch(r);
	return err ? err : read_types(r, r->value, r->cnt);
}

/* ---- heads ----------------------------------------------------------------------------------- */

static size_t dict_len(const struct py_layout *l)
{
	uint32_t max = l->dict.keys > l->dict.values ? l->dict.keys : l->dict.values;

	return (l->dict.used > max ? l->dict.used : max) + 8;
}

/* Objects may lie at the end of a mapping: no more is read than every one of the kind has. */
static size_t head_len(const struct py_layout *l, enum value_kind kind)
{
	switch (kind) {
	case VALUE_INT:
		return l->integer.digits;
	case VALUE_FLOAT:
		return l->number.value + 8;
	case VALUE_STR:
		return l->str.ascii_size;
	case VALUE_BYTES:
	case VALUE_TUPLE:
		return l->object.var_size + 8;
	case VALUE_LIST:
		return (l->list.items > l->object.var_size ? l->list.items : l->object.var_size) +
		       8;
	case VALUE_DICT:
		return dict_len(l);
	case VALUE_SET:
	case VALUE_FROZENSET:
		return l->set.table + 8;
	default:
		return 0;
	}
}

static int parse_int(const struct py_layout *l, const struct bytes *b, struct value *v)
{
	uint64_t word;

	if (l->integer.tag != PY_NONE) {
		if (bytes_u64(b, l->integer.tag, &word))
			return -EINVAL;
		v->negative = (word & 3) == NEGATIVE;
		v->len = word >> 3;
	} else {
		if (bytes_u64(b, l->object.var_size, &word))
			return -EINVAL;
		v->negative = (int64_t)word < 0;
		v->len = v->negative ? -word : word;
	}
	v->data_addr = v->addr + l->integer.digits;
	return 0;
}

static int parse_str(const struct py_layout *l, const struct bytes *b, struct value *v)
{
	struct py_str s;

	if (py_str__parse(l, b, &s))
		return -EINVAL;
	v->len = s.len;
	v->char_size = s.kind;
	v->data_addr = v->addr + s.data;
	/* of a subclass, or an old one: never seen with the class str itself */
	return s.compact ? 0 : -EINVAL;
}

static int parse_head(const struct py_layout *l, const struct bytes *b, struct value *v)
{
	uint64_t bits;
	int err = 0;

	switch (v->kind) {
	case VALUE_INT:
		err = parse_int(l, b, v);
		break;
	case VALUE_FLOAT:
		err = bytes_u64(b, l->number.value, &bits);
		memcpy(&v->number, &bits, sizeof(v->number));
		break;
	case VALUE_STR:
		err = parse_str(l, b, v);
		break;
	case VALUE_BYTES:
		err = bytes_u64(b, l->object.var_size, &v->len);
		v->data_addr = v->addr + l->bytes.data;
		break;
	case VALUE_TUPLE:
		err = bytes_u64(b, l->object.var_size, &v->len);
		v->data_addr = v->addr + l->tuple.items;
		break;
	case VALUE_LIST:
		err = bytes_u64(b, l->object.var_size, &v->len)
			      ?: bytes_u64(b, l->list.items, &v->data_addr);
		break;
	case VALUE_DICT:
		err = bytes_u64(b, l->dict.used, &v->len) ?:
			      bytes_u64(b, l->dict.keys, &v->keys) ?:
			      bytes_u64(b, l->dict.values, &v->values);
		break;
	case VALUE_SET:
	case VALUE_FROZENSET:
		err = bytes_u64(b, l->set.used, &v->len)
			      ?: bytes_u64(b, l->set.table, &v->data_addr);
		break;
	default:
		break;
	}
	return err || v->len > MAX_LEN ? -EINVAL : 0;
}

static int read_heads(struct value_reader *r, struct value *v, size_t cnt)
{
	const struct py_layout *l = &r->target->layout;
	size_t len;
	int err;

	for (size_t i = 0; i < cnt; i++) {
		len = head_len(l, v[i].kind);
		if (len > v[i].peeked)
			want(r, &v[i], v[i].addr, r->head[i], len);
	}
	err = fetch(r);
	if (err)
		return err;
	for (size_t i = 0; i < cnt; i++) {
		struct bytes b = { r->head[i], head_len(l, v[i].kind) };

		if (b.len && parse_head(l, &b, &v[i]))
			v[i].kind = VALUE_UNREADABLE;
	}
	return 0;
}

/* ---- contents -------------------------------------------------------------------------------- */

/* How many bytes of the content are shown, and from where. */
static size_t content_len(struct value *v, size_t max_chars)
{
	uint64_t n = v->len < max_chars ? v->len : max_chars;

	switch (v->kind) {
	case VALUE_INT:
		if (v->len <= REPR_MAX_DIGITS)
			return 4 * v->len;
		/* the highest digit tells how many bits it has */
		v->data_addr += 4 * (v->len - 1);
		return 4;
	case VALUE_STR:
		return n * v->char_size;
	case VALUE_BYTES:
		return n;
	default:
		return 0;
	}
}

static int set_slots(const struct py_layout *l, const struct bytes *head, uint64_t *slots)
{
	if (bytes_u64(head, l->set.mask, slots) || *slots > MAX_LEN)
		return -EINVAL;
	*slots = *slots < SET_LOOK ? *slots + 1 : SET_LOOK;
	return 0;
}

/* The same of a container whose items are read. */
static size_t container_len(const struct py_layout *l, const struct bytes *head,
			    const struct value *v)
{
	uint64_t n;

	switch (v->kind) {
	case VALUE_TUPLE:
	case VALUE_LIST:
		return 8 * (v->len < VALUE_MAX_ITEMS ? v->len : VALUE_MAX_ITEMS);
	case VALUE_SET:
	case VALUE_FROZENSET:
		return v->len && !set_slots(l, head, &n) ? n * SET_ENTRY : 0;
	default:
		return 0;
	}
}

/* OUTER: these are no items, so that their own items are wanted. */
static int read_contents(struct value_reader *r, struct value *v, size_t cnt, bool outer)
{
	const struct py_layout *l = &r->target->layout;
	uint64_t at;
	uint8_t *p;
	size_t len;

	for (size_t i = 0; i < cnt; i++) {
		struct bytes head = { r->head[i], head_len(l, v[i].kind) };

		len = content_len(&v[i], outer ? REPR_MAX_CHARS : MAX_ITEM_CHARS);
		if (outer && !len) {
			len = container_len(l, &head, &v[i]);
			p = len ? take(r, head.len) : NULL;
			if (!p)
				len = 0;
			else
				v[i].head =
					(struct bytes){ memcpy(p, head.data, head.len), head.len };
		}
		p = len ? take(r, len) : NULL;
		if (!p)
			continue;
		v[i].data = (struct bytes){ p, len };
		at = v[i].data_addr - v[i].addr;
		if (v[i].data_addr > v[i].addr && at < v[i].peeked && len <= v[i].peeked - at)
			memcpy(p, r->head[i] + at, len);
		else
			want(r, &v[i], v[i].data_addr, p, len);
	}
	return fetch(r);
}

/* ---- items ----------------------------------------------------------------------------------- */

static void add_item(struct value_reader *r, struct value *v, uint64_t addr)
{
	if (r->nitems == MAX_ITEMS_LOADED)
		return;
	r->item[r->nitems++] = (struct value){ .addr = addr };
	v->nitems++;
}

static void add_set_items(struct value_reader *r, struct value *v)
{
	uint64_t addr, hash;

	for (uint64_t at = 0; at < v->data.len && v->nitems < VALUE_MAX_ITEMS; at += SET_ENTRY)
		if (!bytes_u64(&v->data, at, &addr) && !bytes_u64(&v->data, at + 8, &hash) &&
		    addr && hash != SET_DELETED)
			add_item(r, v, addr);
}

/* Whole entries that are not deleted. Those of a split dict have their values elsewhere. */
static void add_dict_items(struct value_reader *r, struct value *v)
{
	size_t size = 8 * v->words, cnt;
	struct bytes values = { 0 };
	uint64_t key, value;

	if (!v->words)
		return;
	cnt = v->data.len / size;
	if (v->values) {
		/* they follow the entries, which are whole words */
		cnt = v->data.len / (size + 8);
		values = (struct bytes){ v->data.data + cnt * size, cnt * 8 };
	}
	for (size_t i = 0; i < cnt && v->nitems < 2 * VALUE_MAX_ITEMS; i++) {
		if (bytes_u64(&v->data, i * size + size - 16, &key) ||
		    (v->values ? bytes_u64(&values, 8 * i, &value)
			       : bytes_u64(&v->data, i * size + size - 8, &value)) ||
		    !key || !value || MAX_ITEMS_LOADED - r->nitems < 2)
			continue;
		add_item(r, v, key);
		add_item(r, v, value);
	}
}

/* The entries of the dicts: two calls for all of them. */
static int read_dicts(struct value_reader *r)
{
	const struct py_layout *l = &r->target->layout;
	struct dict_keys k;
	size_t peek, cnt, len;
	uint8_t *p;
	int err;

	for (size_t i = 0; i < r->cnt; i++) {
		struct value *v = &r->value[i];

		if (v->kind != VALUE_DICT || !v->len)
			continue;
		len = dict_len(l);
		peek = peek_len(v->keys, l->keys.indices, DICT_PEEK);
		p = take(r, len + peek);
		if (!p)
			continue;
		v->head = (struct bytes){ memcpy(p, r->head[i], len), len };
		v->data = (struct bytes){ p + len, peek };
		want(r, v, v->keys, p + len, peek);
	}
	err = fetch(r);
	for (size_t i = 0; !err && i < r->cnt; i++) {
		struct value *v = &r->value[i];
		struct bytes keys = v->data;

		if (v->kind != VALUE_DICT || !keys.len)
			continue;
		v->data = (struct bytes){ 0 };
		if (dict_keys__parse(l, &keys, &k)) {
			v->kind = VALUE_UNREADABLE;
			continue;
		}
		cnt = k.count < DICT_LOOK ? k.count : DICT_LOOK;
		len = cnt * 8 * k.words;
		p = take(r, len + (v->values ? cnt * 8 : 0));
		if (!p || !cnt)
			continue;
		v->words = k.words;
		v->data_addr = v->keys + k.first;
		v->data = (struct bytes){ p, len + (v->values ? cnt * 8 : 0) };
		if (bytes_at(&keys, k.first, len))
			memcpy(p, bytes_at(&keys, k.first, len), len);
		else
			want(r, v, v->data_addr, p, len);
		if (v->values)
			want(r, v, v->values + l->attributes.values, p + len, cnt * 8);
	}
	return err ? err : fetch(r);
}

static void add_items(struct value_reader *r)
{
	uint64_t addr;

	r->nitems = 0;
	for (size_t i = 0; i < r->cnt; i++) {
		struct value *v = &r->value[i];

		v->item = r->nitems;
		if (v->kind == VALUE_DICT)
			add_dict_items(r, v);
		else if (v->kind == VALUE_SET || v->kind == VALUE_FROZENSET)
			add_set_items(r, v);
		else if (v->kind == VALUE_TUPLE || v->kind == VALUE_LIST)
			for (uint64_t at = 0; !bytes_u64(&v->data, at, &addr); at += 8)
				add_item(r, v, addr);
	}
}

/* ---- the second look ------------------------------------------------------------------------- */

/* A range that must still be WAS. */
static void want_again(struct value_reader *r, struct value *v, uint64_t addr, const void *was,
		       size_t len)
{
	r->wanted.was[r->wanted.cnt] = was;
	want(r, v, addr, take(r, len), len);
}

/* What other threads may change, once more: an item that was read may have gone meanwhile. */
static int look_again(struct value_reader *r)
{
	const struct py_layout *l = &r->target->layout;
	struct wanted *w = &r->wanted;
	size_t cnt, len, split;
	int err;

	r->limit = CONTENT_BYTES + AGAIN_BYTES;
	for (size_t i = 0; i < r->cnt; i++) {
		struct value *v = &r->value[i];

		if (v->cell && v->kind > VALUE_CHANGING)
			want_again(r, v, v->cell + l->object.var_size, &v->addr, 8);
		if ((v->kind != VALUE_LIST && v->kind != VALUE_SET && v->kind != VALUE_DICT) ||
		    !v->nitems)
			continue;
		split = v->kind == VALUE_DICT && v->values ? v->data.len / (v->words + 1) : 0;
		len = v->data.len - split;
		want_again(r, v, v->addr, v->head.data, v->head.len);
		want_again(r, v, v->data_addr, v->data.data, len);
		if (split)
			want_again(r, v, v->values + l->attributes.values, v->data.data + len,
				   split);
	}
	cnt = w->cnt;
	err = fetch(r);
	for (size_t i = 0; !err && i < cnt; i++)
		if (w->range[i].err || memcmp(w->range[i].buf, w->was[i], w->range[i].len))
			w->who[i]->kind = VALUE_CHANGING;
	return err;
}

int value_reader__load(struct value_reader *r, const uint64_t *addr, size_t cnt)
{
	int err;

	r->cnt = cnt < VALUE_BATCH ? cnt : VALUE_BATCH;
	r->used = 0;
	r->limit = CONTENT_BYTES;
	r->wanted.cnt = 0;
	for (size_t i = 0; i < r->cnt; i++)
		r->value[i] = (struct value){ .addr = addr[i] };
	err = read_types(r, r->value, r->cnt);
	if (!err)
		err = open_cells(r);
	if (!err)
		err = read_heads(r, r->value, r->cnt);
	if (!err)
		err = read_contents(r, r->value, r->cnt, true);
	if (!err)
		err = read_dicts(r);
	if (err)
		return err;
	add_items(r);
	err = read_types(r, r->item, r->nitems);
	if (!err)
		err = read_heads(r, r->item, r->nitems);
	if (!err)
		err = read_contents(r, r->item, r->nitems, false);
	return err ? err : look_again(r);
}
