/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the fields of one interpreter build lie, and how it behaves, as data: the walker compares
 * no versions. Up to 3.12 the offsets are a table; from 3.13 most come from the process itself
 * (_Py_DebugOffsets) and are checked like everything else that comes from there.
 *
 * Adding a version is adding a row to layout_table.c and a measurement to scripts/layouts
 * (scripts/gen-layouts.py --measure).
 */
#ifndef PERPETUO_PY_LAYOUT_H
#define PERPETUO_PY_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "bpf/pywalk_abi.h"

#define PY_NONE PYWALK_NONE /* as an offset: this version has no such field */
#define PY_RUNTIME_HEAD 1024 /* bytes of _PyRuntime that hold every _Py_DebugOffsets */
#define PY_TSTATE_BYTES 512 /* all used fields of a thread state lie within so many bytes */
#define PY_CODE_BYTES 256 /* the same of a code object */
#define PY_STR_BYTES 96 /* the same of the head of a str */
#define PY_HEAD_BYTES 96 /* the same of the head of an int, float, tuple, list, dict or set */
#define PY_NAME_TUPLES 3 /* variables, cells, free variables (one for all from 3.11) */

/* The format of the line table. */
enum py_lines {
	PY_LINES_LOCATIONS, /* 3.11: lines and columns, PEP 657 */
	PY_LINES_RANGES, /* 3.10: PEP 626 */
	PY_LINES_LNOTAB, /* 3.9 */
};

/* How the attributes of an instance without slots are kept (CPYTHON.md 3.1). */
enum py_attributes {
	PY_ATTR_VALUES_PTR, /* 3.11: pointer to values before the object, beside a dict pointer */
	PY_ATTR_TAGGED, /* 3.12: one word for both; bit 0 says values */
	PY_ATTR_INLINE, /* 3.13: dict pointer, else values behind the object */
	PY_ATTR_DICT, /* before 3.11: a dict pointer in the object, where the type says */
};

