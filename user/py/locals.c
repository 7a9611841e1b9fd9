// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/locals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "py/unicode.h"
#include "py/value.h"

#define BATCH_FRAMES (VALUE_BATCH / LOCALS_MAX)
#define MAX_NAMES 65536 /* of one code object: more is damaged */
#define NO_VALUE SIZE_MAX
#define SLOTS (2 * LOCALS_MAX * LOCALS_MAX_FRAMES) /* of the hash table: a power of two */
#define NAME_PEEK PY_STR_BYTES /* of the str: most names end in it */
#define PAGE 4096u
#define HIDDEN "<hidden>"

/* The names of one code object: up to PY_NAME_TUPLES tuples. */
struct tuple {
	uint64_t addr, type, len;
};

/* A name that was read. The code objects of a thread that stands still keep theirs, so that one
 * address is one name during locals__read(). */
struct name {
	uint64_t addr;
	uint64_t load; /* the locals__read() that it belongs to: others are free slots */
	size_t text; /* in text[] */
	bool hidden;
	struct py_str str;
	uint8_t peek[NAME_PEEK]; /* the str object, as far as it goes */
	size_t peeked;
	uint8_t *chars; /* NULL: cannot be read */
};

struct variable {
	struct name *name;
	size_t value; /* in text[]; NO_VALUE */
};

/* What was read of one frame. */
struct result {
	bool ok;
	size_t first, cnt; /* in variable[] */
	size_t cut;
};

/* What is kept of a variable until it is shown: where its texts begin. */
struct kept {
	size_t name, value;
};

struct locals {
	const struct py_target *target;
	const struct redact *redact;
	struct value_reader *values;
	uint64_t deadline_ns;
	size_t shown_bytes;
	const char *note;

	/* of the stack */
	struct result result[LOCALS_MAX_FRAMES];
	struct kept kept[LOCALS_MAX_FRAMES * LOCALS_MAX];
	size_t nkept;
	struct strbuf text;
	struct name slot[SLOTS];
	uint64_t load;

	/* of the batch of frames */
	struct tuple tuple[BATCH_FRAMES][PY_NAME_TUPLES];
	struct variable variable[VALUE_BATCH];
	uint64_t name_addr[VALUE_BATCH], value_addr[VALUE_BATCH];
	size_t cnt;
	struct mem_range range[2 * VALUE_BATCH];
	struct name *fresh[VALUE_BATCH]; /* that must be read */
	uint8_t chars[VALUE_BATCH * 64];
};

struct locals *locals__new(const struct py_target *t)
{
	struct locals *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->target = t;
	l->note = "";
	l->values = value_reader__new(t);
	if (l->values)
		return l;
	locals__free(l);
	return NULL;
}

void locals__free(struct locals *l)
{
	if (!l)
		return;
	value_reader__free(l->values);
	strbuf_free(&l->text);
	free(l);
}

void locals__begin(struct locals *l, const struct redact *redact)
{
	uint64_t now = clock_monotonic_ns();

	l->redact = redact;
	l->shown_bytes = 0;
	l->note = "";
	l->deadline_ns = l->target->deadline_ns;
	if (l->deadline_ns > now)
		l->deadline_ns = now + (l->deadline_ns - now) / 2;
	value_reader__begin(l->values, redact);
}

