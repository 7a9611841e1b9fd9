#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The offsets in user/py/layout_table.c, from what was measured (scripts/layouts/*.json).

    gen-layouts.py            writes them into the table, and above each row from what it was made
    gen-layouts.py --check    says where the table differs, exit status 1 if it does
    gen-layouts.py --measure INCLUDE [FLAG...]
                              prints what the headers of a CPython say, for a new file in
                              scripts/layouts; FLAGs go to the compiler (-DPy_GIL_DISABLED=1)

A row is offsets and behaviour. Behaviour (what an owner means, states of generators) is written by
hand; every offset must have a source here, and all sources of a row must agree. From 3.13 most
offsets come from the process; of them the words of _Py_DebugOffsets are what is written.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = os.path.join(TOP, "user/py/layout_table.c")
FOLDER = os.path.join(TOP, "scripts/layouts")
NONE = "PY_NONE"

# The builds of a row. "not run": there are headers, but no such interpreter was ever met.
SOURCES = {
    "3.9": ["3.9.18", "3.9.2-debian", "3.9-arm64"],
    "3.10": ["3.10.13", "3.10-arm64"],
    "3.11": ["3.11.7", "3.11.2-debian", "3.11-arm64"],
    "3.12": ["3.12.1", "3.12.3-ubuntu", "3.12-arm64"],
    "3.13": ["3.13.0", "3.13.18-debian", "3.13.18-debug", "3.13-arm64"],
    "3.13t": ["3.13.15t", "3.13.15t-arm64"],
    "3.14": ["3.14.0-ubuntu", "3.14.10-debian", "3.14.10-debug", "3.14-arm64"],
    "3.14t": ["3.14.4t", "3.14.4t-arm64"],
    "3.15": ["3.15.2-debian", "3.15.2-debug", "3.15-arm64"],
    "3.15t": ["3.15.2t-headers"],
}

