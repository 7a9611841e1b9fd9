// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Local variables in memory that was made up, with CPython 3.12's layout: lies of every kind, and
 * containers that change while they are read. What Python really has is in tests/shell/locals.sh.
 */
#include "py/locals.h"

#include <errno.h>

#include "base/clock.h"
#include "image.h"
#include "tap.h"

#define BASE 0x10000u
#define LEN 0x8000u
#define HUGE_LEN (1ull << 60)

/* Where things are in the image. */
enum {
	TYPE = BASE + 0x100, /* classes, 0x10 apart */
	CODE = BASE + 0x1000,
	NAMES = BASE + 0x1100,
	FRAME = BASE + 0x1400,
	NAME = BASE + 0x1800, /* the names, 0x40 apart */
	OBJECT = BASE + 0x3000,
};

enum { T_INT, T_FLOAT, T_STR, T_BYTES, T_TUPLE, T_LIST, T_DICT, T_SET, T_CELL, T_TYPE, T_NONE };

static uint8_t memory[LEN];
static struct image im = { BASE, memory, LEN, 0 };
static struct py_target t;
static struct locals *locals;
static struct redact *redact;
static struct stack stack;
static struct arena arena;
static struct py_frame frame;
static uint64_t next_object;
static size_t nvars;

static void put(uint64_t addr, const void *data, size_t len)
{
	memcpy(memory + (addr - BASE), data, len);
}

static void word(uint64_t addr, uint64_t value)
{
	put(addr, &value, sizeof(value));
}

static uint64_t type(int which)
{
	return TYPE + 0x10u * (unsigned int)which;
}

/* An object of a class, with the word that follows: a length or what stands for it. */
static uint64_t object(int which, uint64_t second)
{
	uint64_t addr = next_object;

	next_object += 0x80;
	word(addr + 8, type(which));
	word(addr + 16, second);
	return addr;
}

static uint64_t ascii(uint64_t addr, const char *text)
{
	word(addr + 8, type(T_STR));
	word(addr + 16, strlen(text));
	word(addr + 32, 1 << 2 | 1 << 5 | 1 << 6);
	put(addr + 40, text, strlen(text));
	return addr;
}

static uint64_t list(uint64_t len, uint64_t items)
{
	uint64_t addr = object(T_LIST, len);

	word(addr + 24, items);
	return addr;
}

static uint64_t set(uint64_t used, uint64_t mask, uint64_t table)
{
	uint64_t addr = object(T_SET, 0);

	word(addr + 24, used);
	word(addr + 32, mask);
	word(addr + 40, table);
	return addr;
}

static uint64_t number(uint64_t tag, uint32_t digit)
{
	uint64_t addr = object(T_INT, tag);

	put(addr + 24, &digit, sizeof(digit));
	return addr;
}

static void begin(void)
{
	memset(memory, 0, sizeof(memory));
	next_object = OBJECT;
	nvars = 0;
	word(CODE + 96, NAMES);
	word(NAMES + 8, type(T_TUPLE));
}

static void var(const char *name, uint64_t value)
{
	word(NAMES + 16, nvars + 1);
	word(NAMES + 24 + 8 * nvars, ascii(NAME + 0x40 * nvars, name));
	word(FRAME + 72 + 8 * nvars, value);
	nvars++;
}

static int look(void)
{
	int err;

	arena__free(&arena);
	frame = (struct py_frame){ .file = "", .name = "" };
	t.deadline_ns = clock_monotonic_ns() + NSEC_PER_SEC;
	locals__begin(locals, redact);
	err = locals__read(locals, &stack);
	locals__show(locals, 0, &arena, &frame);
	return err;
}

static const char *value(const char *name)
{
	for (size_t i = 0; i < frame.nlocals; i++)
		if (!strcmp(frame.local[i].name, name))
			return frame.local[i].value ?: "(unbound)";
	return "(no such name)";
}

static void set_up(void)
{
	struct bytes none = { 0 };

	if (py_layout__choose(0x030c01f0, 0, &none, &t.layout, NULL) ||
	    redact__new(NULL, 0, false, &redact, NULL))
		exit(1);
	t.mem = image_mem(&im);
	t.known.integer = type(T_INT);
	t.known.number = type(T_FLOAT);
	t.str_type = type(T_STR);
	t.known.bytes = type(T_BYTES);
	t.known.tuple = type(T_TUPLE);
	t.known.list = type(T_LIST);
	t.dict_type = type(T_DICT);
	t.known.set = type(T_SET);
	t.known.cell = type(T_CELL);
	t.known.type = type(T_TYPE);
	t.known.none = type(T_NONE);
	locals = locals__new(&t);
	stack.cnt = 1;
	stack.frame[0] = (struct stack_frame){ .addr = FRAME, .code = CODE };
}

