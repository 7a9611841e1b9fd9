// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/unicode.h"

#include <errno.h>

#include "base/text.h"

#define LEN_MAX (1ull << 40) /* more than any machine holds: no str */

/* state: interned (2 bits), kind (3), compact (1), ascii (1) */
int py_str__parse(const struct py_layout *l, const struct bytes *head, struct py_str *out)
{
	uint32_t state;
	bool ascii;

	*out = (struct py_str){ 0 };
	if (bytes_u64(head, l->str.length, &out->len) || bytes_u32(head, l->str.state, &state))
		return -EINVAL;
	state >>= l->str.interned_bits;
	out->kind = state & 7;
	out->compact = state >> 3 & 1;
	ascii = state >> 4 & 1;
	if ((out->kind != 1 && out->kind != 2 && out->kind != 4) || out->len > LEN_MAX ||
	    (ascii && out->kind != 1))
		return -EINVAL;
	out->data = out->compact && ascii ? l->str.ascii_size : l->str.compact_size;
	return 0;
}

void utf8_add(struct strbuf *out, uint32_t c)
{
	if (c < 0x80) {
		strbuf_addc(out, (char)c);
	} else if (c < 0x800) {
		strbuf_addc(out, (char)(0xc0 | c >> 6));
		strbuf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		strbuf_addc(out, (char)(0xe0 | c >> 12));
		strbuf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		strbuf_addc(out, (char)(0x80 | (c & 0x3f)));
	} else {
		strbuf_addc(out, (char)(0xf0 | c >> 18));
		strbuf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
		strbuf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
		strbuf_addc(out, (char)(0x80 | (c & 0x3f)));
	}
}

static void add_char(struct strbuf *out, uint32_t c)
{
	if (c >= 0xdc80 && c <= 0xdcff)
		strbuf_addc(out, (char)(c - 0xdc00));
	else if (c >= 0xd800 && c <= 0xdfff)
		strbuf_addf(out, "\\u%04x", c);
	else if (c > 0x10ffff)
		strbuf_addf(out, "\\U%08x", c);
	else
		utf8_add(out, c);
}

void py_str__decode(struct strbuf *out, const struct bytes *data, uint32_t kind)
{
	struct strbuf raw = STRBUF_INIT;
	uint32_t c4;
	uint16_t c2;
	uint8_t c1;

	for (uint64_t at = 0; at + kind <= data->len; at += kind) {
		if (kind == 1)
			c4 = bytes_u8(data, at, &c1) ? 0 : c1;
		else if (kind == 2)
			c4 = bytes_u16(data, at, &c2) ? 0 : c2;
		else if (bytes_u32(data, at, &c4))
			break;
		add_char(&raw, c4);
	}
	if (strbuf_str(&raw))
		text_sanitize(out, strbuf_str(&raw), raw.len);
	else
		out->failed = true;
	strbuf_free(&raw);
}
