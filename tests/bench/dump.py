#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""How long one dump of ten threads, 30 frames deep, takes from start to exit, beside py-spy's."""

import os
import shutil
import subprocess
import sys
import time

import common


def milliseconds(command: "list[str]") -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    args = common.arguments(__doc__.splitlines()[0], rounds=15)
    common.need_root()
    spy = shutil.which("py-spy") or os.path.join(os.path.dirname(sys.executable), "py-spy")
    common.section("One dump; baseline: py-spy dump")
    ours, base = [], []
    with common.target(args.build, "none", "1000", "1000000") as target:
        common.go(target)
        for _ in range(args.rounds):
            ours.append(milliseconds([args.loader, "dump", str(target.pid)]))
            if os.access(spy, os.X_OK):
                base.append(milliseconds([spy, "dump", "--nonblocking", "--pid", str(target.pid)]))
    if not base:
        common.remark("no py-spy in PATH or beside this Python: no baseline")
    common.row("dump, start to exit", common.median(ours), "ms", common.median(base) if base else None)


main()
