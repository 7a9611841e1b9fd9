# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program whose threads contend for the GIL as they are told, and says the truth about it.

    python3 gil.py STEP[:SECONDS]...

Each STEP runs its threads anew:

    hog      'hog' keeps the GIL in a C call for SECONDS, three times; 'victim' computes
    sum      'hog' runs one long bytecode (sum of a range) of about SECONDS, twice; 'victim' computes
    regex    'hog' runs one regular expression that takes long, twice; 'victim' computes
    many     'hog' keeps the GIL for SECONDS, once; five victims compute
    alone    one thread computes
    two      two threads compute
    yield    two threads give the GIL away all the time (sleep(0)), a third computes
    eight    eight threads compute
    retake   'hog' keeps the GIL for 4.5 ms, lets go for a moment, and again, for SECONDS; 'victim'
             computes
    reads    two threads read one byte after the other (letting go of the GIL), two compute
    receive  the same with an empty socket
    released one thread is in a C call of SECONDS that let go of the GIL; another computes
    quit     'hog' keeps the GIL for SECONDS; 'victim' ends as soon as it gets it

Prints "ready PID" first, and at last "done". Threads that compute look at the clock all the time; a
gap between two looks is the longest that they can have waited. Those of more than GIL_FLOOR ms (100)
are told as "STEP THREAD START END" in ns of CLOCK_MONOTONIC. With a file named in STALLS_GO it waits
before the first step until that exists.
"""

import ctypes
import os
import re
import socket
import sys
import threading
import time

FLOOR_NS = int(os.environ.get("GIL_FLOOR", "100")) * 1_000_000

libc = ctypes.PyDLL(None)  # a call of it keeps the GIL
free_libc = ctypes.CDLL(None)  # a call of it lets go


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Gaps:
    """Threads that look at the clock until they are told to stop, and the gaps that they saw."""

    def __init__(self, step: str, names: "list[str]", between=None) -> None:
        self.step = step
        self.stop = False
        self.gaps: "list[tuple[str, int, int]]" = []
        self.threads = [
            threading.Thread(target=self.look, args=(name, between), name=name) for name in names
        ]
        self.begun = now()

    def note(self, name: str, before: int, after: int) -> int:
        if after - before > FLOOR_NS:
            self.gaps.append((name, before, after))
        return after

    def look(self, name: str, between) -> None:
        before = self.begun  # a new thread waits for the GIL before it runs a line
        while not self.stop:
            if between:
                between()
            before = self.note(name, before, now())
        self.note(name, before, now())

    def sleep(self, seconds: float) -> None:
        """In the main thread, which wants the GIL back afterwards."""
        due = now() + int(seconds * 1e9)
        time.sleep(seconds)
        self.note("MainThread", due, now())

    def __enter__(self) -> "Gaps":
        for thread in self.threads:
            self.begun = now()
            thread.start()
            self.note("MainThread", self.begun, now())
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop = True
        before = now()
        for thread in self.threads:
            thread.join()
        self.note("MainThread", before, now())
        for name, start, end in sorted(self.gaps, key=lambda gap: gap[1]):
            print(self.step, name, start, end, flush=True)


def in_thread(gaps: Gaps, name: str, body, *args) -> None:
    """Runs BODY in a thread; what the main thread waits for the GIL before and after is a gap, too."""
    over = 0

    def run_body() -> None:
        nonlocal over
        body(*args)
        over = now()

    thread = threading.Thread(target=run_body, name=name)
    before = now()
    thread.start()
    gaps.note("MainThread", before, now())
    thread.join()
    gaps.note("MainThread", over, now())


def keep_the_gil(seconds: float, times: int) -> None:
    for _ in range(times):
        time.sleep(0.15)
        libc.usleep(int(seconds * 1e6))
    time.sleep(0.15)


def sum_of_range(seconds: float, times: int) -> None:
    start = time.monotonic()
    sum(range(200_000))
    count = int(200_000 * seconds / (time.monotonic() - start))
    for _ in range(times):
        time.sleep(0.15)
        sum(range(count))
    time.sleep(0.15)


def backtrack(seconds: float, times: int) -> None:
    length = 12
    while True:
        text = "a" * length + "b"
        start = time.monotonic()
        re.match("(a|aa)+$", text)
        if time.monotonic() - start > seconds / 20:
            break
        length += 1
    length += 6  # each takes 1.6 times as long
    for _ in range(times):
        time.sleep(0.15)
        re.match("(a|aa)+$", "a" * length + "b")
    time.sleep(0.15)


def retake(seconds: float, times: int) -> None:
    file = os.open("/dev/zero", os.O_RDONLY)
    for _ in range(times):
        time.sleep(0.15)
        due = time.monotonic() + seconds
        while time.monotonic() < due:
            libc.usleep(4500)
            os.read(file, 1)
    os.close(file)


def give_away() -> None:
    time.sleep(0)


def reader():
    file = os.open("/dev/zero", os.O_RDONLY)
    return lambda: os.read(file, 1)


def receiver():
    end, _other = socket.socketpair()
    end.setblocking(False)

    def receive(_keep=_other) -> None:
        try:
            end.recv(1)
        except BlockingIOError:
            pass

    return receive


def quit_at_once(gaps: Gaps) -> None:
    before = now()
    while not gaps.gaps and not gaps.stop:
        before = gaps.note("victim", before, now())


def run_hogs(kind: str, seconds: float) -> None:
    bodies = {"hog": (keep_the_gil, 3), "sum": (sum_of_range, 2), "regex": (backtrack, 2), "many": (keep_the_gil, 1), "retake": (retake, 2)}
    body, times = bodies[kind]
    names = [f"victim-{i}" for i in range(5)] if kind == "many" else ["victim"]
    with Gaps(kind, names) as gaps:
        in_thread(gaps, "hog", body, seconds, times)


def run(step: str) -> None:
    kind, _, text = step.partition(":")
    seconds = float(text or 0.5)
    if kind in ("hog", "sum", "regex", "many", "retake"):
        run_hogs(kind, seconds)
    elif kind in ("alone", "two", "eight"):
        count = {"alone": 1, "two": 2, "eight": 8}[kind]
        with Gaps(kind, [f"{kind}-{i}" for i in range(count)]) as gaps:
            gaps.sleep(seconds)
    elif kind == "yield":
        with Gaps(kind, ["yield-0", "yield-1"], give_away), Gaps(kind, ["yield-2"]) as gaps:
            gaps.sleep(seconds)
    elif kind in ("reads", "receive"):
        between = {"reads": reader, "receive": receiver}[kind]()
        with Gaps(kind, [f"{kind}-0", f"{kind}-1"], between), Gaps(kind, [f"{kind}-2", f"{kind}-3"]) as gaps:
            gaps.sleep(seconds)
    elif kind == "released":
        with Gaps(kind, ["released"]) as gaps:
            in_thread(gaps, "waiter", free_libc.usleep, int(seconds * 1e6))
    elif kind == "quit":
        gaps = Gaps(kind, [])
        gaps.threads.append(threading.Thread(target=quit_at_once, args=(gaps,), name="victim"))
        with gaps:
            in_thread(gaps, "hog", keep_the_gil, seconds, 1)
    else:
        raise SystemExit(f"gil.py: no step {kind}")


def main() -> None:
    print("ready", os.getpid(), flush=True)
    go = os.environ.get("STALLS_GO")
    while go and not os.path.exists(go):
        time.sleep(0.01)
    for step in sys.argv[1:]:
        run(step)
    print("done", flush=True)


main()