/* Offsets in bytes. */
struct py_layout {
	struct {
		uint32_t interpreters_head, interpreters_main;
		uint32_t gil; /* the one GIL, in the runtime itself */
		uint32_t world; /* stop-the-world state of all interpreters; 0 = none */
	} runtime;
	struct {
		uint32_t next, id, threads_head, modules;
		uint32_t gil; /* pointer to the interpreter's GIL */
		uint32_t own_gil; /* the GIL itself, used or not; 0 = not known */
		uint32_t world; /* stop-the-world state; 0 = none */
		uint32_t size; /* 0 = not known */
		uint32_t gc; /* what `gc` lies in */
	} interp;
	struct {
		uint32_t last_holder, locked;
	} gil;
	struct {
		uint32_t collecting; /* int */
	} gc; /* from interp.gc on */
	struct {
		uint32_t next, interp;
		uint32_t frame; /* current frame, or cframe where cframe.frame exists */
		uint32_t thread_id, chunk, top;
		uint32_t native_id;
		/* thread_id is the address of the C library's struct of the thread, in which the
		 * tid lies so many bytes behind */
		uint32_t pthread_tid;
		uint32_t state; /* free-threaded: does it run Python code? 0 = not known */
		bool native_id_of_creator; /* in subinterpreters: not always of who runs it */
		/* asyncio's running loop: a pointer (3.13), an item of the thread's dict (before);
		 * 0 = not here */
		uint32_t running_loop, dict;
		uint32_t context; /* the current context, and behind it context_ver */
	} ts;
	struct {
		uint32_t frame, previous;
	} cframe;
	struct {
		uint32_t previous, top, data;
	} chunk; /* of the data stack; top counts words from data */
	struct {
		uint32_t previous, code, instr, owner;
		uint32_t mark, mark_val; /* marks the oldest frame of one C eval loop */
		uint32_t gen_owner; /* owner of a generator's frame, where it never ends a chain */
		uint32_t shim_owner; /* this owner and above: no Python frame */
		uint32_t code_tag; /* bits of the code pointer that are no part of the address */
		uint32_t step; /* instr is a number of steps of so many bytes; 0: an address */
		uint32_t span; /* bytes that hold all of the above */
	} frame;
	struct {
		uint32_t filename, firstlineno, linetable, bytecode;
		uint32_t qualname; /* the plain name where there is no other */
		uint32_t version; /* number that no two code objects share */
		uint32_t copies; /* pointer to the bytecode of each thread: count, addresses */
		uint32_t object; /* pointer to the bytecode where it is a bytes object */
		enum py_lines lines;
		uint32_t span;
	} code;
	struct {
		uint32_t type, var_size;
	} object;
	struct {
		uint32_t flags, basicsize, cached_keys;
		uint32_t dictoffset; /* PY_ATTR_DICT, and classes that keep to it; 0 = not used */
		uint32_t name; /* pointer to C text */
		uint32_t dict;
		uint32_t qualname; /* of a class that Python code made */
	} type;
	struct {
		uint32_t length, state, ascii_size, compact_size;
		uint32_t interned_bits; /* before the kind in state */
	} str;
	struct {
		uint32_t data;
	} bytes;
	struct {
		uint32_t keys, values;
		uint32_t used;
	} dict;
	struct {
		uint32_t index_log2, kind, count, indices;
		/* where it is there, the number of indices: index_log2 and kind are then not, and
		 * every entry has a hash */
		uint32_t size;
	} keys;
	struct {
		uint32_t dict;
	} module;
	struct {
		uint32_t digits;
		uint32_t tag; /* digits << 3 | sign; PY_NONE: var_size has count and sign */
	} integer;
	struct {
		enum py_attributes kind;
		uint32_t before; /* the word(s) lie so many bytes before the object */
		uint32_t values; /* the first value, from where the values begin */
	} attributes;
	struct {
		uint32_t first; /* the first value, from the frame */
		uint32_t tag_mask; /* bits of a value that are no part of the address */
		/* tuples of names in the code object: those of the second follow those of the first
		 */
		uint32_t names[PY_NAME_TUPLES]; /* PY_NONE: no such tuple */
	} locals;
	struct {
		uint32_t items;
	} tuple;
	struct {
		uint32_t items; /* pointer to them */
	} list;
	struct {
		uint32_t value;
	} number; /* float */
	struct {
		uint32_t used, mask, table; /* entries of 16 bytes: object, hash */
	} set;
	struct {
		/* of a generator or coroutine, in the object; 0 = not known */
		uint32_t frame;
		bool frame_is_pointer; /* the frame is an object of its own (before 3.11) */
		/* signed byte in the object, or in the frame's; the values of it that matter: */
		uint32_t state;
		int8_t created, running, suspended;
		int8_t awaiting; /* suspended in an await; = suspended: not told apart */
		int8_t locked; /* the same, and somebody looks at it; = awaiting: no such state */
		/* In the frame: words in use from `base` on (int), or a pointer behind them. */
		uint32_t top;
		bool top_is_pointer;
		uint32_t base; /* in the frame: pointer to the value stack; 0 = the locals */
		uint32_t below; /* what is awaited lies so many words below the top */
		uint8_t yield_from; /* opcode that follows in an await; 0 = RESUME tells */
		uint32_t qualname; /* where code objects have none; 0 = they do */
	} gen;
	struct {
		uint32_t object;
	} weakref;
	/* The build (its sizes) was measured, or speaks for itself: before a stack has proven it no
	 * stack is called exact; one that is not is refused. */
	bool known_build;
};

/* "3.14.10", "3.13.0rc2"; "3.9" where the rest of HEX is 0: not known */
#define PY_VERSION_LEN 32
void py_version__format(uint32_t hex, char out[PY_VERSION_LEN]);

/*
 * The layout of the build with version number HEX (PY_VERSION_HEX) and a _PyRuntime of SIZE bytes
 * (st_size of the symbol), which begins with HEAD. 0 and *OUT, or -EOPNOTSUPP and in ERR what it is
 * and what is known.
 */
int py_layout__choose(uint32_t hex, uint64_t size, const struct bytes *head, struct py_layout *out,
		      struct err *err);

/*
 * HEX of a build that does not export its version, by the SIZE of its _PyRuntime, else by the
 * series that its file name tells ("3.9"; NULL: none). Its lower half is 0; all of it: not known.
 */
uint32_t py_layout__unversioned(const char *series, uint64_t size);

/* The error of py_layout__choose() for a version that is only known by name ("3.9"): says that it
 * is not known. */
int py_layout__refuse(const char *version, struct err *err);

/* Is this series ("3.12") one of those that are known? */
bool py_layout__known(const char *series);

/* What the BPF program must know of it. */
void py_layout__export(const struct py_layout *layout, struct pywalk_layout *out);

#endif
