# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that uses the original extension (perpetuo from PyPI, a v0 page) and stalls once.

Prints "ready PID", waits for the file named in STALLS_GO, then blocks for half a second in a section
named "orig" and prints its truth as stalls.py does.
"""

import os
import signal
import threading
import time

import perpetuo


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def stuck_in_original() -> None:
    time.sleep(0.5)


def main() -> None:
    assert not hasattr(perpetuo, "SLOT_VERSION")
    tracker = perpetuo.StallTracker("orig", threading.get_ident())
    tracker.go_idle()
    child = os.fork()  # which has the page, too, in the same memory
    if child == 0:
        signal.pause()
    print("ready", os.getpid(), flush=True)
    while not os.path.exists(os.environ["STALLS_GO"]):
        time.sleep(0.01)
    for _ in range(2000):
        tracker.go_active()
        tracker.go_idle()
    time.sleep(0.1)
    start = now()
    tracker.go_active()
    stuck_in_original()
    tracker.go_idle()
    print("orig", start, now(), flush=True)
    time.sleep(0.3)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("done", flush=True)


main()
