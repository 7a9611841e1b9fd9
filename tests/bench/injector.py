# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that stalls as it is told, and tells by its own clock when it did.

    injector.py KIND COUNT SEED

Does healthy work, and COUNT times what KIND says for a random time of 150 to 400 ms:

    slot-sleep, slot-spin, slot-native   a section of a StallTracker: blocked, in Python, in C
    trio, asyncio, uvloop, gevent        a step of a task: blocked, in Python or in C, by turns
    trio-registered                      the same, of which perpetuo.instrument_trio() has told
    gil-held                             a thread keeps the GIL in one C call
    gil-retaken                          a thread lets go of it for moments and retakes it
    gil-queue                            eight threads compute
    stw                                  free-threaded: one collects garbage while another does not stop

Prints "ready", waits for a line on stdin, then prints a JSON line for each stall (name of the
function that is to blame, start and end in ns of CLOCK_MONOTONIC), and "done". Of the GIL's kinds
the truth is a gap that a thread saw between two looks at the clock, each of more than FLOOR_MS.
"""

import ctypes
import gc
import hashlib
import json
import os
import random
import sys
import threading
import time

FLOOR_NS = int(os.environ.get("FLOOR_MS", "50")) * 1_000_000
SHORTEST, LONGEST = 0.150, 0.400
REST = 0.06

libc = ctypes.PyDLL(None)  # a call of it keeps the GIL


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def tell(function: str, start: int, end: int, thread: str = "MainThread") -> None:
    print(json.dumps({"function": function, "start": start, "end": end, "thread": thread}), flush=True)


# ---- what blocks ---------------------------------------------------------------------------------


def stuck_in_sleep(seconds: float) -> None:
    time.sleep(seconds)


def stuck_in_python(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def stuck_in_native(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 20_000)


BODIES = (stuck_in_sleep, stuck_in_python, stuck_in_native)


def lengths(count: int) -> "list[float]":
    return [random.uniform(SHORTEST, LONGEST) for _ in range(count)]


def healthy(seconds: float) -> None:
    """Short sections' worth of work: a little of everything, never long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(2000))
        time.sleep(0.002)


# ---- slots ---------------------------------------------------------------------------------------


def slots(body, count: int) -> None:
    import perpetuo

    tracker = perpetuo.StallTracker("injected", threading.get_ident())
    tracker.go_idle()
    ready()
    for seconds in lengths(count):
        tracker.go_active()
        start = now()
        body(seconds)
        end = now()
        tracker.go_idle()
        tell(body.__name__, start, end)
        until = time.monotonic() + random.uniform(0.5, 1.5) * REST
        while time.monotonic() < until:
            tracker.go_active()
            sum(range(2000))
            tracker.go_idle()
            time.sleep(0.002)


# ---- event loops ---------------------------------------------------------------------------------


def step(i: int, seconds: float) -> None:
    body = BODIES[i % len(BODIES)]
    start = now()
    body(seconds)
    tell(body.__name__, start, now())


def with_asyncio(count: int, run) -> None:
    import asyncio

    async def busy() -> None:
        while True:
            await asyncio.sleep(0.001)
            sum(range(500))

    async def main() -> None:
        others = [asyncio.ensure_future(busy()) for _ in range(3)]
        begin = ready_in_loop()
        while not begin.is_set():
            await asyncio.sleep(0.01)
        for i, seconds in enumerate(lengths(count)):
            step(i, seconds)
            await asyncio.sleep(random.uniform(0.5, 1.5) * REST)
        for task in others:
            task.cancel()

    run(main())


def with_uvloop(count: int) -> None:
    import uvloop

    def run(main) -> None:
        loop = uvloop.new_event_loop()
        loop.run_until_complete(main)

    with_asyncio(count, run)


def with_trio(count: int, instrument: bool) -> None:
    import trio

    async def busy() -> None:
        while True:
            await trio.sleep(0.001)
            sum(range(500))

    async def main() -> None:
        if instrument:
            import perpetuo

            perpetuo.instrument_trio()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(busy)
            begin = ready_in_loop()
            while not begin.is_set():
                await trio.sleep(0.01)
            for i, seconds in enumerate(lengths(count)):
                step(i, seconds)
                await trio.sleep(random.uniform(0.5, 1.5) * REST)
            nursery.cancel_scope.cancel()

    trio.run(main)