static void plain(void)
{
	uint64_t items = OBJECT + 0x1000;

	begin();
	word(items, number(1 << 3, 5));
	word(items + 8, 0);
	word(items + 16, object(T_CELL, 0));
	var("n", number(1 << 3 | 2, 7));
	var("none", t.known.none);
	var("unbound", 0);
	var("cell", object(T_CELL, number(1 << 3, 8)));
	var("empty", object(T_CELL, 0));
	var("list", list(3, items));
	var("password", number(1 << 3, 9));
	is_int(look(), 0, "a frame");
	is_int(frame.nlocals, nvars, "all its variables");
	is_str(value("n"), "-7", "an int");
	is_str(value("none"), "None", "None");
	is_str(value("unbound"), "(unbound)", "nothing");
	is_str(value("cell"), "8", "what is in a cell");
	is_str(value("empty"), "(unbound)", "an empty cell");
	ok(!strncmp(value("list"), "[5, <NULL>, <", 13), "items: %s", value("list"));
	is_str(value("password"), "<hidden>", "a secret");
}

static void lies(void)
{
	uint64_t cycle;

	begin();
	cycle = object(T_CELL, 0);
	word(cycle + 16, cycle);
	var("gone", BASE + LEN + 0x1000);
	var("nowhere", UINT64_MAX - 3);
	var("int", number(UINT64_MAX, 0));
	var("digit", number(1 << 3, UINT32_MAX));
	var("bits", number(3000 << 3, 0));
	var("bytes", object(T_BYTES, HUGE_LEN));
	var("minus", object(T_BYTES, UINT64_MAX));
	var("long", object(T_BYTES, 1 << 20));
	var("tuple", object(T_TUPLE, HUGE_LEN));
	var("list", list(1000, BASE + LEN - 8));
	var("set", set(5, UINT64_MAX, BASE));
	var("void", set(5, 7, 0x10));
	var("cycle", cycle);
	var("classless", object(T_NONE, 0));
	is_int(look(), 0, "lies are a result");
	is_int(frame.nlocals, nvars, "and all of them are shown");
	is_str(value("gone"), "<unreadable>", "not mapped");
	is_str(value("nowhere"), "<unreadable>", "the end of all memory");
	is_str(value("int"), "<unreadable>", "an int of all digits");
	is_str(value("digit"), "<int>", "a digit with too many bits");
	is_str(value("bytes"), "<unreadable>", "bytes without end");
	is_str(value("minus"), "<unreadable>", "a negative length");
	is_str(value("tuple"), "<unreadable>", "a tuple without end");
	is_str(value("list"), "<unreadable>", "items beyond the end");
	is_str(value("set"), "<set of 5>", "a mask of all bits");
	is_str(value("void"), "<unreadable>", "a table nowhere");
	ok(strstr(value("cycle"), " object at "), "a cell in itself: %s", value("cycle"));
	ok(!strncmp(value("classless"), "<? object at 0x", 15), "no class: %s", value("classless"));
}

static void names(void)
{
	begin();
	var("a", t.known.none);
	word(NAMES + 16, 1 << 20);
	is_int(look(), 0, "more names than a function has");
	ok(!frame.local, "are not read");
	word(NAMES + 16, 1);
	word(NAMES + 8, type(T_LIST));
	look();
	ok(!frame.local, "no tuple of names");
	word(NAMES + 8, type(T_TUPLE));
	word(NAMES + 24, BASE + LEN);
	word(FRAME + 72, number(1 << 3, 9));
	look();
	ok(frame.nlocals == 1 && !strcmp(value("?"), "<hidden>"),
	   "a variable whose name cannot be read is hidden");
	word(NAMES + 16, 1000);
	look();
	ok(frame.nlocals == LOCALS_MAX && frame.locals_cut == 1000 - LOCALS_MAX,
	   "too many are counted");
	word(CODE + 96, 0);
	look();
	ok(frame.local && !frame.nlocals, "no names at all");
}

/* Each read moves the memory on: another thread is at work. */
static uint64_t moving;

static ssize_t moving_readv(void *ctx, const struct mem_range *range, size_t cnt)
{
	uint64_t now;

	memcpy(&now, memory + (moving - BASE), sizeof(now));
	word(moving, now + 0x80);
	return image_readv(ctx, range, cnt);
}

static void changes(void)
{
	static const struct mem_ops ops = { .readv = moving_readv };
	uint64_t items = OBJECT + 0x1000, cell;
	struct mem *still = t.mem;

	begin();
	for (int i = 0; i < 40; i++)
		number(1 << 3, (uint32_t)i);
	word(items, OBJECT);
	cell = object(T_CELL, OBJECT);
	var("list", list(1, items));
	var("cell", cell);
	if (mem__from_ops(&ops, &im, &t.mem))
		exit(1);
	moving = items;
	look();
	is_str(value("list"), "<changing>", "a list that changes while it is read");
	is_str(value("cell"), "0", "another value does not suffer");
	word(items, OBJECT);
	moving = cell + 16;
	look();
	is_str(value("cell"), "<changing>", "a cell that changes");
	is_str(value("list"), "[0]", "and not the list");
	mem__free(t.mem);
	t.mem = still;
}

int main(void)
{
	plan(9 + 14 + 6 + 4);
	set_up();
	plain();
	lies();
	names();
	changes();
	arena__free(&arena);
	locals__free(locals);
	locals__free(NULL);
	redact__free(redact);
	mem__free(t.mem);
	return done();
}
