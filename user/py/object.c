// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "py/unicode.h"

#define MAX_NAME 64 /* of a key or attribute that is looked for */
#define MAX_BASICSIZE (1u << 20) /* of an instance */
#define BATCH 128 /* keys that are read in one call */
#define MAX_INDEX_LOG2 20
#define DIGIT_BITS 30
#define MAX_DIGITS 3 /* of a 64-bit int */
#define KEYS_HEAD 40 /* the most that comes before the indices */
#define KEYS_GENERAL 0 /* dk_kind: entries with a hash */
#define INLINE_VALUES (1u << 2) /* Py_TPFLAGS_INLINE_VALUES */
#define MANAGED_DICT (1u << 4) /* Py_TPFLAGS_MANAGED_DICT */

static int str_head(const struct py_target *t, uint64_t addr, struct py_str *s)
{
	uint8_t head[PY_STR_BYTES];
	struct bytes b = { head, t->layout.str.ascii_size };
	uint64_t type;
	int err = mem__read(t->mem, addr, head, b.len);

	if (err)
		return err;
	if (bytes_u64(&b, t->layout.object.type, &type) || (t->str_type && type != t->str_type))
		return -EINVAL;
	return py_str__parse(&t->layout, &b, s);
}

int object__str(const struct py_target *t, uint64_t addr, size_t max, struct strbuf *out)
{
	struct bytes b = { 0 };
	struct py_str s;
	uint64_t data;
	uint8_t *buf;
	int err;

	err = str_head(t, addr, &s);
	if (err)
		return err;
	data = addr + s.data;
	if (!s.compact) {
		err = mem__read_u64(t->mem, data, &data);
		if (err)
			return err;
	}
	b.len = (s.len < max ? s.len : max) * s.kind;
	buf = malloc(b.len + 1);
	if (!buf)
		return -ENOMEM;
	err = mem__read(t->mem, data, buf, b.len);
	b.data = buf;
	if (!err)
		py_str__decode(out, &b, s.kind);
	if (!err && s.len > max)
		strbuf_adds(out, "...");
	free(buf);
	return err;
}

int object__u64(const struct py_target *t, uint64_t addr, uint64_t *out)
{
	const struct py_layout *l = &t->layout;
	bool tagged = l->integer.tag != PY_NONE;
	uint64_t size, count, v = 0;
	uint32_t digit[MAX_DIGITS];
	int err;

	*out = 0;
	err = mem__read_u64(t->mem, addr + (tagged ? l->integer.tag : l->object.var_size), &size);
	if (err)
		return err;
	/* with a tag: sign in the low two bits, 2 is negative; without: negative sizes are huge */
	if (tagged && (size & 3) == 2)
		return -EINVAL;
	count = tagged ? size >> 3 : size;
	if (count > MAX_DIGITS)
		return -EINVAL;
	err = mem__read(t->mem, addr + l->integer.digits, digit, count * sizeof(digit[0]));
	if (err)
		return err;
	for (size_t i = count; i-- > 0;) {
		if (digit[i] >> DIGIT_BITS || v >> (64 - DIGIT_BITS))
			return -EINVAL;
		v = v << DIGIT_BITS | digit[i];
	}
	*out = v;
	return 0;
}

/* ---- dict ------------------------------------------------------------------------------------ */

void dict_entries__free(struct dict_entries *entries)
{
	free(entries->entry);
	*entries = (struct dict_entries){ 0 };
}

/* The bytes of an index into so many entries (before 3.11; later heads say it). */
static uint64_t index_bytes(uint64_t indices)
{
	return indices <= UINT8_MAX ? 1 : indices <= UINT16_MAX ? 2 : indices <= UINT32_MAX ? 4 : 8;
}

int dict_keys__parse(const struct py_layout *l, const struct bytes *head, struct dict_keys *out)
{
	uint64_t indices;
	uint8_t log2, kind;

	*out = (struct dict_keys){ .words = 3 /* hash, key, value */ };
	if (bytes_u64(head, l->keys.count, &out->count))
		return -EINVAL;
	if (l->keys.size != PY_NONE) {
		if (bytes_u64(head, l->keys.size, &indices) || indices > 1ull << MAX_INDEX_LOG2)
			return -EINVAL;
		out->first = l->keys.indices + indices * index_bytes(indices);
		return 0;
	}
	if (bytes_u8(head, l->keys.index_log2, &log2) || bytes_u8(head, l->keys.kind, &kind) ||
	    log2 > MAX_INDEX_LOG2 || kind > 2)
		return -EINVAL;
	if (kind != KEYS_GENERAL)
		out->words = 2;
	out->first = l->keys.indices + (1ull << log2);
	return 0;
}

