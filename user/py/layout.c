// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/layout.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "py/layout_table.h"

#define DEBUG_COOKIE "xdebugpy"
#define DAMAGED " (its _Py_DebugOffsets are damaged)"
#define RELEASE_FINAL \
	0xf /* PY_RELEASE_LEVEL_FINAL; 0xc is a release candidate, below: alpha, beta */
#define RELEASE_CANDIDATE 0xc

void py_version__format(uint32_t hex, char out[PY_VERSION_LEN])
{
	static const char *const level[16] = { [0xa] = "a", [0xb] = "b", [0xc] = "rc" };
	unsigned int serial = hex & 0xf;
	int n;

	if (!(hex & 0xffff)) {
		snprintf(out, PY_VERSION_LEN, "%u.%u", hex >> 24, hex >> 16 & 0xff);
		return;
	}
	n = snprintf(out, PY_VERSION_LEN, "%u.%u.%u", hex >> 24, hex >> 16 & 0xff, hex >> 8 & 0xff);

	if (level[hex >> 4 & 0xf])
		snprintf(out + n, PY_VERSION_LEN - (size_t)n, "%s%u", level[hex >> 4 & 0xf],
			 serial);
}

bool py_layout__known(const char *series)
{
	for (size_t i = 0; i < py_series_cnt; i++)
		if (!strcmp(py_series[i].name, series))
			return true;
	return false;
}

static bool size_known(const struct series *s, uint64_t size)
{
	for (size_t i = 0; i < LAYOUT_MAX_SIZES; i++)
		if (s->size[i] && s->size[i] == size)
			return true;
	return false;
}

uint32_t py_layout__unversioned(const char *series, uint64_t size)
{
	const struct series *s, *named = NULL;

	for (size_t i = 0; i < py_series_cnt; i++) {
		s = &py_series[i];
		if (!s->unversioned)
			continue;
		if (size_known(s, size))
			return s->hex << 16;
		if (series && !strcmp(s->name, series))
			named = s;
	}
	return named ? named->hex << 16 : 0;
}

int py_layout__refuse(const char *version, struct err *err)
{
	char list[128] = "";
	size_t n = 0;

	for (size_t i = 0; i < py_series_cnt; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "",
				      py_series[i].name);
	return err_set(err, -EOPNOTSUPP, "CPython %s is not known yet; known are %s", version,
		       list);
}

static int refuse_hex(uint32_t hex, const char *what, struct err *err)
{
	char version[PY_VERSION_LEN], text[PY_VERSION_LEN + 64];

	py_version__format(hex, version);
	snprintf(text, sizeof(text), "%s%s", version, what);
	return py_layout__refuse(text, err);
}

/* What the target says of itself; every offset must lie inside its struct. */
static int take_debug(const struct series *s, const struct bytes *head, struct py_layout *l)
{
	const struct debug_field *f;
	uint64_t off, size, base;
	uint32_t value, width;

	if (head->len < s->debug_len)
		return -EINVAL;
	for (size_t i = 0; i < s->ndebug; i++) {
		f = &s->debug[i];
		base = 0;
		if (bytes_u64(head, 8ull * f->word, &off) ||
		    bytes_u64(head, 8ull * f->size_word, &size) ||
		    (f->base_word && bytes_u64(head, 8ull * f->base_word, &base)))
			return -EINVAL;
		if (f->width & DEBUG_OPTIONAL && !off)
			continue;
		width = f->width & ~DEBUG_OPTIONAL;
		if (size > f->limit || off > size || width > size - off || base > off)
			return -EINVAL;
		if (width == 8 && off % 8)
			return -EINVAL;
		value = (uint32_t)(off - base);
		memcpy((char *)l + f->to, &value, sizeof(value));
	}
	/* the row has their distance from a field that is named */
	l->runtime.interpreters_main += l->runtime.interpreters_head;
	if (l->runtime.world)
		l->runtime.world += l->runtime.interpreters_head;
	if (l->interp.world)
		l->interp.world += l->interp.own_gil;
	l->ts.top += l->ts.chunk;
	l->str.compact_size += l->str.ascii_size;
	return 0;
}

static uint32_t max_of(const uint32_t *v, size_t n)
{
	uint32_t max = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i] != PY_NONE && v[i] > max)
			max = v[i];
	return max;
}

