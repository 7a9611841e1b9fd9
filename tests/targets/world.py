# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program whose main thread stops the world, where others may not stop (free-threaded builds).

    python3t world.py STEP[:SECONDS]...

    hog      'hog' is in a C call of SECONDS that does not let go, twice, while MainThread collects
             garbage; two other threads compute
    many     four threads compute while MainThread collects garbage all the time, for SECONDS
    sleep    three threads sleep and wait, likewise

Prints "ready PID" first, and at last "done". Collections of more than WORLD_FLOOR ms (100) are told as
"STEP MainThread START END" in ns of CLOCK_MONOTONIC. With a file named in STALLS_GO it waits before the
first step until that exists.
"""

import ctypes
import gc
import os
import sys
import threading
import time

FLOOR_NS = int(os.environ.get("WORLD_FLOOR", "100")) * 1_000_000
libc = ctypes.PyDLL(None)  # a call of it stays attached: nothing can stop it


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class World:
    def __init__(self, step: str) -> None:
        self.step = step
        self.stop = False
        self.threads: "list[threading.Thread]" = []

    def start(self, name: str, body, *args) -> None:
        self.threads.append(threading.Thread(target=body, args=args, name=name))
        self.threads[-1].start()

    def compute(self) -> None:
        while not self.stop:
            sum(range(100))

    def nap(self) -> None:
        while not self.stop:
            time.sleep(0.002)

    def do_not_stop(self, seconds: float) -> None:
        for _ in range(2):
            time.sleep(0.15)
            libc.usleep(int(seconds * 1e6))
        time.sleep(0.1)
        self.stop = True

    def collect(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        while not self.stop and time.monotonic() < due:
            start = now()
            gc.collect()
            end = now()
            if end - start > FLOOR_NS:
                print(self.step, "MainThread", start, end, flush=True)
            time.sleep(0.001)
        self.stop = True
        for thread in self.threads:
            thread.join()


def run(step: str) -> None:
    kind, _, text = step.partition(":")
    seconds = float(text or 0.5)
    world = World(kind)
    if kind == "hog":
        world.start("hog", world.do_not_stop, seconds)
        world.start("compute-0", world.compute)
        world.start("compute-1", world.compute)
        world.collect(60)
    elif kind in ("many", "sleep"):
        for i in range(4):
            world.start(f"{kind}-{i}", world.compute if kind == "many" else world.nap)
        world.collect(seconds)
    else:
        raise SystemExit(f"world.py: no step {kind}")


def main() -> None:
    gc.disable()  # nobody but MainThread collects
    print("ready", os.getpid(), flush=True)
    go = os.environ.get("STALLS_GO")
    while go and not os.path.exists(go):
        time.sleep(0.01)
    for step in sys.argv[1:]:
        run(step)
    print("done", flush=True)


main()