/* How many entries there are, where the first one lies, and of how many words each is. */
static int keys_head(const struct py_target *t, uint64_t keys, uint64_t *count, uint64_t *at,
		     size_t *words)
{
	uint8_t head[KEYS_HEAD];
	struct bytes b = { head, t->layout.keys.indices };
	struct dict_keys k;
	int err = mem__read(t->mem, keys, head, b.len);

	if (!err)
		err = dict_keys__parse(&t->layout, &b, &k);
	if (err)
		return err;
	*count = k.count;
	*at = keys + k.first;
	*words = k.words;
	return 0;
}

/* The entries of a keys object; with VALUES (the address of an array) the values come from there.
 */
static int read_keys(const struct py_target *t, uint64_t keys, uint64_t values,
		     struct dict_entries *out)
{
	const struct py_layout *l = &t->layout;
	uint64_t count, at, *raw = NULL;
	size_t words;
	int err;

	*out = (struct dict_entries){ 0 };
	err = keys_head(t, keys, &count, &at, &words);
	if (err)
		return err;
	if (count > OBJECT_MAX_DICT)
		return -E2BIG;
	if (!count)
		return 0;
	raw = calloc(count, words * sizeof(*raw));
	out->entry = calloc(count, sizeof(*out->entry));
	err = -ENOMEM;
	if (!raw || !out->entry)
		goto out;
	err = mem__read(t->mem, at, raw, count * words * sizeof(*raw));
	if (err)
		goto out;
	for (size_t i = 0; i < count; i++)
		out->entry[i] = (struct dict_entry){ raw[i * words + words - 2],
						     raw[i * words + words - 1] };
	if (values) {
		err = mem__read(t->mem, values + l->attributes.values, raw, count * sizeof(*raw));
		for (size_t i = 0; !err && i < count; i++)
			out->entry[i].value = raw[i];
	}
	out->cnt = count;
out:
	free(raw);
	if (err)
		dict_entries__free(out);
	return err;
}

int object__dict(const struct py_target *t, uint64_t addr, struct dict_entries *out)
{
	const struct py_layout *l = &t->layout;
	uint32_t last = l->dict.keys > l->dict.values ? l->dict.keys : l->dict.values;
	uint64_t type, keys, values;
	uint8_t head[PY_HEAD_BYTES];
	struct bytes b = { head, last + 8 };
	int err;

	*out = (struct dict_entries){ 0 };
	err = mem__read(t->mem, addr, head, b.len);
	if (!err && (bytes_u64(&b, l->object.type, &type) || bytes_u64(&b, l->dict.keys, &keys) ||
		     bytes_u64(&b, l->dict.values, &values)))
		err = -EINVAL;
	if (!err && t->dict_type && type != t->dict_type)
		err = -EINVAL;
	return err ? err : read_keys(t, keys, values, out);
}

/* Which of the CNT keys (at most BATCH) at ENTRY is NAME; -ENOENT. */
static ssize_t find_in_batch(const struct py_target *t, const struct dict_entry *entry, size_t cnt,
			     const char *name, size_t len)
{
	size_t ascii = t->layout.str.ascii_size;
	uint8_t key[BATCH][PY_STR_BYTES + MAX_NAME];
	struct mem_range range[BATCH];
	size_t index[BATCH], n = 0;
	struct py_str s;
	int err;

	/* one that cannot be read so far is shorter than NAME; deleted ones have no key */
	for (size_t i = 0; i < cnt; i++) {
		if (!entry[i].key)
			continue;
		range[n] = (struct mem_range){ entry[i].key, key[n], ascii + len, 0 };
		index[n++] = i;
	}
	err = mem__readv(t->mem, range, n);
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < n; i++) {
		struct bytes b = { key[i], ascii };

		if (!range[i].err && !py_str__parse(&t->layout, &b, &s) && s.kind == 1 &&
		    s.len == len && s.compact && s.data == ascii &&
		    !memcmp(key[i] + ascii, name, len))
			return (ssize_t)index[i];
	}
	return -ENOENT;
}

ssize_t dict_entries__find(const struct py_target *t, const struct dict_entries *entries,
			   const char *name)
{
	size_t len = strlen(name), n;
	ssize_t at;

	if (len > MAX_NAME)
		return -ENOENT;
	for (size_t i = 0; i < entries->cnt; i += n) {
		n = entries->cnt - i < BATCH ? entries->cnt - i : BATCH;
		at = find_in_batch(t, entries->entry + i, n, name, len);
		if (at >= 0)
			return (ssize_t)i + at;
		if (at != -ENOENT)
			return at;
		if (py_target__late(t))
			return -ETIMEDOUT;
	}
	return -ENOENT;
}

