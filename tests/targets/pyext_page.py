# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads the slot pages of a process as a watcher does (bpf/slot_abi.h), for tests."""

import os
import struct
from typing import Dict, List, NamedTuple, Tuple

MAGIC = bytes.fromhex("adce61741749ff41e8d4e80a50b1fc86")
MAP_LEN = 32768 + 4080 * 256
HEADER = struct.Struct("<16sQIIIIIIQQQQ32xIIQ")
META = struct.Struct("<QIIHHIQiIQ8QIHH136s")
FREE, STAMP, COUNTER, LOOP = 0, 1, 2, 3
NAME_CUT, CLOSED = 1, 2
FINALIZED = 1


class Slot(NamedTuple):
    index: int
    word: int
    ident: int
    hint_tid: int
    active_tid: int
    kind: int
    flags: int
    reuse_seq: int
    progress_addr: int
    idle_fd: int
    interp_id: int
    tstate: int
    past: Tuple[Tuple[int, int], ...]
    past_cnt: int
    name: str

    @property
    def active(self) -> bool:
        return bool(self.word & 1)


class Page(NamedTuple):
    address: int
    pid: int
    in_use: int
    flags: int
    generation: int
    publish_ns: int
    words: Tuple[int, ...]
    slots: List[Slot]


def _slot(index: int, word: int, raw: bytes) -> Slot:
    f = META.unpack(raw)
    past = tuple((f[10 + 2 * i], f[11 + 2 * i]) for i in range(4))
    name = f[21][: f[19]].decode("utf-8")
    return Slot(index, word, *f[:10], past, f[18], name)


def _page(mem, address: int) -> "Page | None":
    mem.seek(address)
    head = HEADER.unpack(mem.read(HEADER.size))
    if head[0] != MAGIC or head[1] != address or head[2] != 1:
        return None
    assert head[3:6] == (4080, 32768, 256), head
    in_use = head[12]
    words = struct.unpack(f"<{in_use}Q", mem.read(8 * in_use))
    mem.seek(address + 32768)
    meta = [mem.read(256) for _ in range(in_use)]
    slots = [_slot(i, words[i], meta[i]) for i in range(in_use)]
    return Page(address, head[6], in_use, head[13], head[14], head[8], words, slots)


def pages(pid: "int | str" = "self") -> List[Page]:
    """All pages of version 1, each a mapping of its own."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            fields = line.split()
            start, end = (int(part, 16) for part in fields[0].split("-"))
            if len(fields) > 5 or fields[1] != "rw-p" or end - start != MAP_LEN:
                continue
            page = _page(mem, start)
            if page is not None:
                found.append(page)
    return found


def slots(pid: "int | str" = "self") -> List[Slot]:
    return [slot for page in pages(pid) for slot in page.slots if slot.kind != FREE]


def by_name(pid: "int | str" = "self") -> Dict[str, Slot]:
    return {slot.name: slot for slot in slots(pid)}


def only(name: str, pid: "int | str" = "self") -> Slot:
    """The one slot of that name, of this process if not said otherwise."""
    (found,) = [slot for slot in slots(pid) if slot.name == name]
    return found


def native_id() -> int:
    return int(os.readlink("/proc/thread-self").rsplit("/", 1)[1])
