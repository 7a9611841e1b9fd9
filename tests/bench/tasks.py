#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""How long one look at a process with 10,000 tasks takes: all of them, what a report has, the running ones."""

import os
import subprocess
import sys
import tempfile

import common

TASKS = 10000


def times(args, library: str) -> "dict[str, int]":
    """What test_tasks tells of a target with so many tasks, in microseconds."""
    reader = os.path.join(args.build, "tests", "unit", "test_tasks")
    script = os.path.join(common.TOP, "tests", "targets", "tasks.py")
    with tempfile.NamedTemporaryFile() as truth:
        command = [sys.executable, script, library, "block", truth.name, str(TASKS)]
        with common.Process(command, args.build, stdout=subprocess.PIPE, text=True) as target:
            if target.popen.stdout.readline() != "ready\n":
                return {}
            command = [reader, "time", str(target.pid), str(args.rounds)]
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    words = out.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2])}


def main() -> None:
    args = common.arguments(__doc__.splitlines()[0], rounds=25)
    common.need_root()
    common.section(f"A process with {TASKS} tasks; baseline: the same look without tasks")
    for library in ("asyncio", "trio"):
        took = times(args, library)
        if not took:
            common.remark(f"no {library} in {sys.executable}")
            continue
        base = took["none_us"] / 1e3
        common.row(f"{library}: all tasks", took["all_us"] / 1e3, "ms", base, most=50)
        common.row(f"{library}: as in a report", took["brief_us"] / 1e3, "ms", base, most=50)
        common.row(f"{library}: the running ones", took["running_us"] / 1e3, "ms", base, most=1)


main()
