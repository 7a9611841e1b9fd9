# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the benchmarks watch: ten threads, each 30 frames deep, the first of which takes sections.

    target.py KIND MILLISECONDS COUNT [IDLE_MILLISECONDS]

KIND is sleep, spin or none (no section; it sleeps COUNT times for MILLISECONDS). Says "ready", then
waits for a line on stdin, then for the end of stdin when it is done.
"""

import random
import sys
import threading
import time

import deep
import perpetuo


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def sections(kind: str, seconds: float, count: int, idle: float) -> None:
    body = {"sleep": sleep, "spin": spin, "none": sleep}[kind]
    tracker = perpetuo.StallTracker("bench", threading.get_ident())
    tracker.go_idle()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(count):
        if kind == "none":
            body(seconds)
            continue
        with tracker:
            body(seconds)
        # so that sections do not keep step with the ticks
        time.sleep(idle * random.uniform(0.5, 1.5))
    sys.stdin.read()


def main() -> None:
    kind, milliseconds, count = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    idle = float(sys.argv[4]) / 1e3 if len(sys.argv) > 4 else 0.03
    deep.start_waiters(deep.THREADS - 1)
    deep.at_depth(sections, kind, milliseconds / 1e3, count, idle)


main()
