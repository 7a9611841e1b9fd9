// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/cfi.h"

#include <errno.h>
#include <string.h>

#ifdef __aarch64__
#define REG_SP 31
#define REG_FP 29
#define REG_RA 30
#else /* x86_64 */
#define REG_SP 7
#define REG_FP 6
#define REG_RA 16
#endif

#define ENTRY_OPS 8 /* behind length and id */
#define MAX_AUGMENTATION 8
#define LEB_MAX_SHIFT 63

/* How addresses are written (LSB core specification, "DWARF Exception Header Encoding"). */
#define ENC_FORMAT 0x0f
#define ENC_BASE 0x70
#define ENC_ABSOLUTE 0x00
#define ENC_RELATIVE 0x10 /* to where they stand */
#define ENC_INDIRECT 0x80

/* DW_CFA_*: the first three have an operand in their low six bits. */
enum {
	OP_ADVANCE = 0x40,
	OP_OFFSET = 0x80,
	OP_RESTORE = 0xc0,
	OP_NOP = 0x00,
	OP_SET_LOC = 0x01,
	OP_ADVANCE1 = 0x02,
	OP_ADVANCE2 = 0x03,
	OP_ADVANCE4 = 0x04,
	OP_OFFSET_EXTENDED = 0x05,
	OP_RESTORE_EXTENDED = 0x06,
	OP_UNDEFINED = 0x07,
	OP_SAME_VALUE = 0x08,
	OP_REGISTER = 0x09,
	OP_REMEMBER = 0x0a,
	OP_RESTORE_STATE = 0x0b,
	OP_DEF_CFA = 0x0c,
	OP_DEF_CFA_REGISTER = 0x0d,
	OP_DEF_CFA_OFFSET = 0x0e,
	OP_DEF_CFA_EXPRESSION = 0x0f,
	OP_EXPRESSION = 0x10,
	OP_OFFSET_EXTENDED_SF = 0x11,
	OP_DEF_CFA_SF = 0x12,
	OP_DEF_CFA_OFFSET_SF = 0x13,
	OP_VAL_OFFSET = 0x14,
	OP_VAL_OFFSET_SF = 0x15,
	OP_VAL_EXPRESSION = 0x16,
	OP_GNU_ARGS_SIZE = 0x2e,
};

/* Reads on and on; what is not there is 0 and makes it BAD, which is asked once. */
struct cursor {
	struct bytes b;
	uint64_t at;
	bool bad;
};

static const uint8_t *take(struct cursor *c, uint64_t len)
{
	const uint8_t *p = bytes_at(&c->b, c->at, len);

	if (!p) {
		c->bad = true;
		return NULL;
	}
	c->at += len;
	return p;
}

static uint64_t take_uint(struct cursor *c, size_t len)
{
	const uint8_t *p = take(c, len);
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, len);
	return v;
}

static int64_t extend(uint64_t v, size_t len)
{
	unsigned int unused = 64 - 8 * (unsigned int)len;

	return (int64_t)(v << unused) >> unused;
}

/* LEB128. AS_SIGNED: the last byte's bit 6 is the sign. */
static uint64_t take_leb(struct cursor *c, bool as_signed)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)take_uint(c, 1);
		if (shift <= LEB_MAX_SHIFT)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && !c->bad);
	if (as_signed && byte & 0x40 && shift <= LEB_MAX_SHIFT)
		v |= ~0ULL << shift;
	return v;
}

static uint64_t take_uleb(struct cursor *c)
{
	return take_leb(c, false);
}

static int64_t take_sleb(struct cursor *c)
{
	return (int64_t)take_leb(c, true);
}

/* WHERE: the address of the entry's first byte. */
static uint64_t take_pointer(struct cursor *c, uint8_t enc, uint64_t where)
{
	/* by ENC_FORMAT; 0: no such */
	static const uint8_t len[] = { 8, 0, 2, 4, 8, 0, 0, 0, 0, 0, 2, 4, 8, 0, 0, 0 };
	size_t n = len[enc & ENC_FORMAT];
	uint64_t base = (enc & ENC_BASE) == ENC_RELATIVE ? where + c->at : 0, v;

	if (!n || enc & ENC_INDIRECT ||
	    ((enc & ENC_BASE) != ENC_ABSOLUTE && (enc & ENC_BASE) != ENC_RELATIVE)) {
		c->bad = true;
		return 0;
	}
	v = take_uint(c, n);
	return base + (enc & 8 ? (uint64_t)extend(v, n) : v);
}

/* Both addresses of an FDE are written in the same way, but for what they count from. */
static uint8_t as_length(uint8_t enc)
{
	return enc & 7;
}

