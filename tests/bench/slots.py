#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What go_active() + go_idle() and a Trio step cost, beside the original perpetuo.

The original is the perpetuo that this interpreter imports by itself (--original DIR: the one in a
folder), Trio likewise: the interpreter of the venv of scripts/install-deps.sh has both. Ours and the
original run by turns, in processes of their own, and CPU time is what counts; medians are taken
over the rounds, and of the quotients of each round, so that a busy moment of the machine is not what
is compared.

What counts for event loops is what having registered one adds to a step: of Trio, of one task and of
ten that are ready together; of asyncio, which the original knows nothing of.
"""

import os
import statistics
import subprocess
import sys

import common

NOISE = 0.05  # what is left of nothing, between two processes

PAIRS = """
import perpetuo, threading, time
tracker = perpetuo.StallTracker("bench", threading.get_ident())
tracker.go_idle()
def run(n, active=tracker.go_active, idle=tracker.go_idle):
    for _ in range(n):
        active(); idle()
def empty(n):
    for _ in range(n):
        pass
def cost(func, n=100000):
    start = time.process_time_ns()
    func(n)
    return (time.process_time_ns() - start) / n
cost(run)
print(min(cost(run) for _ in range(8)) - min(cost(empty) for _ in range(8)))
"""

STEPS = """
import time, trio
INSTRUMENTED, TASKS, STEPS = %d, %d, 10000
if INSTRUMENTED:
    import perpetuo
async def work():
    for _ in range(STEPS // TASKS):
        await trio.lowlevel.checkpoint()
async def main():
    if INSTRUMENTED:
        perpetuo.instrument_trio()
    best = 1e9
    for _ in range(8):
        start = time.process_time_ns()
        async with trio.open_nursery() as nursery:
            for _ in range(TASKS):
                nursery.start_soon(work)
        best = min(best, (time.process_time_ns() - start) / STEPS)
    print(best)
trio.run(main)
"""


LOOP_STEPS = """
import asyncio, time
REGISTERED, STEPS = %d, 10000
if REGISTERED:
    import perpetuo
async def main():
    if REGISTERED:
        perpetuo.instrument_asyncio()
    best = 1e9
    for _ in range(8):
        start = time.process_time_ns()
        for _ in range(STEPS):
            await asyncio.sleep(0)
        best = min(best, (time.process_time_ns() - start) / STEPS)
    print(best)
asyncio.run(main())
"""


class Package:
    """A folder to import perpetuo from; None: what the interpreter has by itself."""

    def __init__(self, folder: "str | None") -> None:
        self.env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if folder:
            self.env["PYTHONPATH"] = folder

    def run(self, code: str) -> float:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=self.env, cwd="/", stdout=subprocess.PIPE, check=True)
        return float(done.stdout)

    def has(self, module: str) -> bool:
        command = [sys.executable, "-c", f"import {module}"]
        done = subprocess.run(command, env=self.env, cwd="/", stderr=subprocess.DEVNULL)
        return done.returncode == 0


def pairs(rounds: int, ours: Package, original: "Package | None") -> None:
    a, b = [], []
    for _ in range(rounds):
        a.append(ours.run(PAIRS))
        if original:
            b.append(original.run(PAIRS))
    what = "go_active() + go_idle()"
    if not original:
        common.row(what, statistics.median(a), "ns")
        return
    ratio = statistics.median(x / y for x, y in zip(a, b))
    common.row(what, statistics.median(a), "ns", statistics.median(b), ratio, most=1, of="ratio")


def steps(rounds: int, tasks: int, what: str, ours: Package, original: "Package | None") -> None:
    bare, a, b = [], [], []
    for _ in range(rounds):
        bare.append(ours.run(STEPS % (0, tasks)))
        a.append(ours.run(STEPS % (1, tasks)))
        if original:
            b.append(original.run(STEPS % (1, tasks)))
    added = statistics.median(x - y for x, y in zip(a, bare))
    common.row(f"Trio step of a run that is not registered, {what}", statistics.median(bare), "ns")
    what = f"added to a Trio step, {what}"
    if not original:
        common.row(what, added, "ns")
        return
    added_b = statistics.median(x - y for x, y in zip(b, bare))
    common.row(what, added, "ns", added_b, most=NOISE, of="ratio")


def loop_steps(rounds: int, ours: Package, original: "Package | None") -> None:
    """The baseline is what the original's instrument adds to a step of Trio."""
    bare, a, b = [], [], []
    for _ in range(rounds):
        bare.append(ours.run(LOOP_STEPS % 0))
        a.append(ours.run(LOOP_STEPS % 1))
        if original and original.has("trio"):
            b.append(original.run(STEPS % (1, 1)) - original.run(STEPS % (0, 1)))
    added = statistics.median(x - y for x, y in zip(a, bare))
    common.row("asyncio step of a loop that is not registered", statistics.median(bare), "ns")
    common.row(
        "added to an asyncio step (baseline: to a Trio step)",
        added,
        "ns",
        statistics.median(b) if b else None,
        most=NOISE,
        of="ratio",
    )


def main() -> None:
    args = common.arguments(__doc__.splitlines()[0], {"original": None}, rounds=9)
    common.section(f"Python {sys.version.split()[0]}; baseline: the original extension")
    ours, original = Package(os.path.join(args.build, "python")), Package(args.original)
    if not ours.has("perpetuo"):
        sys.exit("slots.py: the extension is not built for this Python")
    if not original.has("perpetuo"):
        common.remark("this Python has no original perpetuo: no baseline")
        original = None
    pairs(args.rounds, ours, original)
    loop_steps(args.rounds, ours, original)
    if not ours.has("trio"):
        common.remark("this Python has no Trio: its steps are not measured")
        return
    steps(args.rounds, 1, "one task", ours, original)
    steps(args.rounds, 10, "ten ready tasks", ours, original)


main()
