# SPDX-License-Identifier: MIT OR Apache-2.0
"""A healthy program for SECONDS, then one stall.

    soak.py SECONDS STALL_SECONDS

All at once: threads that toggle trackers as fast as they can, one that a second
thread makes idle, sections of about 1 ms, trackers made and closed, threads that come and go, children of fork, and Trio steps
where there is Trio. Says the truth about the time: "ready", then "long NAME START END" of each
section that took longer than half of STALL_SECONDS (the machine may be busy: an alarm for it is
right), "sections N" when the healthy part is over, "stall START END", "done".
"""

import os
import sys
import threading
import time

from perpetuo import StallTracker

try:
    import trio
    from perpetuo import instrument_trio
except ImportError:
    trio = None

seconds, stall_seconds = float(sys.argv[1]), float(sys.argv[2])
over = threading.Event()
counts = {}  # sections by kind


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def timed(name: str, start: int) -> None:
    end = now()
    counts[name] = counts.get(name, 0) + 1
    if end - start > stall_seconds * 5e8:
        print("long", name, start, end, flush=True)


def new_tracker(name: str) -> StallTracker:
    tracker = StallTracker(name, threading.get_ident())
    tracker.go_idle()
    return tracker


def toggle(name: str) -> None:
    tracker = new_tracker(name)
    while not over.is_set():
        for _ in range(1000):
            start = now()
            with tracker:
                pass
            timed(name, start)
        time.sleep(0.01)
    tracker.close()


def short(name: str) -> None:
    tracker = new_tracker(name)
    while not over.is_set():
        start = now()
        with tracker:
            time.sleep(0.001)
        timed(name, start)
    tracker.close()


def hand_over(name: str) -> None:
    """A section begins in one thread and ends in another."""
    tracker = new_tracker(name)
    begun, ended = threading.Semaphore(0), threading.Semaphore(1)

    def end() -> None:
        while begun.acquire() and tracker.is_active():
            tracker.go_idle()
            ended.release()

    other = threading.Thread(target=end)
    other.start()
    while not over.is_set():
        ended.acquire()
        start = now()
        tracker.go_active()
        begun.release()
        time.sleep(0.001)
        timed(name, start)
    ended.acquire()
    begun.release()
    other.join()
    tracker.close()


def make_and_close(name: str) -> None:
    n = 0
    while not over.is_set():
        trackers = [new_tracker(f"{name}-{n}-{i}") for i in range(50)]
        for tracker in trackers:
            start = now()
            with tracker:
                pass
            timed(name, start)
        for tracker in trackers:
            tracker.close()
        n += 1
        time.sleep(0.02)


def come_and_go(name: str) -> None:
    def once() -> None:
        start = now()
        tracker = new_tracker(name)
        with tracker:
            time.sleep(0.002)
        timed(name, start)
        tracker.close()

    while not over.is_set():
        threads = [threading.Thread(target=once) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(0.05)


def fork(name: str) -> None:
    tracker = new_tracker(name)
    while not over.is_set():
        start = now()
        with tracker:
            child = os.fork()
            if child == 0:
                # only the parent is watched: this is nobody's stall
                time.sleep(0.2)
                os._exit(0)
        timed(name, start)
        os.waitpid(child, 0)
    tracker.close()


def run_trio(name: str) -> None:
    async def step() -> None:
        while not over.is_set():
            start = now()
            for _ in range(100):
                pass
            timed(name, start)
            await trio.lowlevel.checkpoint()
            if counts[name] % 100 == 0:
                await trio.sleep(0.005)

    async def main() -> None:
        instrument_trio()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(step)

    while not over.is_set():
        trio.run(main)


def main() -> None:
    kinds = [toggle, toggle, short, short, hand_over, make_and_close, come_and_go, fork]
    threads = [
        threading.Thread(target=kind, args=(f"{kind.__name__}-{i}",)) for i, kind in enumerate(kinds)
    ]
    if trio:
        threads.append(threading.Thread(target=run_trio, args=("trio",)))
    # the page is there from the beginning, so that a watcher can attach before all else
    new_tracker("main").close()
    print("ready", os.getpid(), flush=True)
    while not os.path.exists(os.environ["SOAK_GO"]):
        time.sleep(0.01)
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    print("sections", sum(counts.values()), flush=True)
    print("kinds", *sorted(counts), flush=True)

    tracker = new_tracker("real")
    start = now()
    with tracker:
        time.sleep(stall_seconds)
    print("stall", start, now(), flush=True)
    # a stall whose process ends before anyone looks again ends with the process
    time.sleep(1)
    print("done", flush=True)


main()
