# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holds the records of stalls of event loops against what tests/targets/loops.py says.

    loop-check.py TRUTH RECORDS THRESHOLD_MS NAME

NAME is how the names of its trackers begin. Prints one line "KEY VALUE" each, of the process that TRUTH
is of:

    stalls    stalls of loops that were told
    false     of these, told of a time in which the target did not stall
    missed    stalls of the target that none is in
    wrong     not the right name, thread, source or stack
    start_ms  how far their starts are from the target's clock: the median
    total_ms  the same of their totals
    open      stalls without an end, or ends without a beginning
    others    records of stalls of any other source
"""

import json
import re
import statistics
import sys

SLACK_MS = 60.0  # a tick, and a bit: a step that is not the first after a wait is seen by one


def is_name(name: str, thread: str) -> bool:
    # one that its program has registered is named after the thread's ident
    registered = rf"{sys.argv[4]} (run )?loop \(thread 0x[0-9a-f_]+\)"
    return name in ("GIL", f"{sys.argv[4]} loop ({thread})") or bool(re.fullmatch(registered, name))


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        words = [line.split() for line in file]
    pid = next(int(w[1]) for w in words if w[0] == "ready")
    truth = [(w[0], w[1], int(w[2]) / 1e6, int(w[3]) / 1e6) for w in words if len(w) == 4]
    threshold = float(sys.argv[3])
    with open(sys.argv[2], encoding="utf-8") as file:
        records = [r for r in map(json.loads, file) if r.get("stall", {}).get("pid") == pid]
    # a step that keeps the GIL is told by who waits for it if that was first
    loops = [
        r
        for r in records
        if r["stall"]["source"] == "loop"
        or r["stall"]["source"] == "gil"
        and r["stall"]["thread"] in ("MainThread", "loop-0")
    ]
    begun = {r["stall"]["id"]: r for r in loops if r["stall"]["event"] == "detected"}
    ended = {r["stall"]["id"]: r for r in loops if r["stall"]["event"] == "ended"}
    out = {"stalls": len(begun), "false": 0, "missed": 0, "wrong": 0}
    out["open"] = len(set(begun) ^ set(ended))
    out["others"] = len(records) - len(loops)

    starts, totals, seen = [], [], set()
    for key, r in ended.items():
        start, total = r["stall"]["start_monotonic_ns"] / 1e6, r["stall"]["duration_ms"]
        # it may end later than the stall: what makes it may be off its CPU before it goes on
        near = [t for t in truth if t[2] - SLACK_MS < start < t[3]]
        if not near or total < threshold - 1:
            out["false"] += 1
            print(f"# false: {json.dumps(r['stall'])}")
            continue
        seen.update(near[:1])
        starts.append(abs(start - near[0][2]))
        totals.append(abs(total - (near[0][3] - near[0][2])))
        first = begun.get(key, r)
        # a stack that was not seen at one moment may be any
        stack = first["stall_details"]["relevant_traces"][: first["stall"]["stack_consistent"]]
        names = [f["name"].split(".")[-1] for f in stack[0]] if stack else ["stall"]
        thread = "loop-0" if near[0][0] == "thread" else "MainThread"
        if (
            not is_name(first["additional_info"]["name"], thread)
            or first["stall"]["thread"] not in (thread, "")
            or not {"stall", "work", "late"} & set(names)
        ):
            out["wrong"] += 1
            print(f"# wrong: {near[0]} {json.dumps(first)[:600]} {names}")
    for t in truth:
        if t not in seen and t[3] - t[2] > threshold + SLACK_MS:
            out["missed"] += 1
            print(f"# missed: {t[0]} {t[1]} {t[2]} {t[3] - t[2]:.1f} ms")
    for key, values in (("start_ms", starts), ("total_ms", totals)):
        out[key] = round(statistics.median(values), 3) if values else 0
    for key, value in out.items():
        print(key, value)


main()