def with_gevent(count: int) -> None:
    import gevent

    def busy() -> None:
        while True:
            gevent.sleep(0.001)
            sum(range(500))

    for _ in range(3):
        gevent.spawn(busy)
    begin = ready_in_loop()
    while not begin.is_set():
        gevent.sleep(0.01)
    for i, seconds in enumerate(lengths(count)):
        step(i, seconds)
        gevent.sleep(random.uniform(0.5, 1.5) * REST)


# ---- the GIL -------------------------------------------------------------------------------------


class Looker(threading.Thread):
    """Looks at the clock all the time; what it did not see, it waited for."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.stop = False
        self.gaps: "list[tuple[int, int]]" = []

    def run(self) -> None:
        before = now()
        while not self.stop:
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)  # no frame but this
            if after - before > FLOOR_NS:
                self.gaps.append((before, after))
            before = after


def hold(seconds: float) -> None:
    libc.usleep(int(seconds * 1e6))


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("ns", ctypes.c_long)]


def hold_until(ns: int) -> None:
    at = Timespec(ns // 1_000_000_000, ns % 1_000_000_000)
    libc.clock_nanosleep(time.CLOCK_MONOTONIC, 1, ctypes.byref(at), None)  # 1: TIMER_ABSTIME


def retake(seconds: float) -> None:
    """Less than a switch interval at a time, so that nobody's request to drop the GIL is heard."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        libc.usleep(4500)
        os.getppid()
        os.close(os.dup(1))


def gil(function: str, body, count: int, lookers: int = 1) -> None:
    threads = [Looker(f"looker-{i}") for i in range(lookers)]
    for thread in threads:
        thread.start()
    ready()
    for seconds in lengths(count):
        body(seconds)
        time.sleep(random.uniform(0.5, 1.5) * REST)
    for thread in threads:
        thread.stop = True
        thread.join()
    for thread in threads:
        for start, end in thread.gaps:
            tell(function, start, end, thread.name)


def queue(seconds: float) -> None:
    """The lookers themselves are the queue."""
    time.sleep(seconds)


def stopped_world(count: int) -> None:
    begun, over = threading.Semaphore(0), threading.Semaphore(0)
    times = lengths(count)
    ends = []

    def holder() -> None:
        for seconds in times:
            until = now() + int(seconds * 1e9)
            begun.release()
            hold_until(until)  # it stops when that returns: not for us to look at the clock
            ends.append(until)
            over.acquire()

    gc.disable()  # but when we say so
    gc.collect()
    ready()
    thread = threading.Thread(target=holder, name="holder", daemon=True)
    thread.start()
    for i in range(count):
        begun.acquire()
        time.sleep(0.002)
        start = now()
        gc.collect()
        while len(ends) <= i:
            time.sleep(0.001)
        tell("hold_until", start, ends[i])
        healthy(random.uniform(0.5, 1.5) * REST)
        over.release()


# ---- which --------------------------------------------------------------------------------------


def ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    healthy(0.1)


def ready_in_loop() -> threading.Event:
    """Set when it may begin: a loop that waits for a line is stuck."""
    begin = threading.Event()
    threading.Thread(target=lambda: (ready(), begin.set()), name="starter", daemon=True).start()
    return begin


def run(kind: str, count: int) -> None:
    import asyncio

    kinds = {
        "slot-sleep": lambda: slots(stuck_in_sleep, count),
        "slot-spin": lambda: slots(stuck_in_python, count),
        "slot-native": lambda: slots(stuck_in_native, count),
        "asyncio": lambda: with_asyncio(count, asyncio.run),
        "uvloop": lambda: with_uvloop(count),
        "trio": lambda: with_trio(count, False),
        "trio-registered": lambda: with_trio(count, True),
        "gevent": lambda: with_gevent(count),
        "gil-held": lambda: gil("hold", hold, count),
        "gil-retaken": lambda: gil("retake", retake, count),
        "gil-queue": lambda: gil("run", queue, count, 8),
        "stw": lambda: stopped_world(count),
    }
    kinds[kind]()


def main() -> None:
    kind, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    random.seed(seed)
    run(kind, count)
    print("done", flush=True)
    if kind == "gevent":  # what blocks here keeps its loop from running
        import gevent

        gevent.get_hub().threadpool.apply(sys.stdin.read)
    sys.stdin.read()


main()
