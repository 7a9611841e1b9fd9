# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stalls in native code: native.py LIBRARY STEP... (names of functions below), each a section of a tracker
of its own. LIBRARY is built of native_lib.c. Waits for the file $STALLS_GO; prints "ready", then "done"."""

import ctypes
import os
import sys
import threading
import time

from perpetuo import StallTracker

SECONDS = 0.3


def load(kind):
    lib = kind(sys.argv[1])
    for name in ("lib_spin", "lib_sleep", "lib_deep"):
        getattr(lib, name).argtypes = [ctypes.c_double]
    return lib


def spin_free() -> None:
    free.lib_spin(SECONDS)


def spin_held() -> None:
    held.lib_spin(SECONDS)


def sleep_held() -> None:
    held.lib_sleep(SECONDS)


def deep() -> None:
    free.lib_deep(SECONDS)


def pipe() -> None:
    read, write = os.pipe()
    threading.Timer(SECONDS, lambda: os.write(write, b"x")).start()
    os.read(read, 1)


def python() -> None:
    end = time.monotonic() + SECONDS
    n = 0
    while n % 1000 or time.monotonic() < end:
        n += 1


def hog() -> None:
    """Another thread has the GIL in C, and this one wants it."""
    other = threading.Thread(target=held.lib_spin, args=(2 * SECONDS,), name="hog")
    other.start()
    other.join()


def deleted() -> None:
    """As after an upgrade: the file that is mapped is no more, another has its name."""
    os.unlink(sys.argv[1])
    with open(sys.argv[1], "w") as f:
        f.write("another")
    sleep_held()


def stay() -> None:
    """No stall of a tracker: there to be dumped."""
    print("stays", flush=True)
    held.lib_sleep(60)


def main() -> None:
    first = StallTracker("first", threading.get_ident())  # there is something to watch
    first.go_idle()
    print("ready", os.getpid(), flush=True)
    while not os.path.exists(os.environ["STALLS_GO"]):
        time.sleep(0.01)
    for step in sys.argv[2:]:
        if step == "stay":
            stay()
        tracker = StallTracker(step, threading.get_ident())
        globals()[step]()
        tracker.go_idle()
        time.sleep(0.05)
    print("done", flush=True)


free = load(ctypes.CDLL)
held = load(ctypes.PyDLL)
main()