# A field of struct py_layout: what it is called in a measurement, in one version or another.
FIELDS = {
    "runtime.interpreters_head": ["runtime.interpreters_head"],
    "runtime.interpreters_main": ["runtime.interpreters_main"],
    "runtime.gil": ["runtime.gil"],
    "runtime.world": ["runtime.stoptheworld"],
    "interp.next": ["interp.next"],
    "interp.id": ["interp.id"],
    "interp.threads_head": ["interp.threads_head"],
    "interp.modules": ["interp.modules"],
    "interp.gil": ["interp.ceval_gil_ptr"],
    "interp.own_gil": ["interp.own_gil"],
    "interp.world": ["interp.stoptheworld"],
    "interp.size": ["interp.size"],
    "gc.collecting": ["interp.gc_collecting"],  # up to 3.12: from the interpreter on
    "gil.last_holder": ["gil.last_holder"],
    "gil.locked": ["gil.locked"],
    "ts.next": ["tstate.next"],
    "ts.interp": ["tstate.interp"],
    "ts.frame": ["tstate.frame", "tstate.cframe", "tstate.current_frame"],
    "ts.thread_id": ["tstate.thread_id"],
    "ts.native_id": ["tstate.native_thread_id"],
    "ts.chunk": ["tstate.datastack_chunk"],
    "ts.top": ["tstate.datastack_top"],
    "ts.state": ["tstate.state"],
    "ts.dict": ["tstate.dict"],
    "ts.context": ["tstate.context"],
    "ts.size": ["tstate.size"],
    "ts.running_loop": ["tstateimpl.asyncio_running_loop"],
    "cframe.frame": ["cframe.current_frame"],
    "cframe.previous": ["cframe.previous"],
    "chunk.previous": ["chunk.previous"],
    "chunk.top": ["chunk.top"],
    "chunk.data": ["chunk.data"],
    "frame.previous": ["iframe.previous", "frame.back"],
    "frame.code": ["iframe.executable", "frame.code"],
    "frame.instr": ["iframe.instr_ptr", "frame.lasti"],
    "frame.owner": ["iframe.owner"],
    "frame.mark": ["iframe.is_entry"],
    "code.filename": ["code.filename"],
    "code.qualname": ["code.qualname", "code.name"],
    "code.firstlineno": ["code.firstlineno"],
    "code.linetable": ["code.linetable", "code.lnotab"],
    "code.bytecode": ["code.code_adaptive"],
    "code.version": ["code.version"],
    "code.copies": ["code.tlbc"],
    "code.object": ["code.code"],
    "object.type": ["object.ob_type"],
    "object.var_size": ["var.ob_size"],
    "type.flags": ["type.tp_flags"],
    "type.basicsize": ["type.tp_basicsize"],
    "type.cached_keys": ["heaptype.ht_cached_keys"],
    "type.qualname": ["heaptype.ht_qualname"],
    "type.dictoffset": ["type.tp_dictoffset"],
    "type.name": ["type.tp_name"],
    "type.dict": ["type.tp_dict"],
    "str.length": ["unicode.length"],
    "str.state": ["unicode.state"],
    "str.ascii_size": ["unicode.asciiobject_size"],
    "str.compact_size": ["unicode.compact_size"],
    "bytes.data": ["bytes.ob_sval"],
    "dict.keys": ["dict.ma_keys"],
    "dict.values": ["dict.ma_values"],
    "dict.used": ["dict.ma_used"],
    "keys.size": ["keys.dk_size"],
    "keys.index_log2": ["keys.dk_log2_index_bytes"],
    "keys.kind": ["keys.dk_kind"],
    "keys.count": ["keys.dk_nentries"],
    "keys.indices": ["keys.dk_indices"],
    "module.dict": ["module.md_dict"],
    "integer.digits": ["long.ob_digit"],
    "integer.tag": ["long.lv_tag"],
    "locals.first": ["iframe.localsplus", "frame.localsplus"],
    "locals.names[0]": ["code.localsplusnames", "code.varnames"],
    "locals.names[1]": ["code.cellvars"],
    "locals.names[2]": ["code.freevars"],
    "tuple.items": ["tuple.ob_item"],
    "list.items": ["list.ob_item"],
    "number.value": ["float.ob_fval"],
    "set.used": ["set.used"],
    "set.mask": ["set.mask"],
    "set.table": ["set.table"],
    "attributes.values": ["dictvalues.values"],
    "gen.frame": ["gen.iframe", "gen.frame"],
    "gen.state": ["gen.frame_state", "frame.state", "frame.executing"],
    "gen.top": ["iframe.stacktop", "iframe.stackpointer", "frame.stacktop", "frame.stackdepth"],
    "gen.base": ["frame.valuestack"],
    "gen.qualname": ["gen.qualname"],
    "weakref.object": ["weakref.wr_object"],
}

# What is no offset, or of no struct of CPython.
BEHAVIOUR = {
    "ts.native_id_of_creator", "frame.mark_val", "frame.gen_owner", "frame.shim_owner",
    "frame.code_tag", "frame.step", "code.lines", "str.interned_bits", "attributes.kind",
    "attributes.before", "locals.tag_mask", "gen.created", "gen.running", "gen.suspended", "gen.awaiting",
    "gen.locked", "gen.below", "gen.top_is_pointer", "gen.frame_is_pointer", "gen.yield_from",
}

# Fields that do not follow the rule above in one version.
EXCEPTIONS = {
    ("3.12", "frame.mark"): "iframe.owner",  # no is_entry: the frame of an entry has an owner of its own
}

# In rows whose process tells: the distance from a field that it tells.
RELATIVE = {
    "runtime.interpreters_main": "runtime.interpreters_head",
    "runtime.world": "runtime.interpreters_head",
    "interp.world": "interp.own_gil",
    "ts.top": "tstate.datastack_chunk",
    "str.compact_size": "unicode.asciiobject_size",
    "ts.running_loop": "tstate.size",
}