const char *locals__note(const struct locals *l)
{
	return l->note;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The addresses of the tuples of the frames FIRST..FIRST+CNT, then their lengths. */
static int read_tuples(struct locals *l, const struct stack *s, size_t first, size_t cnt)
{
	const struct py_layout *y = &l->target->layout;
	size_t n = 0;
	int err;

	memset(l->tuple, 0, sizeof(l->tuple));
	for (size_t i = 0; i < cnt; i++)
		for (size_t k = 0; k < PY_NAME_TUPLES; k++)
			if (y->locals.names[k] != PY_NONE)
				l->range[n++] = (struct mem_range){ s->frame[first + i].code +
									    y->locals.names[k],
								    &l->tuple[i][k].addr, 8, 0 };
	err = mem__readv_any(l->target->mem, l->range, n);
	if (err && err != -EFAULT)
		return err;
	n = 0;
	for (size_t i = 0; i < cnt; i++) {
		for (size_t k = 0; k < PY_NAME_TUPLES; k++) {
			struct tuple *t = &l->tuple[i][k];

			if (!t->addr)
				continue;
			l->range[n++] =
				(struct mem_range){ t->addr + y->object.type, &t->type, 8, 0 };
			l->range[n++] =
				(struct mem_range){ t->addr + y->object.var_size, &t->len, 8, 0 };
		}
	}
	err = mem__readv_any(l->target->mem, l->range, n);
	return err == -EFAULT ? 0 : err;
}

static bool tuple_ok(const struct locals *l, const struct tuple *t)
{
	return !t->addr || (t->type == l->target->known.tuple && t->len <= MAX_NAMES);
}

/* Plans the variables of frame I: the addresses of names and values are read next. */
static size_t plan_frame(struct locals *l, size_t i, uint64_t frame, struct result *res, size_t n)
{
	const struct py_layout *y = &l->target->layout;
	uint64_t index = 0, take;

	*res = (struct result){ .first = l->cnt };
	for (size_t k = 0; k < PY_NAME_TUPLES; k++)
		if (!tuple_ok(l, &l->tuple[i][k]))
			return n;
	res->ok = true;
	for (size_t k = 0; k < PY_NAME_TUPLES; k++) {
		const struct tuple *t = &l->tuple[i][k];

		take = t->len < LOCALS_MAX - res->cnt ? t->len : LOCALS_MAX - res->cnt;
		if (take) {
			l->range[n++] = (struct mem_range){ t->addr + y->tuple.items,
							    &l->name_addr[l->cnt], 8 * take, 0 };
			l->range[n++] = (struct mem_range){ frame + y->locals.first + 8 * index,
							    &l->value_addr[l->cnt], 8 * take, 0 };
		}
		index += t->len;
		l->cnt += take;
		res->cnt += take;
		res->cut += t->len - take;
	}
	return n;
}

static int read_variables(struct locals *l, const struct stack *s, size_t first, size_t cnt)
{
	size_t n = 0;
	int err;

	l->cnt = 0;
	for (size_t i = 0; i < cnt; i++)
		n = plan_frame(l, i, s->frame[first + i].addr, &l->result[first + i], n);
	err = mem__readv_any(l->target->mem, l->range, n);
	for (size_t i = 0; i < n; i++)
		if (l->range[i].err)
			memset(l->range[i].buf, 0, l->range[i].len);
	return err == -EFAULT ? 0 : err;
}

/* The slot of the name at ADDR; *FRESH: it is not known yet. */
static struct name *find_name(struct locals *l, uint64_t addr, bool *fresh)
{
	size_t i = (size_t)((addr >> 3) * 0x9e3779b97f4a7c15ull >> 32) % SLOTS;

	/* never more than half full */
	for (; l->slot[i].load == l->load; i = (i + 1) % SLOTS)
		if (l->slot[i].addr == addr)
			return &l->slot[i];
	l->slot[i] = (struct name){ .addr = addr, .load = l->load };
	*fresh = true;
	return &l->slot[i];
}

/* Where the characters are, as far as they were read; else a plan to read them. */
static void find_chars(struct locals *l, struct name *name, size_t *used, size_t *n)
{
	const struct py_target *t = l->target;
	struct bytes b = { name->peek, name->peeked };
	uint64_t type;
	size_t size;

	if (bytes_u64(&b, t->layout.object.type, &type) || (t->str_type && type != t->str_type) ||
	    py_str__parse(&t->layout, &b, &name->str) || !name->str.compact)
		return;
	if (name->str.len > LOCALS_MAX_NAME)
		name->str.len = LOCALS_MAX_NAME;
	size = name->str.len * name->str.kind;
	if (bytes_at(&b, name->str.data, size)) {
		name->chars = name->peek + name->str.data;
		return;
	}
	if (size > sizeof(l->chars) - *used)
		return;
	name->chars = l->chars + *used;
	*used += size;
	l->range[*n] = (struct mem_range){ name->addr + name->str.data, name->chars, size, 0 };
	l->fresh[(*n)++] = name;
}

/* A variable without a readable name could be anything: it is hidden. */
static void add_name(struct locals *l, struct name *name)
{
	struct bytes chars = { name->chars, name->str.len * name->str.kind };

	name->text = l->text.len;
	if (name->chars)
		py_str__decode(&l->text, &chars, name->str.kind);
	else
		strbuf_addc(&l->text, '?');
	strbuf_addc(&l->text, '\0');
	name->hidden = l->text.failed || !name->chars ||
		       redact__hides(l->redact, l->text.data + name->text);
}

/* At least the head of a str, but not beyond the page: the next one may not be there. */
static size_t peek_len(const struct locals *l, uint64_t addr)
{
	size_t left = PAGE - addr % PAGE, min = l->target->layout.str.ascii_size;

	left = left < NAME_PEEK ? left : NAME_PEEK;
	return left > min ? left : min;
}

static int read_names(struct locals *l)
{
	size_t cnt = 0, used = 0, n = 0;
	int err;

	for (size_t i = 0; i < l->cnt; i++) {
		bool fresh = false;
		struct name *name = find_name(l, l->name_addr[i], &fresh);

		l->variable[i] = (struct variable){ name, NO_VALUE };
		if (!fresh)
			continue;
		name->peeked = peek_len(l, name->addr);
		l->range[cnt] = (struct mem_range){ name->addr, name->peek, name->peeked, 0 };
		l->fresh[cnt++] = name;
	}
	err = mem__readv_any(l->target->mem, l->range, cnt);
	if (err && err != -EFAULT)
		return err;
	for (size_t i = 0; i < cnt; i++)
		if (l->range[i].err)
			l->fresh[i]->peeked = 0;
	/* those that are planned again come no later than they stood */
	for (size_t i = 0; i < cnt; i++) {
		struct name *name = l->fresh[i];

		find_chars(l, name, &used, &n);
		if (!n || l->fresh[n - 1] != name)
			add_name(l, name);
	}
	err = mem__readv_any(l->target->mem, l->range, n);
	for (size_t i = 0; i < n; i++) {
		if (l->range[i].err)
			l->fresh[i]->chars = NULL;
		add_name(l, l->fresh[i]);
	}
	return err == -EFAULT ? 0 : err;
}

/* ---- values ---------------------------------------------------------------------------------- */

static int read_values(struct locals *l)
{
	uint64_t mask = l->target->layout.locals.tag_mask;
	uint64_t addr[VALUE_BATCH];
	int err;

	for (size_t i = 0; i < l->cnt; i++)
		addr[i] = l->variable[i].name->hidden ? 0 : l->value_addr[i] & ~mask;
	err = value_reader__load(l->values, addr, l->cnt);
	for (size_t i = 0; !err && i < l->cnt; i++) {
		struct variable *v = &l->variable[i];
		size_t at = l->text.len;

		if (v->name->hidden && l->value_addr[i] & ~mask)
			strbuf_adds(&l->text, HIDDEN);
		else if (!value_reader__show(l->values, i, &l->text))
			continue;
		strbuf_addc(&l->text, '\0');
		v->value = at;
	}
	return err;
}

/*
 * Up to 3.10 an argument that is a cell has two names: the first is not bound any more, the cell
 * has the value.
 */
static bool moved_to_cell(const struct locals *l, const struct result *res, size_t i)
{
	const char *text = l->text.data;

	if (l->variable[i].value != NO_VALUE || l->target->layout.locals.names[1] == PY_NONE)
		return false;
	for (size_t k = i + 1; k < res->first + res->cnt; k++)
		if (!strcmp(text + l->variable[i].name->text, text + l->variable[k].name->text))
			return true;
	return false;
}

/* The next batch will use variable[] again. */
static void keep(struct locals *l, struct result *res)
{
	size_t first = l->nkept;

	for (size_t i = res->first; i < res->first + res->cnt; i++)
		if (!moved_to_cell(l, res, i))
			l->kept[l->nkept++] =
				(struct kept){ l->variable[i].name->text, l->variable[i].value };
	res->first = first;
	res->cnt = l->nkept - first;
}

static int read_batch(struct locals *l, const struct stack *s, size_t first, size_t cnt)
{
	int err = read_tuples(l, s, first, cnt);

	if (!err)
		err = read_variables(l, s, first, cnt);
	if (!err)
		err = read_names(l);
	if (!err)
		err = read_values(l);
	if (err)
		return err;
	if (l->text.failed)
		return -ENOMEM;
	for (size_t i = first; i < first + cnt; i++)
		keep(l, &l->result[i]);
	return 0;
}

int locals__read(struct locals *l, const struct stack *s)
{
	size_t frames = s->cnt < LOCALS_MAX_FRAMES ? s->cnt : LOCALS_MAX_FRAMES, n;
	int err = 0;

	memset(l->result, 0, sizeof(l->result));
	strbuf_reset(&l->text);
	l->nkept = 0;
	l->load++;
	for (size_t i = 0; !err && i < frames; i += n) {
		n = frames - i < BATCH_FRAMES ? frames - i : BATCH_FRAMES;
		if (clock_monotonic_ns() >= l->deadline_ns) {
			l->note = "incomplete: no time left for all local variables";
			break;
		}
		if (l->shown_bytes + l->text.len > LOCALS_MAX_TEXT) {
			l->note = "incomplete: the local variables did not fit into 2 MiB";
			break;
		}
		err = read_batch(l, s, i, n);
	}
	return err;
}

void locals__show(struct locals *l, size_t i, struct arena *arena, struct py_frame *out)
{
	const struct result *res;
	struct py_local *local;
	const char *text;

	if (i >= LOCALS_MAX_FRAMES || !l->result[i].ok)
		return;
	res = &l->result[i];
	local = arena__alloc(arena, (res->cnt ? res->cnt : 1) * sizeof(*local));
	if (!local)
		return;
	for (size_t k = 0; k < res->cnt; k++) {
		const struct kept *kept = &l->kept[res->first + k];

		text = l->text.data + kept->name;
		l->shown_bytes += strlen(text);
		local[k].name = arena__str(arena, text);
		if (kept->value == NO_VALUE)
			continue;
		text = l->text.data + kept->value;
		l->shown_bytes += strlen(text);
		local[k].value = arena__str(arena, text);
	}
	out->local = local;
	out->nlocals = res->cnt;
	out->locals_cut = res->cut;
}
