#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Are all stalls told, and only they? With the right start, total and function, and in time?

The truth is the target's own clock (injector.py). A stall of more than the threshold has to be told;
one that is shorter must not be; what lies within MARGIN_MS of the threshold may be either. What is
told must overlap such a stall of its process. Beside it, the original perpetuo from PyPI (its records
of one tracker without a break are one stall) on what it can see.
"""

import bisect
import contextlib
import glob
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


class Kind(NamedTuple):
    source: Optional[str]  # in the records
    start_ms: Optional[float]  # most error of the start, p99
    total_ms: Optional[float]
    least: float  # recall and precision
    targets: int  # as many at once as leave the CPUs some rest


KINDS = {
    "slot-sleep": Kind("slot", 0.5, 1, 1.0, 4),
    "slot-spin": Kind("slot", 0.5, 1, 1.0, 2),
    "slot-native": Kind("slot", 0.5, 1, 1.0, 2),
    "trio-registered": Kind("loop", 50, 50, 1.0, 2),
    "asyncio": Kind("loop", 50, 50, 1.0, 2),
    "trio": Kind("loop", 50, 50, 1.0, 2),
    "uvloop": Kind("loop", 50, 50, 0.98, 2),
    "gevent": Kind("loop", 50, 50, 0.98, 2),
    "gil-held": Kind("gil", 0.5, 1, 1.0, 1),
    "gil-retaken": Kind("gil", 0.5, 1, 0.98, 1),
    # one stall with many victims: no start of its own
    "gil-queue": Kind("gil", None, None, 0.98, 1),
    "stw": Kind("stw", 0.5, 1, 0.98, 2),
}
# What the original extension has an instrument for.
ORIGINAL = ("slot-sleep", "slot-spin", "slot-native", "trio-registered")


class Stall(NamedTuple):
    start: int  # ns
    end: int
    function: str  # the innermost
    process: int = 0
    source: str = ""


def overlap(a: Stall, b: Stall) -> int:
    return min(a.end, b.end) - max(a.start, b.start)


class Target:
    """The injector, ready; what it says of its stalls is read when it has begun."""

    def __init__(self, args, kind: str, number: int, build: Optional[str]) -> None:
        env = dict(os.environ, FLOOR_MS=str(THRESHOLD_MS // 2))
        if build:
            env["PYTHONPATH"] = os.path.join(build, "python")
        python = args.free_threaded if kind == "stw" else sys.executable
        if not python:
            raise RuntimeError(f"no free-threaded Python for {kind}")
        command = [python, os.path.join(common.HERE, "injector.py"), kind]
        self.number = number
        self.truth: List[Stall] = []
        self.popen = subprocess.Popen(
            [*command, str(-(-args.count // KINDS[kind].targets)), str(args.seed + number)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = self.popen.pid
        if self.popen.stdout.readline() != "ready\n":
            raise RuntimeError(f"{kind} cannot run here")

    def begin(self) -> None:
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        for line in self.popen.stdout:
            if line == "done\n":
                break
            one = json.loads(line)
            self.truth.append(Stall(one["start"], one["end"], one["function"], self.number))

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()


def run_targets(args, kind: str, build: Optional[str], watch) -> List[Stall]:
    """The truth of all of them, while WATCH(targets), a context manager, watches."""
    targets: List[Target] = []
    try:
        for number in range(KINDS[kind].targets):
            targets.append(Target(args, kind, number, build))
        with watch(targets):
            common.settle()
            for target in targets:
                target.begin()
            for target in targets:
                target.reader.join()
            common.settle()
    finally:
        for target in targets:
            target.end()
    return sorted(stall for target in targets for stall in target.truth)


def innermost(record: dict) -> str:
    traces = record.get("stall_details", {}).get("relevant_traces", [])
    return traces[0][-1]["name"].split(".")[-1] if traces and traces[0] else ""


def stalls_of(records: List[dict], targets: List[Target]) -> List[Stall]:
    number = {target.pid: target.number for target in targets}
    told = {}
    for record in records:
        stall = record.get("stall", {})
        start = stall.get("start_monotonic_ns")
        if stall.get("event") == "detected":
            told[stall["id"]] = Stall(start, start, innermost(record), number[stall["pid"]], stall["source"])
        elif stall.get("event") == "ended" and stall["id"] in told:
            end = start + int(stall["duration_ms"] * 1e6)
            told[stall["id"]] = told[stall["id"]]._replace(start=start, end=end)
    return sorted(told.values())


def ours(args, kind: str) -> "tuple[List[Stall], List[Stall], List[float]]":
    """Truth, what was told, and how late the verdicts were."""
    told: List[Stall] = []
    late: "dict[str, float]" = {}

    @contextlib.contextmanager
    def watch(targets: List[Target]):
        options = ["--alert-interval", f"{THRESHOLD_MS}ms", "--traceback-suppress", "0"]
        options += ["--poll-interval", "50ms", "--no-print-locals"]
        for target in targets:
            options += ["--pid", str(target.pid)]
        with tempfile.NamedTemporaryFile("r") as out, tempfile.TemporaryFile("w+") as log:
            watcher = subprocess.Popen(
                [args.loader, "--json", "--verbose", *options, "--output", out.name], stderr=log
            )
            common.wait_for_text(out.name, b"ttempting to monitor")
            yield
            watcher.send_signal(2)
            watcher.wait()
            log.seek(0)
            late.update((m[1], float(m[2])) for m in map(DELAYS.search, log) if m)
            told.extend(stalls_of([json.loads(line) for line in out], targets))

    truth = run_targets(args, kind, args.build, watch)
    return truth, told, list(late.values())


class Original:
    """Its records have no start and no end: they are taken from when they come and their length."""

    def __init__(self, target: Target) -> None:
        command = [os.path.join(os.path.dirname(sys.executable), "perpetuo"), "--json-mode"]
        command += ["--alert-interval", str(THRESHOLD_MS / 1e3), "--traceback-suppress", "0", "--no-print-locals"]
        self.number = target.number
        self.told: List[Stall] = []
        self.popen = subprocess.Popen(
            [*command, "watch", str(target.pid)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.popen.stderr:
            seen = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("message") != "Stall detected":
                continue
            start = seen - int(record["stall_details"]["length_ms"] * 1e6)
            if self.told and start < self.told[-1].end:
                self.told[-1] = self.told[-1]._replace(end=seen)
            else:
                self.told.append(Stall(start, seen, innermost(record), self.number))

    def end(self) -> None:
        self.popen.terminate()
        self.popen.wait()
        self.reader.join()


def original(args, kind: str) -> "tuple[List[Stall], List[Stall]]":
    told: List[Stall] = []

    @contextlib.contextmanager
    def watch(targets: List[Target]):
        watchers = [Original(target) for target in targets]
        yield
        for watcher in watchers:
            watcher.end()
            told.extend(watcher.told)

    truth = run_targets(args, kind, None, watch)
    return truth, sorted(told)


class Score:
    """Pairs each stall that is true with what was told of its process in its time, by the nearest start."""

    def __init__(self, truth: List[Stall], told: List[Stall]) -> None:
        self.total = self.found = self.right = self.twice = self.told = self.true = 0
        self.start_ms: List[float] = []
        self.total_ms: List[float] = []
        for process in {s.process for s in truth + told}:
            self._add(
                [s for s in truth if s.process == process], [s for s in told if s.process == process]
            )

    def _add(self, truth: List[Stall], told: List[Stall]) -> None:
        sure = [s for s in truth if s.end - s.start > (THRESHOLD_MS + MARGIN_MS) * 1e6]
        possible = [s for s in truth if s.end - s.start > (THRESHOLD_MS - MARGIN_MS) * 1e6]
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
            self.right += best.function == s.function
        self.total += len(sure)
        self.told += len(told)
        self.true += sum(any(overlap(s, t) > 0 for s in possible) for t in told)

    @property
    def recall(self) -> float:
        return self.found / self.total if self.total else 1.0

    @property
    def precision(self) -> float:
        return self.true / self.told if self.told else 1.0


def report(kind: str, score: Score, late: List[float], base: Optional[Score]) -> None:
    goal = KINDS[kind]
    reached = "" if min(score.recall, score.precision) >= goal.least else "  MISSED"
    print(
        common.ROW.format(
            f"{kind}: told of {score.total} stalls, of {score.told} told true",
            f"{score.recall:.3f} {score.precision:.3f}",
            f"{base.recall:.3f} {base.precision:.3f}" if base else "",
            "",
            f">= {goal.least:g}{reached}",
        ).rstrip(),
        flush=True,
    )
    if not score.found:
        return
    for what, values, most in (
        ("start", score.start_ms, goal.start_ms),
        ("total", score.total_ms, goal.total_ms),
    ):
        if most is not None:
            at = common.quantile(values, 0.99)
            common.row(f"{kind}: error of the {what}, p99", at, "ms", most=most)
    if late:
        common.row(f"{kind}: threshold to verdict, p50", common.quantile(late, 0.5), "ms")
        common.row(f"{kind}: threshold to verdict, p99", common.quantile(late, 0.99), "ms", most=1)
    common.remark(
        f"{kind}: the right function first in {score.right} of {score.found} stacks; {score.twice} told "
        f"twice; load {os.getloadavg()[0]:.2f}"
    )


def measure(args, kind: str) -> None:
    try:
        truth, told, late = ours(args, kind)
    except RuntimeError as error:
        common.remark(f"skipped: {error}")
        return
    base = None
    if kind in ORIGINAL and args.original:
        base = Score(*original(args, kind))
    source = KINDS[kind].source
    others = sum(source is not None and s.source != source for s in told)
    if others:
        common.remark(f"{kind}: {others} stalls were told by another source than {source}")
    report(kind, Score(truth, told), late, base)


def free_threaded() -> str:
    """The newest that scripts/fetch-pythons.sh has unpacked; "" = none."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    found = glob.glob(os.path.join(cache, "perpetuo-bpf-tests/bin/python3.*t"))
    return max(found, default="")


def main() -> None:
    numbers = {"count": 300, "seed": 1, "original": 1}
    words = {"kinds": ",".join(KINDS), "free-threaded": free_threaded()}
    args = common.arguments(__doc__.splitlines()[0], words, **numbers)
    common.need_root()
    common.section(f"Stalls of 150 to 400 ms, threshold {THRESHOLD_MS} ms: recall and precision; baseline: perpetuo")
    for kind in args.kinds.split(","):
        if kind not in KINDS:
            sys.exit(f"stallbench: no kind {kind}; there are {', '.join(KINDS)}")
        measure(args, kind)


main()
