#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""For how long a look at a process stops it: the largest gap that a spinning thread of it sees.

The thread and who looks have a CPU each, where there are two. What the thread waits for its CPU, by the
scheduler's own account, is no pause and taken off. Interrupts make gaps, too: what the thread sees
while nobody looks is the baseline. Of all looks the median counts.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import common

# Gaps from 10 us on as [end, length], until it is told to end; in ns of CLOCK_MONOTONIC.
SPIN = """
import json, os, signal, time
gaps = []
account = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
def waited():
    return int(os.pread(account, 100, 0).split()[1])
over = []
signal.signal(signal.SIGTERM, lambda *_: over.append(True))
print("ready", flush=True)
clock = time.monotonic_ns
before = waited()
last = clock()
while not over:
    now = clock()
    if now - last > 10000:
        after = waited()
        gaps.append((now, now - last - (after - before)))
        before = after
        now = clock()
    last = now
print(json.dumps(gaps))
"""
BREAK_S = 0.05
NOBODY_S = 0.05


def tools(loader: str, pid: int) -> "dict[str, list[str]]":
    """What looks at it, by name; nothing where it is not there."""
    commands = {
        "perpetuo-bpf dump": [loader, "dump", str(pid)],
        "py-spy dump": ["py-spy", "dump", "--pid", str(pid)],
        "pystack remote": ["pystack", "remote", str(pid)],
    }
    for command in commands.values():
        beside = os.path.join(os.path.dirname(sys.executable), command[0])
        command[0] = shutil.which(command[0]) or (beside if os.access(beside, os.X_OK) else "")
    return {name: command if command[0] else [] for name, command in commands.items()}


def window(command: "list[str]") -> "tuple[int, int]":
    """From when to when it ran; without a command nobody looks."""
    time.sleep(BREAK_S)
    start = time.monotonic_ns()
    if command:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    else:
        time.sleep(NOBODY_S)
    return start, time.monotonic_ns()


def largest_ms(gaps: "list[list[int]]", start: int, end: int) -> float:
    return max((length for at, length in gaps if at > start and at - length < end), default=0) / 1e6


def main() -> None:
    args = common.arguments(__doc__.splitlines()[0], rounds=20)
    common.need_root()
    cpus = sorted(os.sched_getaffinity(0))
    common.section("The largest gap while a process is looked at, p50; baseline: nobody looks")
    windows = {}
    command = [sys.executable, "-c", SPIN]
    with common.Process(command, args.build, stdout=subprocess.PIPE, text=True) as target:
        out = target.popen.stdout
        out.readline()
        os.sched_setaffinity(target.pid, cpus[:1])
        os.sched_setaffinity(0, cpus[-1:])
        looks = {"nobody": [], **tools(args.loader, target.pid)}
        for name, command in looks.items():
            if command or name == "nobody":
                windows[name] = [window(command) for _ in range(args.rounds)]
        target.popen.terminate()
        gaps = json.loads(out.readline())
    seen = {
        name: common.median([largest_ms(gaps, *each) for each in all])
        for name, all in windows.items()
    }
    for name in looks:
        if name not in seen:
            common.remark(f"no {name.split()[0]} in PATH or beside this Python")
        elif name != "nobody":
            # a gap of the scheduler's is not one of ours: what is above a millisecond would be
            most = round(seen["nobody"] + 1, 1) if name.startswith("perpetuo") else None
            common.row(f"{name}: largest gap", seen[name], "ms", seen["nobody"], most=most)


main()