/* The same str stands for the name in all instances. */
static ssize_t find_name(const struct py_target *t, const struct dict_entries *entries,
			 const char *name, struct attribute_hint *hint)
{
	ssize_t at;

	for (size_t i = 0; hint->name && i < entries->cnt; i++)
		if (entries->entry[i].key == hint->name)
			return (ssize_t)i;
	at = dict_entries__find(t, entries, name);
	if (at >= 0)
		hint->name = entries->entry[at].key;
	return at;
}

static int in_dict(const struct py_target *t, uint64_t dict, const char *name,
		   struct attribute_hint *hint, uint64_t *out)
{
	struct dict_entries entries;
	int err = object__dict(t, dict, &entries);
	ssize_t i;

	if (err)
		return err;
	i = find_name(t, &entries, name, hint);
	if (i >= 0)
		*out = entries.entry[i].value;
	dict_entries__free(&entries);
	return i < 0 ? (int)i : *out ? 0 : -ENOENT;
}

int object__dict_get(const struct py_target *t, uint64_t dict, const char *name, uint64_t *out)
{
	struct attribute_hint none = { 0 };

	*out = 0;
	return in_dict(t, dict, name, &none, out);
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* Where the values of the instance are (*VALUES), or its dict (*DICT). */
static int find_values(const struct py_target *t, uint64_t addr, uint64_t type, uint64_t *values,
		       uint64_t *dict)
{
	const struct py_layout *l = &t->layout;
	uint64_t word[2] = { 0 }, flags = 0, size;
	int err;

	*values = *dict = 0;
	if (l->type.dictoffset) {
		err = mem__read_u64(t->mem, type + l->type.flags, &flags);
		if (err)
			return err;
	}
	if (l->attributes.kind == PY_ATTR_DICT || (l->type.dictoffset && !(flags & MANAGED_DICT))) {
		/* negative ones count from the end: of no class whose attributes are looked for */
		err = mem__read_u64(t->mem, type + l->type.dictoffset, &size);
		if (err)
			return err;
		return size && size < MAX_BASICSIZE ? mem__read_u64(t->mem, addr + size, dict)
						    : -EINVAL;
	}
	err = mem__read(t->mem, addr - l->attributes.before, word,
			l->attributes.kind == PY_ATTR_VALUES_PTR ? 16 : 8);
	if (err)
		return err;
	switch (l->attributes.kind) {
	case PY_ATTR_VALUES_PTR:
		*values = word[0];
		*dict = word[1];
		return 0;
	case PY_ATTR_TAGGED:
		if (word[0] & 1)
			*values = word[0] + 1; /* kept one below, so that it is odd */
		else
			*dict = word[0];
		return 0;
	case PY_ATTR_INLINE:
		*dict = word[0];
		if (*dict)
			return 0;
		err = mem__read_u64(t->mem, type + l->type.flags, &flags);
		if (!err)
			err = mem__read_u64(t->mem, type + l->type.basicsize, &size);
		if (err)
			return err;
		if (!(flags & INLINE_VALUES) || size > MAX_BASICSIZE)
			return -EINVAL;
		*values = addr + size;
		return 0;
	case PY_ATTR_DICT:
		break;
	}
	return -EINVAL;
}

int object__attribute(const struct py_target *t, uint64_t addr, const char *name,
		      struct attribute_hint *hint, uint64_t *out)
{
	uint64_t type, keys, values, dict;
	struct dict_entries entries;
	ssize_t i;
	int err;

	*out = 0;
	err = mem__read_u64(t->mem, addr + t->layout.object.type, &type);
	if (!err)
		err = find_values(t, addr, type, &values, &dict);
	if (err)
		return err;
	if (!values)
		return dict ? in_dict(t, dict, name, hint, out) : -ENOENT;
	err = mem__read_u64(t->mem, type + t->layout.type.cached_keys, &keys);
	if (err)
		return err;
	if (!hint->keys || hint->keys != keys) {
		err = read_keys(t, keys, 0, &entries);
		if (err)
			return err;
		i = find_name(t, &entries, name, hint);
		dict_entries__free(&entries);
		if (i < 0)
			return (int)i;
		hint->keys = keys;
		hint->index = (size_t)i;
	}
	err = mem__read_u64(t->mem, values + t->layout.attributes.values + 8 * hint->index, out);
	return err ? err : *out ? 0 : -ENOENT;
}
