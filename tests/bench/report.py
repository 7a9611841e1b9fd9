#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""How late a stall is judged, and how long its report takes.

A target of ten threads, 30 frames deep, stalls a few hundred times, asleep and computing, watched
at 20 Hz. "judged" is from the crossing of the threshold to the verdict, "written" from there until
the record with all stacks was written, both by the loader's own --verbose; "readable" is from the
crossing until this program has read the record from a pipe.
"""

import json
import re
import time

import common

THRESHOLD_MS = 100
DELAYS = re.compile(r"judged (\S+) ms after the threshold, written (\S+) ms after that")


class Delays:
    def __init__(self, args, kind: str, backend: str, count: int, *more: str) -> None:
        self.readable = []
        self.stacks = 0
        options = [*more, "--backend", backend, "--alert-interval", f"{THRESHOLD_MS}ms"]
        options += ["--poll-interval", "50ms", "--traceback-suppress", "0"]
        with common.target(args.build, kind, str(THRESHOLD_MS + 40), str(count)) as target:
            with common.Watch(args.loader, target.pid, *options) as watch:
                common.go(target)
                self.read(watch, count)
                watch.end()
                found = [DELAYS.search(line) for line in watch.lines()]
        self.judged = [float(match[1]) for match in found if match]
        self.written = [float(match[2]) for match in found if match]

    def read(self, watch: common.Watch, count: int) -> None:
        ended = 0
        for line in watch.records():
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            record = json.loads(line)
            stall = record.get("stall", {})
            if stall.get("event") == "detected":
                crossed = stall["start_monotonic_ns"] + THRESHOLD_MS * 1000000
                self.readable.append((now - crossed) / 1e6)
                self.stacks += bool(record["stall_details"]["relevant_traces"])
            ended += stall.get("event") == "ended"
            if ended == count:
                break


def compare(args, kind: str, what: str, *more: str) -> None:
    ours = Delays(args, kind, "bpf", args.count, *more)
    poll = Delays(args, kind, "poll", max(args.count // 5, 1), *more)
    parts = [("threshold to verdict", "judged", 1), ("verdict to written", "written", 1)]
    for title, name, most in [*parts, ("threshold to readable", "readable", None)]:
        for q, goal in ((0.5, None), (0.99, most)):
            common.row(
                f"{title}, {what}, p{q * 100:.0f}",
                common.quantile(getattr(ours, name), q),
                "ms",
                common.quantile(getattr(poll, name), q),
                most=goal,
            )
    common.remark(
        f"{what}: {len(ours.readable)} of {args.count} stalls, {ours.stacks} with the responsible stack; first "
        f"report {ours.written[0]:.2f} ms, worst {max(ours.written):.2f} ms"
    )


def main() -> None:
    args = common.arguments(__doc__.splitlines()[0], count=200)
    common.need_root()
    common.section("Lateness at 20 Hz, threshold 100 ms; baseline: --backend=poll")
    compare(args, "sleep", "asleep")
    compare(args, "sleep", "asleep, no locals", "--no-print-locals")
    compare(args, "spin", "on CPU")


main()
