# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holds the records of waits for the GIL against what tests/targets/gil.py says.

    gil-check.py TRUTH RECORDS THRESHOLD_MS

Stalls of source $SOURCE, else gil. Prints one line "KEY VALUE" each:

    stalls    GIL stalls that were told
    false     of these, told of a time in which no thread of the target was kept waiting
    missed    gaps of victims of a hog or a queue, twice the threshold, that no stall is in
    start_ms  how far a hog's stall is from the target's clock: its start; lower quartile
    total_ms  the same of its total
    open      stalls without an end, or ends without a beginning
    wrong     stalls of a hog whose responsible thread is not 'hog'
    kind      stalls that are said to be of another kind than their step

A gap also has the time in which its thread, ready to run, got no CPU: of a stall it is asked that it
lies in a gap (SLACK_MS), and of some that they are nearly all of it.
"""

import json
import os
import statistics
import sys

SLACK_MS = 10.0
SOURCE = os.environ.get("SOURCE", "gil")
HOGS = ("hog", "sum", "regex", "quit", "retake", "own", "shared")  # beside one victim; of several the queue is part of the gap
QUEUES = ("eight",)
KINDS = {step: "held" for step in HOGS} | {"retake": "retaken", "eight": "queue"}


def read_truth(path: str) -> "list[tuple[str, float, float]]":
    gaps = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            word = line.split()
            if len(word) == 4:
                gaps.append((word[0], int(word[2]) / 1e6, int(word[3]) / 1e6))
    return gaps


def main() -> None:
    gaps = read_truth(sys.argv[1])
    threshold = float(sys.argv[3])
    with open(sys.argv[2], encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    stalls = [r["stall"] for r in records if r.get("stall", {}).get("source") == SOURCE]
    begun = {s["id"]: s for s in stalls if s["event"] == "detected"}
    ended = {s["id"]: s for s in stalls if s["event"] == "ended"}
    out = {"stalls": len(begun), "false": 0, "missed": 0, "wrong": 0, "kind": 0}
    out["open"] = len(set(begun) ^ set(ended))

    starts, totals, seen = [], [], []
    for s in ended.values():
        start, total = s["start_monotonic_ns"] / 1e6, s["duration_ms"]
        seen.append((start, start + total))
        inside = [g for g in gaps if g[1] - SLACK_MS <= start and start + total <= g[2] + SLACK_MS]
        if not inside or total < threshold - 1:
            out["false"] += 1
            print(f"# false: {json.dumps(s)}")
            continue
        step = inside[0][0]
        kind = s["gil"] and s["gil"]["kind"]  # null: its process ended first
        out["kind"] += kind not in (None, KINDS.get(step, kind))
        if step not in HOGS:
            continue
        nearest = min(inside, key=lambda g: abs(g[1] - start) + abs(g[2] - g[1] - total))
        starts.append(abs(nearest[1] - start))
        totals.append(abs(nearest[2] - nearest[1] - total))
        out["wrong"] += begun.get(s["id"], s)["thread"] not in ("hog", None)
    for step, start, end in gaps:
        if step in HOGS + QUEUES and end - start > 2 * threshold:
            if not any(a < end and start < b for a, b in seen):
                out["missed"] += 1
                print(f"# missed: {step} {start} {end - start:.1f} ms")
    for key, values in (("start_ms", starts), ("total_ms", totals)):
        out[key] = round(statistics.quantiles(values, n=4)[0], 3) if len(values) > 1 else 0
    for key, value in out.items():
        print(key, value)


main()