# Members of _Py_DebugOffsets.
DEBUG = {
    "runtime.interpreters_head": "runtime_state.interpreters_head",
    "interp.size": "interpreter_state.size",
    "interp.id": "interpreter_state.id",
    "interp.next": "interpreter_state.next",
    "interp.threads_head": "interpreter_state.threads_head",
    "interp.gc": "interpreter_state.gc",
    "gc.collecting": "gc.collecting",
    "interp.modules": "interpreter_state.imports_modules",
    "interp.gil": "interpreter_state.ceval_gil",
    "interp.own_gil": "interpreter_state.gil_runtime_state",
    "gil.locked": "interpreter_state.gil_runtime_state_locked",
    "gil.last_holder": "interpreter_state.gil_runtime_state_holder",
    "ts.size": "thread_state.size",
    "ts.running_loop": "thread_state.size",
    "ts.next": "thread_state.next",
    "ts.interp": "thread_state.interp",
    "ts.frame": "thread_state.current_frame",
    "ts.thread_id": "thread_state.thread_id",
    "ts.native_id": "thread_state.native_thread_id",
    "ts.chunk": "thread_state.datastack_chunk",
    "frame.previous": "interpreter_frame.previous",
    "frame.code": "interpreter_frame.executable",
    "frame.instr": "interpreter_frame.instr_ptr",
    "locals.first": "interpreter_frame.localsplus",
    "frame.owner": "interpreter_frame.owner",
    "gen.top": "interpreter_frame.stackpointer",
    "code.filename": "code_object.filename",
    "code.qualname": "code_object.qualname",
    "code.linetable": "code_object.linetable",
    "code.firstlineno": "code_object.firstlineno",
    "locals.names[0]": "code_object.localsplusnames",
    "code.bytecode": "code_object.co_code_adaptive",
    "code.copies": "code_object.co_tlbc",
    "object.type": "pyobject.ob_type",
    "type.name": "type_object.tp_name",
    "type.flags": "type_object.tp_flags",
    "tuple.items": "tuple_object.ob_item",
    "list.items": "list_object.ob_item",
    "set.used": "set_object.used",
    "set.mask": "set_object.mask",
    "set.table": "set_object.table",
    "dict.keys": "dict_object.ma_keys",
    "dict.values": "dict_object.ma_values",
    "number.value": "float_object.ob_fval",
    "integer.tag": "long_object.lv_tag",
    "integer.digits": "long_object.ob_digit",
    "object.var_size": "bytes_object.ob_size",
    "bytes.data": "bytes_object.ob_sval",
    "str.state": "unicode_object.state",
    "str.length": "unicode_object.length",
    "str.ascii_size": "unicode_object.asciiobject_size",
    "gen.frame": "gen_object.gi_iframe",
    "gen.state": "gen_object.gi_frame_state",
}
DEBUG_BASE = {"gil.locked": "interpreter_state.gil_runtime_state",
              "gil.last_holder": "interpreter_state.gil_runtime_state"}

problems = []


def load(name):
    with open(os.path.join(FOLDER, name + ".json"), encoding="utf-8") as file:
        return json.load(file)


# ---- the rows ----------------------------------------------------------------------------------

def leaves(text, start):
    """(path, start, end) of each value of the initialiser that begins behind the brace at START."""
    path, place = [], start
    token = re.compile(r"\.(\w+) = (\{)|\.(\w+) = (-?\w+)|([{}])|(-?\w+)|/\*.*?\*/|.", re.S)
    count = []
    while True:
        m = token.match(text, place)
        place = m.end()
        if m.group(2):
            path.append(m.group(1))
            count.append(0)
        elif m.group(3):
            yield ".".join(path + [m.group(3)]), m.start(4), m.end(4)
        elif m.group(5) == "}":
            if not path:
                return
            path.pop()
            count.pop()
        elif m.group(6) and path:
            yield "%s[%d]" % (".".join(path), count[-1]), m.start(6), m.end(6)
            count[-1] += 1


