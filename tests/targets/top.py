# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that says for how long its threads have the GIL, and wait for it.

    python3 top.py gil|loop SECONDS

gil: 'hog' keeps the GIL in C calls of 100 ms with a sleep of 50 ms between, 'victim' computes. Prints
"held START END" of each call and "waited START END" of each gap that the victim saw, by time.time().
loop: an asyncio loop whose task sleeps 10 ms at a time; twice a second a step takes 300 ms.

Prints "ready" first.
"""

import asyncio
import ctypes
import sys
import threading
import time

libc = ctypes.PyDLL(None)  # a call of it keeps the GIL
due = time.monotonic() + float(sys.argv[2])


def tell(what: str, start: float, end: float) -> None:
    sys.stdout.write(f"{what} {start} {end}\n")  # in one piece
    sys.stdout.flush()


def hog() -> None:
    while time.monotonic() < due:
        time.sleep(0.05)
        start = time.time()
        libc.usleep(100_000)
        tell("held", start, time.time())


def victim() -> None:
    before = time.time()
    while time.monotonic() < due:
        now = time.time()
        if now - before > 0.02:
            tell("waited", before, now)
        before = now


async def serve() -> None:
    while time.monotonic() < due:
        for _ in range(20):
            await asyncio.sleep(0.01)
        time.sleep(0.3)


print("ready", flush=True)
if sys.argv[1] == "gil":
    threads = [threading.Thread(target=body, name=body.__name__) for body in (hog, victim)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
else:
    asyncio.run(serve())
