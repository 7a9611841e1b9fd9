#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Are all stalls told, and only they? With the right start, total and function, and in time?

The truth is the target's own clock (injector.py). A stall of more than the threshold has to be told;
one that is shorter must not be; what lies within MARGIN_MS of the threshold may be either. What is
told must overlap such a stall. Beside it, the original perpetuo from PyPI (its records of one
tracker without a break are one stall) on what it can see.
"""

import bisect
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from typing import List, NamedTuple, Optional

import common

THRESHOLD_MS = 100
MARGIN_MS = 15
DELAYS = re.compile(r"stall (\S+): judged (\S+) ms after the threshold")

# kind: source in the records, most error of start and of total in ms (p99), least recall and precision
KINDS = {
    "slot-sleep": ("slot", 0.5, 1, 1.0),
    "slot-spin": ("slot", 0.5, 1, 1.0),
    "slot-native": ("slot", 0.5, 1, 1.0),
    "trio-registered": ("loop", 50, 50, 1.0),
    "asyncio": ("loop", 50, 50, 1.0),
    "trio": ("loop", 50, 50, 1.0),
    "uvloop": ("loop", 50, 50, 0.98),
    "gevent": ("loop", 50, 50, 0.98),
    "gil-held": ("gil", 0.5, 1, 1.0),
    "gil-retaken": ("gil", 0.5, 1, 0.98),
    # one stall with many victims: no start of its own
    "gil-queue": ("gil", None, None, 0.98),
}
# What the original extension has an instrument for.
ORIGINAL = ("slot-sleep", "slot-spin", "slot-native", "trio-registered")


class Stall(NamedTuple):
    start: int  # ns
    end: int
    functions: "frozenset[str]"
    ident: str = ""
    source: str = ""


def overlap(a: Stall, b: Stall) -> int:
    return min(a.end, b.end) - max(a.start, b.start)


class Run:
    """One target, watched from its first stall to its last."""

    def __init__(self, args, kind: str) -> None:
        self.kind = kind
        self.args = args
        self.env = dict(os.environ, FLOOR_MS=str(THRESHOLD_MS // 2))

    def target(self, build: Optional[str]) -> subprocess.Popen:
        env = dict(self.env)
        if build:
            env["PYTHONPATH"] = os.path.join(build, "python")
        command = [sys.executable, os.path.join(common.HERE, "injector.py")]
        process = subprocess.Popen(
            [*command, self.kind, str(self.args.count), str(self.args.seed)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{self.kind} cannot run here")
        return process

    def truth(self, target: subprocess.Popen) -> List[Stall]:
        target.stdin.write("go\n")
        target.stdin.flush()
        told = []
        for line in target.stdout:
            if line == "done\n":
                break
            one = json.loads(line)
            told.append(Stall(one["start"], one["end"], frozenset([one["function"]])))
        return sorted(told)


def functions_of(record: dict) -> "frozenset[str]":
    traces = record.get("stall_details", {}).get("relevant_traces", [])
    return frozenset(frame["name"].split(".")[-1] for frame in traces[0]) if traces else frozenset()


def ours(run: Run) -> "tuple[List[Stall], List[Stall], List[float]]":
    """Truth, what was told, and how late the verdicts were."""
    target = run.target(run.args.build)
    options = ["--alert-interval", f"{THRESHOLD_MS}ms", "--traceback-suppress", "0"]
    options += ["--poll-interval", "50ms", "--no-print-locals"]
    with tempfile.NamedTemporaryFile("r") as out, tempfile.TemporaryFile("w+") as log:
        watcher = subprocess.Popen(
            [run.args.loader, "--json", "--verbose", *options, "--output", out.name, "--pid", str(target.pid)],
            stderr=log,
        )
        common.wait_for_text(out.name, b"ttempting to monitor")
        common.settle()
        truth = run.truth(target)
        common.settle()
        watcher.send_signal(2)
        watcher.wait()
        target.kill()
        target.wait()
        log.seek(0)
        late = {m[1]: float(m[2]) for m in map(DELAYS.search, log) if m}
        records = [json.loads(line) for line in out]
    told = {}
    for record in records:
        stall = record.get("stall", {})
        start = stall.get("start_monotonic_ns")
        if stall.get("event") == "detected":
            told[stall["id"]] = Stall(start, start, functions_of(record), stall["id"], stall["source"])
        elif stall.get("event") == "ended" and stall["id"] in told:
            end = start + int(stall["duration_ms"] * 1e6)
            told[stall["id"]] = told[stall["id"]]._replace(start=start, end=end)
    return truth, sorted(told.values()), list(late.values())


def original(run: Run) -> "tuple[List[Stall], List[Stall]]":
    """Its records have no start and no end: they are taken from when they come and their length."""
    target = run.target(None)
    command = [os.path.join(os.path.dirname(sys.executable), "perpetuo"), "--json-mode"]
    command += ["--alert-interval", str(THRESHOLD_MS / 1e3), "--traceback-suppress", "0", "--no-print-locals"]
    watcher = subprocess.Popen(
        [*command, "watch", str(target.pid)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    told: List[Stall] = []

    def collect() -> None:
        for line in watcher.stderr:
            seen = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("message") != "Stall detected":
                continue
            start = seen - int(record["stall_details"]["length_ms"] * 1e6)
            if told and start < told[-1].end:
                told[-1] = told[-1]._replace(end=seen)
            else:
                told.append(Stall(start, seen, functions_of(record)))

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    common.settle()
    truth = run.truth(target)
    common.settle()
    target.kill()
    target.wait()
    watcher.terminate()
    watcher.wait()
    reader.join()
    return truth, told


class Score:
    """Pairs each stall that is true with what was told in its time, by the nearest start."""

    def __init__(self, truth: List[Stall], told: List[Stall]) -> None:
        sure = [s for s in truth if s.end - s.start > (THRESHOLD_MS + MARGIN_MS) * 1e6]
        possible = [s for s in truth if s.end - s.start > (THRESHOLD_MS - MARGIN_MS) * 1e6]
        self.total = len(sure)
        self.found = 0
        self.start_ms: List[float] = []
        self.total_ms: List[float] = []
        self.right = 0
        self.twice = 0
        starts = [s.start for s in told]
        for s in sure:
            at = bisect.bisect_left(starts, s.end)
            over = [t for t in told[max(0, at - 16) : at] if overlap(s, t) > 0]
            if not over:
                continue
            self.found += 1
            self.twice += len(over) - 1
            best = min(over, key=lambda t: abs(t.start - s.start))
            self.start_ms.append(abs(best.start - s.start) / 1e6)
            self.total_ms.append(abs((best.end - best.start) - (s.end - s.start)) / 1e6)
            self.right += bool(best.functions & s.functions)
        self.told = len(told)
        self.true = sum(any(overlap(s, t) > 0 for s in possible) for t in told)

    @property
    def recall(self) -> float:
        return self.found / self.total if self.total else 1.0

    @property
    def precision(self) -> float:
        return self.true / self.told if self.told else 1.0


def report(kind: str, score: Score, late: List[float], base: Optional[Score]) -> None:
    _, start_most, total_most, least = KINDS[kind]
    reached = "" if min(score.recall, score.precision) >= least else "  MISSED"
    print(
        common.ROW.format(
            f"{kind}: told of {score.total} stalls, of {score.told} told true",
            f"{score.recall:.3f} {score.precision:.3f}",
            f"{base.recall:.3f} {base.precision:.3f}" if base else "",
            "",
            f">= {least:g}{reached}",
        ).rstrip(),
        flush=True,
    )
    if not score.found:
        return
    for what, values, most in (
        ("start", score.start_ms, start_most),
        ("total", score.total_ms, total_most),
    ):
        if most is not None:
            at = common.quantile(values, 0.99)
            common.row(f"{kind}: error of the {what}, p99", at, "ms", most=most)
    if late:
        common.row(f"{kind}: threshold to verdict, p50", common.quantile(late, 0.5), "ms")
        common.row(f"{kind}: threshold to verdict, p99", common.quantile(late, 0.99), "ms", most=1)
    common.remark(
        f"{kind}: the right function in {score.right} of {score.found} stacks; {score.twice} told twice"
    )


def measure(args, kind: str) -> None:
    run = Run(args, kind)
    try:
        truth, told, late = ours(run)
    except RuntimeError as error:
        common.remark(f"skipped: {error}")
        return
    base = None
    if kind in ORIGINAL and args.original:
        base = Score(*original(run))
    source = KINDS[kind][0]
    others = sum(source is not None and s.source != source for s in told)
    if others:
        common.remark(f"{kind}: {others} stalls were told by another source than {source}")
    report(kind, Score(truth, told), late, base)


def main() -> None:
    numbers = {"count": 300, "seed": 1, "original": 1}
    args = common.arguments(__doc__.splitlines()[0], {"kinds": ",".join(KINDS)}, **numbers)
    common.need_root()
    common.section(f"Stalls of 150 to 400 ms, threshold {THRESHOLD_MS} ms: recall and precision; baseline: perpetuo")
    for kind in args.kinds.split(","):
        if kind not in KINDS:
            sys.exit(f"stallbench: no kind {kind}; there are {', '.join(KINDS)}")
        measure(args, kind)


main()