def measured(series, debug, path):
    """The value that the sources of SERIES give, as text; None: they say nothing of it."""
    names = [EXCEPTIONS[series, path]] if (series, path) in EXCEPTIONS else FIELDS[path]
    found = {}
    for build in SOURCES[series]:
        data = load(build)
        for name in names:
            if name in data:
                value = data[name] - (data[RELATIVE[path]] if debug and path in RELATIVE else 0)
                found.setdefault(value, []).append(build)
                break
    if len(found) > 1:
        problems.append("%s: %s differs: %s" % (series, path, found))
    return str(min(found)) if found else None


def row_edits(text, series, start):
    """The corrections of a row, as (start, end, new text)."""
    end = text.index("\n\t},", start)
    debug = ".debug = " in text[start:end]
    layout = text.index(".layout = {", start) + len(".layout = {")
    for path, first, last in leaves(text, layout):
        old = text[first:last]
        if path in BEHAVIOUR:
            continue
        if path not in FIELDS:
            problems.append("%s: no source for %s: see FIELDS and BEHAVIOUR" % (series, path))
            continue
        new = measured(series, debug, path) or NONE
        # what the process tells of some builds only, or what a version has elsewhere
        if old == NONE and debug or old == "0" and (debug and path in DEBUG or new == NONE):
            continue
        if old != new:
            yield first, last, new, "%s: %s is %s, measured was %s" % (series, path, old, new)


def sizes_of(text, series, start):
    """The sizes of _PyRuntime in a row must be those of its sources."""
    end = text.index("\n\t},", start)
    m = re.search(r"\.size = \{(.*?)\}", re.sub(r"/\*.*?\*/", "", text[start:end]))
    if not m:
        return
    told = {int(n) for n in re.findall(r"\d{3,}", m.group(1))}
    known = {load(build)["runtime.size"] for build in SOURCES[series]}
    if told != known:
        problems.append("%s: sizes of _PyRuntime are %s, measured were %s" % (series, told, known))


def rows(text):
    """(series, place of its brace)"""
    for m in re.finditer(r'\n\t\{\n(?:\t\t/\*[^\n]*\*/\n)?\t\t\.hex = 0x\w+, \.name = "([\w.]+)"', text):
        yield m.group(1), m.start() + 1


def origin(text, series, start):
    """The line that says from what a row was made."""
    line = "\t\t/* measured: %s */\n" % ", ".join(SOURCES[series])
    first = text.index("\n", start) + 1
    m = re.compile(r"\t\t/\* measured:.*?\*/\n").match(text, first)
    last = m.end() if m else first
    if text[first:last] != line:
        yield first, last, line, "%s: it does not say from what it was made" % series


# ---- _Py_DebugOffsets --------------------------------------------------------------------------

def debug_edits(text):
    for m in re.finditer(r"struct debug_field debug_(\d)(\d+)\[\] = \{", text):
        series = "%s.%s" % m.groups()
        words = load("debug-offsets-" + series)["words"]
        body = text[m.end():text.index("\n};", m.end())]
        entry = r"\{ (\d+), (\d+), (\d+), [^,]*, \w+, AT\(([\w.\[\]]+)\) \}"
        if body.count("AT(") != len(re.findall(entry, body)):
            problems.append("debug_%s%s: entries that cannot be read" % m.groups())
        for e in re.finditer(entry, body):
            path = e.group(4)
            name = DEBUG.get(path)
            if name not in words:
                problems.append("%s: _Py_DebugOffsets has nothing for %s" % (series, path))
                continue
            base = words.index(DEBUG_BASE[path]) if path in DEBUG_BASE else 0
            want = (words.index(name), words.index(name.split(".")[0] + ".size"), base)
            for group, value in enumerate(want, 1):
                if int(e.group(group)) != value:
                    yield (m.end() + e.start(group), m.end() + e.end(group), str(value),
                           "%s: the word for %s is %s, in the struct it is %d" % (series, path, e.group(group), value))
        for length in re.finditer(r"\.debug = debug_%s%s,.*?\.debug_len = (\d+)" % m.groups(), text, re.S):
            if int(length.group(1)) != 8 * len(words):
                yield (length.start(1), length.end(1), str(8 * len(words)),
                       "%s: _Py_DebugOffsets has %d bytes" % (series, 8 * len(words)))


