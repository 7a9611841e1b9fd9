# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that makes a subinterpreter when it is watched already, in which one waits for the GIL.

    python3 subinterp.py own|shared [SECONDS]

    own      a GIL of its own (3.12): 'hog' keeps it in one long bytecode of about SECONDS, twice, while
             another thread of that interpreter computes
    shared   the one GIL (3.13: before, who waits may starve for minutes): the subinterpreter, in thread 'hog', keeps it while MainThread computes

Prints "ready PID" first, and at last "done"; gaps of more than GIL_FLOOR ms (100) of who computes are
told as "STEP THREAD START END" in ns of CLOCK_MONOTONIC. With a file named in STALLS_GO it waits before
it makes the subinterpreter until that exists.
"""

import os
import sys
import threading
import time

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

HOG = """
import time
time.sleep(0.15)
start = time.monotonic()
sum(range(200_000))
count = int(200_000 * SECONDS / (time.monotonic() - start))
for _ in range(2):
    time.sleep(0.15)
    sum(range(count))
"""

LOOK = """
import os, time
before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
while not stopped():
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    if after - before > FLOOR * 1_000_000:
        os.write(1, f"STEP {NAME} {before} {after}\\n".encode())
    before = after
"""

BESIDE = """
import threading
hog = threading.Thread(target=exec, args=(HOG, {"SECONDS": SECONDS}), name="hog")
stopped = lambda: not hog.is_alive()
hog.start()
"""


def make(own: bool):
    if hasattr(interpreters, "exec"):
        return interpreters.create("isolated" if own else "legacy")
    return interpreters.create(isolated=own)


def main() -> None:
    own = sys.argv[1] == "own"
    floor = int(os.environ.get("GIL_FLOOR", "100"))
    head = f"SECONDS = {float(sys.argv[2])}\nFLOOR = {floor}\nHOG = {HOG!r}\n"
    look = LOOK.replace("STEP {NAME}", "own victim" if own else "shared MainThread")
    print("ready", os.getpid(), flush=True)
    go = os.environ.get("STALLS_GO")
    while go and not os.path.exists(go):
        time.sleep(0.01)
    sub = make(own)
    if own:
        interpreters.run_string(sub, head + BESIDE + look)
    else:
        hog = threading.Thread(target=interpreters.run_string, args=(sub, head + HOG), name="hog")
        hog.start()
        exec(head + look, {"stopped": lambda: not hog.is_alive()})  # noqa: S102
        hog.join()
    print("done", flush=True)


main()
