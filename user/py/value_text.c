// SPDX-License-Identifier: MIT OR Apache-2.0
/* The half of value.h that makes text of what was read. */
#include "py/value.h"

#include "py/repr.h"
#include "py/unicode.h"
#include "py/value_batch.h"

static void show_int(const struct value *v, struct strbuf *out)
{
	uint32_t top;
	uint64_t bits;

	if (v->len <= REPR_MAX_DIGITS) {
		if (v->data.len != 4 * v->len || repr__int(out, &v->data, v->negative))
			strbuf_adds(out, "<int>");
		return;
	}
	bits = (v->len - 1) * REPR_DIGIT_BITS;
	if (!bytes_u32(&v->data, 0, &top))
		for (; top; top >>= 1)
			bits++;
	strbuf_addf(out, "<%sint, %llu bits>", v->negative ? "negative " : "",
		    (unsigned long long)bits);
}

/* "'GET /'", or "'GET /...'... (5000 characters)" where it goes on. */
static void show_text(const struct value *v, struct strbuf *out)
{
	bool text = v->kind == VALUE_STR;
	uint64_t shown = text ? v->data.len / v->char_size : v->data.len;

	if (text)
		repr__str(out, &v->data, v->char_size);
	else
		repr__bytes(out, &v->data);
	if (shown < v->len)
		strbuf_addf(out, "... (%llu %s)", (unsigned long long)v->len,
			    text ? "characters" : "bytes");
}

/* Text of a class or an instance. A name that cannot be had is told as Python tells it: by type. */
static void show_object(struct value_reader *r, const struct value *v, struct strbuf *out)
{
	const char *name = classes__name(r->classes, v->kind == VALUE_CLASS ? v->addr : v->type);

	if (v->kind == VALUE_CLASS)
		strbuf_addf(out, "<class '%s'>", name ? name : "?");
	else
		strbuf_addf(out, "<%s object at %#llx>", name ? name : "?",
			    (unsigned long long)v->addr);
}

static const struct brackets {
	const char *name, *open, *close, *empty;
} brackets[] = {
	[VALUE_TUPLE] = { "tuple", "(", ")", "()" },
	[VALUE_LIST] = { "list", "[", "]", "[]" },
	[VALUE_DICT] = { "dict", "{", "}", "{}" },
	[VALUE_SET] = { "set", "{", "}", "set()" },
	[VALUE_FROZENSET] = { "frozenset", "frozenset({", "})", "frozenset()" },
};

static bool is_container(const struct value *v)
{
	return v->kind >= VALUE_TUPLE && v->kind <= VALUE_FROZENSET;
}

/* Anything but the items of a container. */
static void show_simple(struct value_reader *r, const struct value *v, struct strbuf *out)
{
	static const char *const literal[] = {
		[VALUE_NEW] = "<unreadable>",
		[VALUE_NOTHING] = "<NULL>",
		[VALUE_UNREADABLE] = "<unreadable>",
		[VALUE_CHANGING] = "<changing>",
		[VALUE_NONE] = "None",
		[VALUE_TRUE] = "True",
		[VALUE_FALSE] = "False",
	};

	if (v->kind <= VALUE_FALSE)
		strbuf_adds(out, literal[v->kind]);
	else if (v->kind == VALUE_INT)
		show_int(v, out);
	else if (v->kind == VALUE_FLOAT)
		repr__float(out, v->number);
	else if (v->kind == VALUE_STR || v->kind == VALUE_BYTES)
		show_text(v, out);
	else if (is_container(v) && !v->len)
		strbuf_adds(out, brackets[v->kind].empty);
	else if (is_container(v))
		strbuf_addf(out, "<%s of %llu>", brackets[v->kind].name,
			    (unsigned long long)v->len);
	else
		show_object(r, v, out);
}

/* The value that follows the text V (a key, an option of a command line) is to be hidden. */
static bool names_secret(const struct value_reader *r, const struct value *v)
{
	struct strbuf name = STRBUF_INIT;
	bool hidden;

	if (v->kind != VALUE_STR && v->kind != VALUE_BYTES)
		return false;
	py_str__decode(&name, &v->data, v->kind == VALUE_STR ? v->char_size : 1);
	hidden = !strbuf_str(&name) || redact__hides(r->redact, strbuf_str(&name));
	strbuf_free(&name);
	return hidden;
}

static void show_item(struct value_reader *r, const struct value *v, size_t i, struct strbuf *out)
{
	const struct value *item = &r->item[v->item + i];
	bool ordered = v->kind == VALUE_LIST || v->kind == VALUE_TUPLE;
	bool value = v->kind == VALUE_DICT && i % 2;

	if (value)
		strbuf_adds(out, ": ");
	else if (i)
		strbuf_adds(out, ", ");
	if ((value || (ordered && i)) && names_secret(r, item - 1))
		strbuf_adds(out, "<hidden>");
	else
		show_simple(r, item, out);
}

/* "[1, 2, 3]", "{'a': 1, ... 9 more}" */
static void show_items(struct value_reader *r, const struct value *v, struct strbuf *out)
{
	const struct brackets *b = &brackets[v->kind];
	uint64_t shown = v->kind == VALUE_DICT ? v->nitems / 2 : v->nitems;

	strbuf_adds(out, b->open);
	for (size_t i = 0; i < v->nitems; i++)
		show_item(r, v, i, out);
	if (shown < v->len)
		strbuf_addf(out, ", ... %llu more", (unsigned long long)(v->len - shown));
	else if (v->kind == VALUE_TUPLE && shown == 1)
		strbuf_addc(out, ',');
	strbuf_adds(out, b->close);
}

bool value_reader__show(struct value_reader *r, size_t i, struct strbuf *out)
{
	const struct value *v = &r->value[i];

	if (v->kind == VALUE_NOTHING)
		return false;
	if (is_container(v) && v->nitems)
		show_items(r, v, out);
	else
		show_simple(r, v, out);
	return true;
}