def edit(check):
    with open(TABLE, encoding="utf-8") as file:
        text = file.read()
    edits = list(debug_edits(text))
    for series, start in rows(text):
        if series not in SOURCES:
            problems.append("%s: no sources: see SOURCES" % series)
            continue
        edits += origin(text, series, start)
        edits += row_edits(text, series, start)
        sizes_of(text, series, start)
    for first, last, new, why in sorted(edits, reverse=True):
        text = text[:first] + new + text[last:]
        if check:
            problems.append(why)
    if not check and edits:
        with open(TABLE, "w", encoding="utf-8") as file:
            file.write(text)
        print("gen-layouts: %d changes in %s" % (len(edits), TABLE))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


# ---- measuring ---------------------------------------------------------------------------------

HEADERS = ["pycore_runtime.h", "pycore_interp.h", "pycore_runtime_structs.h", "pycore_interp_structs.h",
           "pycore_gil.h", "pycore_frame.h", "pycore_interpframe.h", "pycore_interpframe_structs.h",
           "pycore_code.h", "pycore_dict.h", "pycore_genobject.h", "pycore_tstate.h", "pycore_long.h",
           "pycore_debug_offsets.h", "pycore_moduleobject.h"]

MEASURES = {
    "runtime.size": "sizeof(_PyRuntimeState)",
    "interp.size": "sizeof(PyInterpreterState)",
    "tstate.size": "sizeof(PyThreadState)",
    "unicode.asciiobject_size": "sizeof(PyASCIIObject)",
    "unicode.compact_size": "sizeof(PyCompactUnicodeObject)",
}
MEMBERS = {
    "runtime": ("_PyRuntimeState", {"interpreters_head": "interpreters.head",
                                    "interpreters_main": "interpreters.main", "gil": "ceval.gil",
                                    "stoptheworld": ""}),
    "interp": ("PyInterpreterState", {"next": "", "id": "", "threads_head": "threads.head|tstate_head",
                                      "modules": "imports.modules|modules", "gc_collecting": "gc.collecting",
                                      "ceval_gil_ptr": "ceval.gil", "own_gil": "_gil", "stoptheworld": ""}),
    "gil": ("struct _gil_runtime_state", {"last_holder": "", "locked": ""}),
    "tstate": ("PyThreadState", {k: "" for k in (
        "next", "interp", "frame", "cframe", "current_frame", "thread_id", "native_thread_id",
        "datastack_chunk", "datastack_top", "dict", "context", "state")}),
    "tstateimpl": ("_PyThreadStateImpl", {"asyncio_running_loop": ""}),
    "cframe": ("_PyCFrame", {"current_frame": "", "previous": ""}),
    "chunk": ("_PyStackChunk", {"previous": "", "top": "", "data": ""}),
    "iframe": ("_PyInterpreterFrame", {"previous": "", "executable": "f_executable|f_code",
                                       "instr_ptr": "instr_ptr|prev_instr",
                                       "owner": "", "is_entry": "", "localsplus": "", "stacktop": "",
                                       "stackpointer": ""}),
    "code": ("PyCodeObject", {k: "co_" + k for k in (
        "filename", "name", "qualname", "firstlineno", "linetable", "lnotab", "code_adaptive", "version",
        "tlbc", "code", "localsplusnames", "varnames", "cellvars", "freevars")}),
    "object": ("PyObject", {"ob_type": ""}),
    "var": ("PyVarObject", {"ob_size": ""}),
    "type": ("PyTypeObject", {k: "" for k in ("tp_flags", "tp_basicsize", "tp_dictoffset", "tp_name", "tp_dict")}),
    "heaptype": ("PyHeapTypeObject", {"ht_cached_keys": "", "ht_qualname": ""}),
    "unicode": ("PyASCIIObject", {"length": "", "state": ""}),
    "bytes": ("PyBytesObject", {"ob_sval": ""}),
    "dict": ("PyDictObject", {"ma_keys": "", "ma_values": "", "ma_used": ""}),
    "keys": ("PyDictKeysObject", {k: "" for k in ("dk_size", "dk_log2_index_bytes", "dk_kind", "dk_nentries", "dk_indices")}),
    "module": ("PyModuleObject", {"md_dict": ""}),
    "long": ("PyLongObject", {"ob_digit": "long_value.ob_digit|ob_digit", "lv_tag": "long_value.lv_tag"}),
    "tuple": ("PyTupleObject", {"ob_item": ""}),
    "list": ("PyListObject", {"ob_item": ""}),
    "float": ("PyFloatObject", {"ob_fval": ""}),
    "set": ("PySetObject", {"used": "", "mask": "", "table": ""}),
    "dictvalues": ("PyDictValues", {"values": ""}),
    "frame": ("PyFrameObject", {k: "f_" + k for k in (
        "back", "code", "lasti", "localsplus", "stacktop", "stackdepth", "state", "executing", "valuestack")}),
    "gen": ("PyGenObject", {"frame": "gi_frame", "iframe": "gi_iframe", "frame_state": "gi_frame_state",
                            "qualname": "gi_qualname"}),
    "weakref": ("PyWeakReference", {"wr_object": ""}),
}