/* What stands behind "z" in an augmentation. */
static void take_augmentation(struct cursor *c, const uint8_t *text, struct cfi_common *out)
{
	uint64_t len = take_uleb(c), end = c->at + len;
	uint8_t enc;

	out->sized = true;
	for (size_t i = 1; text[i] && i < MAX_AUGMENTATION && !c->bad; i++) {
		switch (text[i]) {
		case 'R':
			out->pointers = (uint8_t)take_uint(c, 1);
			break;
		case 'L':
			take_uint(c, 1);
			break;
		case 'P':
			enc = (uint8_t)take_uint(c, 1);
			take_pointer(c, enc & ENC_FORMAT, 0);
			break;
		case 'S':
			out->signal = true;
			break;
		}
	}
	if (len > c->b.len)
		c->bad = true;
	c->at = end;
}

static void rest(const struct cursor *c, struct bytes *out)
{
	const uint8_t *p = c->at <= c->b.len ? bytes_at(&c->b, c->at, c->b.len - c->at) : NULL;

	*out = (struct bytes){ p, p ? (size_t)(c->b.len - c->at) : 0 };
}

int cfi_common__parse(const struct bytes *entry, struct cfi_common *out)
{
	struct cursor c = { .b = *entry, .at = ENTRY_OPS };
	const uint8_t *text, *nul;
	uint64_t version, ra;
	uint32_t id;

	*out = (struct cfi_common){ 0 };
	if (bytes_u32(entry, 4, &id) || id)
		return -EINVAL;
	version = take_uint(&c, 1);
	if (version != 1 && version != 3)
		return -EOPNOTSUPP;
	text = bytes_at(entry, c.at, MAX_AUGMENTATION);
	nul = text ? memchr(text, 0, MAX_AUGMENTATION) : NULL;
	if (!nul)
		return -EINVAL;
	if (*text && *text != 'z')
		return -EOPNOTSUPP;
	c.at += (uint64_t)(nul - text) + 1;
	out->code_align = take_uleb(&c);
	out->data_align = take_sleb(&c);
	ra = version == 1 ? take_uint(&c, 1) : take_uleb(&c);
	if (*text)
		take_augmentation(&c, text, out);
	if (c.bad || c.at > entry->len)
		return -EINVAL;
	if (ra != REG_RA)
		return -EOPNOTSUPP;
	rest(&c, &out->ops);
	return 0;
}

uint32_t cfi__common_distance(const struct bytes *entry)
{
	uint32_t id;

	bytes_u32(entry, 4, &id);
	return id;
}

/* ---- the program ----------------------------------------------------------------------------- */

struct machine {
	const struct cfi_common *common;
	struct cursor c;
	uint64_t loc, pc;
	struct cfi_row row, initial;
	struct cfi_row kept[CFI_MAX_STATES];
	size_t nkept;
	bool done; /* the row of PC is reached */
};

static struct cfi_rule *rule_of(struct machine *m, uint64_t reg)
{
	return reg == REG_FP ? &m->row.fp : reg == REG_RA ? &m->row.ra : NULL;
}

static void set_rule(struct machine *m, uint64_t reg, enum cfi_kind kind, int64_t off)
{
	struct cfi_rule *rule = rule_of(m, reg);

	if (rule)
		*rule = (struct cfi_rule){ kind, off };
}

/* Factors come from the file: their product may be anything, but it is no undefined behaviour. */
static int64_t scale(const struct machine *m, int64_t n)
{
	return (int64_t)((uint64_t)n * (uint64_t)m->common->data_align);
}

static void restore_rule(struct machine *m, uint64_t reg)
{
	struct cfi_rule *rule = rule_of(m, reg);

	if (rule)
		*rule = reg == REG_FP ? m->initial.fp : m->initial.ra;
}

static void set_base(struct machine *m, uint64_t reg)
{
	m->row.base = reg == REG_SP ? CFI_BASE_SP : reg == REG_FP ? CFI_BASE_FP : CFI_BASE_OTHER;
}

static void advance(struct machine *m, uint64_t delta)
{
	m->loc += delta * m->common->code_align;
	if (m->loc > m->pc)
		m->done = true;
}

static void keep(struct machine *m)
{
	if (m->nkept == CFI_MAX_STATES)
		m->c.bad = true;
	else
		m->kept[m->nkept++] = m->row;
}

static void put_back(struct machine *m)
{
	if (!m->nkept)
		m->c.bad = true;
	else
		m->row = m->kept[--m->nkept];
}

static void skip_block(struct machine *m)
{
	take(&m->c, take_uleb(&m->c));
}