/* The buffers of the walker have fixed sizes: everything that it takes from them must be inside. */
static int check_spans(struct py_layout *l)
{
	const uint32_t ts[] = { l->ts.next,	 l->ts.interp, l->ts.frame, l->ts.thread_id,
				l->ts.native_id, l->ts.state,  l->ts.chunk, l->ts.top };
	const uint32_t frame[] = { l->frame.previous, l->frame.code, l->frame.instr, l->frame.owner,
				   l->frame.mark };
	const uint32_t code[] = { l->code.filename,  l->code.qualname, l->code.firstlineno,
				  l->code.linetable, l->code.version,  l->code.copies,
				  l->code.object,    l->object.type,   l->object.var_size };
	const uint32_t str[] = { l->str.length, l->str.state, l->object.type, l->str.compact_size };

	l->frame.span = (max_of(frame, sizeof(frame) / sizeof(frame[0])) + 8 + 7) & ~7u;
	l->code.span = max_of(code, sizeof(code) / sizeof(code[0])) + 8;
	if (max_of(ts, sizeof(ts) / sizeof(ts[0])) + 8 > PY_TSTATE_BYTES ||
	    l->frame.span > PYWALK_FRAME_BYTES || l->code.span > PY_CODE_BYTES ||
	    max_of(str, sizeof(str) / sizeof(str[0])) + 8 > PY_STR_BYTES ||
	    l->bytes.data > PY_STR_BYTES)
		return -EINVAL;
	if (l->locals.first > STRUCT_MAX || l->tuple.items > PY_HEAD_BYTES ||
	    l->number.value + 8 > PY_HEAD_BYTES || l->integer.digits > PY_HEAD_BYTES ||
	    l->list.items + 8 > PY_HEAD_BYTES || l->set.table + 8 > PY_HEAD_BYTES ||
	    l->dict.used + 8 > PY_HEAD_BYTES || l->dict.keys + 8 > PY_HEAD_BYTES ||
	    l->dict.values + 8 > PY_HEAD_BYTES || l->object.var_size + 8 > PY_HEAD_BYTES)
		return -EINVAL;
	/* lengths stand before what they count */
	if (l->str.length + 8 > l->str.ascii_size || l->object.var_size + 8 > l->bytes.data)
		return -EINVAL;
	return 0;
}

static const struct series *find(uint32_t hex, bool free_threaded)
{
	for (size_t i = 0; i < py_series_cnt; i++)
		if (py_series[i].hex == hex >> 16 && py_series[i].free_threaded == free_threaded)
			return &py_series[i];
	return NULL;
}

/* The words version and free_threaded follow the cookie. */
static int parse_debug_head(uint32_t hex, const struct bytes *head, bool *free_threaded)
{
	const void *cookie = bytes_at(head, 0, 8);
	uint64_t version, word;

	if (!cookie || memcmp(cookie, DEBUG_COOKIE, 8) || bytes_u64(head, 8, &version) ||
	    bytes_u64(head, 16, &word) || (uint32_t)version != hex)
		return -EINVAL;
	*free_threaded = word != 0;
	return 0;
}

/* The row for a process that says what it is; *OUT begins as what the row has. */
static int fill_from_debug(const struct series *s, uint32_t hex, const struct bytes *head,
			   struct py_layout *out, struct err *err)
{
	bool free_threaded;

	if (parse_debug_head(hex, head, &free_threaded))
		return refuse_hex(hex, DAMAGED, err);
	if (s->free_threaded != free_threaded)
		s = find(hex, free_threaded);
	if (!s)
		return refuse_hex(hex, free_threaded ? " free-threaded" : "", err);
	*out = s->layout;
	out->ts.pthread_tid = PTHREAD_TID;
	if (take_debug(s, head, out))
		return refuse_hex(hex, DAMAGED, err);
	out->known_build = !s->not_run;
	return 0;
}

int py_layout__choose(uint32_t hex, uint64_t size, const struct bytes *head, struct py_layout *out,
		      struct err *err)
{
	const struct series *s = find(hex, false);
	unsigned int level = hex >> 4 & 0xf;
	int ret;

	if (!s || (level != RELEASE_FINAL && level != RELEASE_CANDIDATE && !s->unversioned))
		return refuse_hex(hex, "", err);
	*out = s->layout;
	out->ts.pthread_tid = PTHREAD_TID;
	out->known_build = size_known(s, size);
	if (s->debug) {
		ret = fill_from_debug(s, hex, head, out, err);
		if (ret)
			return ret;
	}
	if (check_spans(out))
		return refuse_hex(hex, " (its _Py_DebugOffsets are out of range)", err);
	return 0;
}

void py_layout__export(const struct py_layout *l, struct pywalk_layout *out)
{
	*out = (struct pywalk_layout){
		.ts_frame = l->ts.frame,
		.cf_frame = l->cframe.frame,
		.cf_prev = l->cframe.previous,
		.ts_native_id = l->ts.native_id,
		.ts_thread_id = l->ts.thread_id,
		.pthread_tid = l->ts.pthread_tid,
		.f_size = l->frame.span,
		.f_prev = l->frame.previous,
		.f_code = l->frame.code,
		.f_instr = l->frame.instr,
		.f_owner = l->frame.owner,
		.f_mark = l->frame.mark,
		.mark_val = l->frame.mark_val,
		.gen_owner = l->frame.gen_owner,
	};
}