def measure(include, flags):
    """What a version has not is left out: the compiler says in which lines."""
    wanted = list(MEASURES.items())
    for group, (struct, members) in MEMBERS.items():
        for key, member in members.items():
            for name in (member or key).split("|"):
                wanted.append(("%s.%s" % (group, key), "offsetof(%s, %s)" % (struct, name)))
    found = [h for h in HEADERS if os.path.exists(os.path.join(include, "internal", h))]
    head = ["#define Py_BUILD_CORE 1", "#include <Python.h>", "#include <frameobject.h>",
            "#include <stddef.h>", "#include <stdio.h>"]
    head += ['#include "internal/%s"' % h for h in found]
    head += ["int main(void) {", 'printf("\\"py_version_hex\\": %d", PY_VERSION_HEX);']
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "m.c"), os.path.join(folder, "m")
        for _ in range(3):
            lines = ['printf(",\\n\\"%s\\": %%zu", %s);' % pair for pair in wanted]
            with open(source, "w", encoding="utf-8") as file:
                file.write("\n".join(head + lines + ["return 0; }"]))
            run = subprocess.run(["cc", "-w", "-fmax-errors=0", *flags, "-I", include, "-I",
                                  os.path.join(include, "internal"), "-o", program, source],
                                 stderr=subprocess.PIPE, text=True, check=False)
            if not run.returncode:
                out = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout
                print("{\n" + out + "\n}")
                return 0
            bad = {int(n) - len(head) - 1 for n in re.findall(r"m\.c:(\d+):\d+: error", run.stderr)}
            wanted = [pair for i, pair in enumerate(wanted) if i not in bad]
    print(run.stderr, file=sys.stderr)
    return 1


def main():
    if len(sys.argv) > 2 and sys.argv[1] == "--measure":
        return measure(sys.argv[2], sys.argv[3:])
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    return edit(check=bool(sys.argv[1:]))


sys.exit(main())