static void run_extended(struct machine *m, uint8_t op)
{
	struct cursor *c = &m->c;
	uint64_t reg = take_uleb(c);

	switch (op) {
	case OP_OFFSET_EXTENDED:
		set_rule(m, reg, CFI_OFFSET, scale(m, (int64_t)take_uleb(c)));
		break;
	case OP_OFFSET_EXTENDED_SF:
		set_rule(m, reg, CFI_OFFSET, scale(m, take_sleb(c)));
		break;
	case OP_RESTORE_EXTENDED:
		restore_rule(m, reg);
		break;
	case OP_UNDEFINED:
		set_rule(m, reg, CFI_UNDEFINED, 0);
		break;
	case OP_SAME_VALUE:
		set_rule(m, reg, CFI_SAME, 0);
		break;
	case OP_REGISTER:
	case OP_VAL_OFFSET:
	case OP_VAL_OFFSET_SF:
		take_uleb(c);
		set_rule(m, reg, CFI_OTHER, 0);
		break;
	case OP_EXPRESSION:
	case OP_VAL_EXPRESSION:
		skip_block(m);
		set_rule(m, reg, CFI_OTHER, 0);
		break;
	case OP_DEF_CFA:
		set_base(m, reg);
		m->row.off = (int64_t)take_uleb(c);
		break;
	case OP_DEF_CFA_SF:
		set_base(m, reg);
		m->row.off = scale(m, take_sleb(c));
		break;
	case OP_DEF_CFA_REGISTER:
		set_base(m, reg);
		break;
	default:
		c->bad = true;
	}
}

static void run_op(struct machine *m, uint8_t op)
{
	struct cursor *c = &m->c;

	switch (op) {
	case OP_NOP:
		break;
	case OP_ADVANCE1:
		advance(m, take_uint(c, 1));
		break;
	case OP_ADVANCE2:
		advance(m, take_uint(c, 2));
		break;
	case OP_ADVANCE4:
		advance(m, take_uint(c, 4));
		break;
	case OP_REMEMBER:
		keep(m);
		break;
	case OP_RESTORE_STATE:
		put_back(m);
		break;
	case OP_DEF_CFA_OFFSET:
		m->row.off = (int64_t)take_uleb(c);
		break;
	case OP_DEF_CFA_OFFSET_SF:
		m->row.off = scale(m, take_sleb(c));
		break;
	case OP_DEF_CFA_EXPRESSION:
		skip_block(m);
		m->row.base = CFI_BASE_OTHER;
		break;
	case OP_GNU_ARGS_SIZE:
		take_uleb(c);
		break;
	case OP_SET_LOC: /* compilers do not write it */
		c->bad = true;
		break;
	default:
		run_extended(m, op);
	}
}

/* Up to the row of PC, or all of OPS. */
static int run(struct machine *m, const struct bytes *ops)
{
	uint8_t op, low;

	m->c = (struct cursor){ .b = *ops };
	for (size_t i = 0; i < CFI_MAX_OPS && m->c.at < ops->len && !m->done && !m->c.bad; i++) {
		op = (uint8_t)take_uint(&m->c, 1);
		low = op & 0x3f;
		if ((op & 0xc0) == OP_ADVANCE)
			advance(m, low);
		else if ((op & 0xc0) == OP_OFFSET)
			set_rule(m, low, CFI_OFFSET, scale(m, (int64_t)take_uleb(&m->c)));
		else if ((op & 0xc0) == OP_RESTORE)
			restore_rule(m, low);
		else
			run_op(m, op);
	}
	return m->c.bad ? -EINVAL : 0;
}

int cfi_row__find(const struct bytes *entry, uint64_t addr, const struct cfi_common *common,
		  uint64_t pc, struct cfi_row *out)
{
	struct machine m = { .common = common, .pc = pc };
	struct cursor c = { .b = *entry, .at = ENTRY_OPS };
	uint64_t start, len, skip;
	struct bytes ops;
	int err;

	start = take_pointer(&c, common->pointers, addr);
	len = take_pointer(&c, as_length(common->pointers), 0);
	if (common->sized) {
		skip = take_uleb(&c);
		take(&c, skip);
	}
	if (c.bad)
		return -EINVAL;
	if (pc < start || pc - start >= len)
		return -ENOENT;
	rest(&c, &ops);
	m.row = (struct cfi_row){ .base = CFI_BASE_OTHER, .signal = common->signal };
	m.pc = UINT64_MAX; /* the common part has no rows */
	err = run(&m, &common->ops);
	if (err)
		return err;
	m.initial = m.row;
	m.loc = start;
	m.pc = pc;
	m.done = false;
	err = run(&m, &ops);
	*out = m.row;
	return err;
}
