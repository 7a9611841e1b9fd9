# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that stalls as it is told, and says the truth about it.

    python3 stalls.py STEP...

Each STEP is KIND[:SECONDS[:NAME]] and runs in the main thread, one after the other:

    idle     no section is active
    sleep    a section, blocked in the kernel
    spin     a section, computing in Python
    move     a section, blocked for SECONDS in one function, then for SECONDS in another
    native   a section, computing in C without the GIL
    vfork    a section, waiting until a new child executes its program
    short    back to back sections of about 1 ms: never a stall
    toggle   sections as short as they can be
    burst    130 sections of SECONDS, each blocked, with a breath between
    two      two trackers in two threads, blocked at once
    gil      a thread holds the GIL in C; the tracker says 'gil'
    orphan   a thread makes a section active and ends; SECONDS idle after that
    many     200 trackers, the last one blocked
    pages    5000 trackers, more than one page holds, the last one blocked
    close    a tracker is closed while active, after SECONDS
    fork     the child blocks in a section for SECONDS, the parent has none

Prints "ready PID" first, then for each section of sleep, spin, move, native, two, gil, many, pages and
orphan when it is over: "NAME START END" in ns of CLOCK_MONOTONIC, and at last "done". With a file named in
STALLS_GO it waits before the first step until that exists.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time

from perpetuo import StallTracker, stall_gil


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def truth(name: str, start: int, end: int) -> None:
    print(name, start, end, flush=True)


def tracker(name: str, thread: "int | str | None" = None) -> StallTracker:
    t = StallTracker(name, threading.get_ident() if thread is None else thread)
    t.go_idle()
    return t


def stuck_in_sleep(seconds: float) -> None:
    time.sleep(seconds)


def stuck_in_spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        n += 1


def moves_on(seconds: float) -> None:
    stuck_in_sleep(seconds)
    stuck_elsewhere(seconds)


def stuck_elsewhere(seconds: float) -> None:
    time.sleep(seconds)


def stuck_in_native(seconds: float) -> None:
    data = b"x" * (1 << 20)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", data[:64], b"salt", 400_000)


def stuck_in_vfork(seconds: float) -> None:
    """The child opens a FIFO first, which another one opens for it after SECONDS."""
    with tempfile.TemporaryDirectory() as folder:
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        opener = subprocess.Popen(["/bin/sh", "-c", f"sleep {seconds}; : >'{fifo}'"])
        first = [(os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)]
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}, file_actions=first), 0)
        opener.wait()


def section(name: str, body, seconds: float) -> None:
    t = tracker(name)
    start = now()
    with t:
        body(seconds)
    truth(name, start, now())
    t.close()


def short(name: str, seconds: float, each: float) -> None:
    t = tracker(name)
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        with t:
            if each:
                time.sleep(each)
        n += 1
    t.close()
    print("sections", n, flush=True)


def burst(name: str, seconds: float) -> None:
    t = tracker(name)
    for _ in range(130):
        with t:
            stuck_in_sleep(seconds)
        time.sleep(0.002)
    t.close()


def two(name: str, seconds: float) -> None:
    threads = [
        threading.Thread(target=section, args=(f"{name}-{i}", stuck_in_sleep, seconds), name=f"worker-{i}")
        for i in (1, 2)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def gil(name: str, seconds: float) -> None:
    t = tracker(name, "gil")
    start = now()
    with t:
        stall_gil(seconds)
    truth(name, start, now())
    t.close()


def orphan(name: str, seconds: float) -> None:
    kept = []

    def leave() -> None:
        t = tracker(name)
        t.go_active()
        kept.append(t)

    thread = threading.Thread(target=leave)
    start = now()
    thread.start()
    thread.join()
    time.sleep(seconds)
    kept[0].close()
    truth(name, start, now())


def many(name: str, seconds: float, count: int = 200) -> None:
    trackers = [tracker(f"{name}-{i}") for i in range(count)]
    for t in trackers[:-1]:
        with t:
            pass
    time.sleep(0.5)  # what a watcher keeps of the pages is read again at its leisure
    start = now()
    with trackers[-1]:
        stuck_in_sleep(seconds)
    truth(f"{name}-{count - 1}", start, now())
    for t in trackers:
        t.close()


def pages(name: str, seconds: float) -> None:
    many(name, seconds, 5000)


def close_while_active(name: str, seconds: float) -> None:
    t = StallTracker(name, threading.get_ident())
    time.sleep(seconds)
    t.close()


def fork(name: str, seconds: float) -> None:
    t = tracker(name)
    t.go_active()
    pid = os.fork()
    if pid == 0:
        time.sleep(seconds)
        os._exit(0)
    t.go_idle()
    os.waitpid(pid, 0)
    t.close()


def run(step: str) -> None:
    kind, _, rest = step.partition(":")
    text, _, name = rest.partition(":")
    seconds = float(text or 0.5)
    name = name or kind
    bodies = {
        "sleep": stuck_in_sleep,
        "spin": stuck_in_spin,
        "native": stuck_in_native,
        "vfork": stuck_in_vfork,
        "move": moves_on,
    }
    if kind in bodies:
        section(name, bodies[kind], seconds)
    elif kind == "idle":
        time.sleep(seconds)
    elif kind == "short":
        short(name, seconds, 0.001)
    elif kind == "toggle":
        short(name, seconds, 0)
    else:
        others = {
            "burst": burst,
            "two": two,
            "gil": gil,
            "orphan": orphan,
            "many": many,
            "pages": pages,
            "close": close_while_active,
            "fork": fork,
        }
        others[kind](name, seconds)


def main() -> None:
    # the page is there from the beginning, so that a watcher can attach before the first step
    tracker("main").close()
    print("ready", os.getpid(), flush=True)
    go = os.environ.get("STALLS_GO")
    while go and not os.path.exists(go):
        time.sleep(0.01)
    for step in sys.argv[1:]:
        run(step)
    print("done", flush=True)


main()
