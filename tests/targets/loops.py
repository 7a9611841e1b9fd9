# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program with an event loop that nobody instrumented, which stalls as told, and says the truth.

    python3 loops.py LIBRARY STEP[:SECONDS]...

LIBRARY is asyncio, uvloop, tornado, trio, gevent, asyncio-registered or trio-registered (of which
perpetuo has told), or trio-tracker (whose steps a tracker marks).
Each STEP runs a loop anew, with a task beside it that works a little every 5 ms:

    idle     stalls, each out of a loop that waits
    busy     stalls, each out of a loop that never waits
    healthy  20 tasks work for short times, and the loop never waits, for SECONDS
    below    two tasks work for 0.1 s each time, for SECONDS
    quiet    the loop waits for SECONDS
    held     another thread keeps the GIL for 0.4 s, three times, while the loop waits
    thread   'loop-0' and 'loop-1' run a loop each; the former stalls
    compute  no loop: the thread that had one computes for SECONDS
    first    the very first step of the loop stalls
    late     so does it, for SECONDS

A stall is of 0.25 to 0.4 s: a sleep, a computation in Python, a call of C that keeps the GIL, or short
naps. Prints "ready PID" first, and at last "done". Stalls are told as "STEP KIND START END" in ns of
CLOCK_MONOTONIC, and so are steps of "healthy" that took longer than LOOPS_FLOOR ms (100), as of kind
"slow". With a file named in STALLS_GO it waits before the first step until that exists; with LOOPS_LIVE
it does so in a loop.
"""

import ctypes
import os
import random
import sys
import threading
import time

LIBRARY = sys.argv[1]
FLOOR_NS = int(os.environ.get("LOOPS_FLOOR", "100")) * 1_000_000
GO = os.environ.get("STALLS_GO")

libc = ctypes.PyDLL(None)  # a call of it keeps the GIL
dice = random.Random()  # several of us shall not stall in step


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def spin(seconds: float) -> None:
    end = now() + int(seconds * 1e9)
    while now() < end:
        pass


def nap(seconds: float) -> None:
    end = now() + int(seconds * 1e9)
    while now() < end:
        time.sleep(0.01)


def call_c(seconds: float) -> None:
    libc.usleep(int(seconds * 1e6))


KINDS = {"sleep": time.sleep, "spin": spin, "call": call_c, "naps": nap}


def tell(step: str, kind: str, start: int, end: int) -> None:
    print(step, kind, start, end, flush=True)


def stall(step: str, kind: str) -> None:
    start = now()
    KINDS[kind](dice.uniform(0.25, 0.4))
    tell(step, kind, start, now())


class Steps:
    """The steps, written once: LIB has sleep(seconds), 0 = to be run again soon, and gather()."""

    def __init__(self, lib) -> None:
        self.sleep = lib.sleep
        self.gather = lib.gather
        self.over = False

    async def serve(self) -> None:
        while not self.over:
            spin(0.0001)
            await self.sleep(0.005)

    async def work(self, step: str, seconds: float, length: float) -> None:
        end = now() + int(seconds * 1e9)
        while now() < end:
            start = now()
            spin(dice.uniform(length / 4, length))
            if step == "healthy" and now() - start > FLOOR_NS:
                tell(step, "slow", start, now())
            await self.sleep(0)

    async def stalls(self, step: str, seconds: float) -> None:
        for kind in KINDS:
            await self.sleep(dice.uniform(0.1, 0.2))
            stall(step, kind)

    async def busy_stalls(self, step: str, seconds: float) -> None:
        for kind in KINDS:
            await self.work(step, dice.uniform(0.1, 0.3), 0.0001)
            stall(step, kind)

    async def many(self, step: str, seconds: float) -> None:
        await self.gather([self.work(step, seconds, 0.0003) for _ in range(20)])

    async def long_steps(self, step: str, seconds: float) -> None:
        await self.gather([self.work(step, seconds, 0.1) for _ in range(2)])

    async def rest(self, step: str, seconds: float) -> None:
        await self.sleep(seconds)

    async def held(self, step: str, seconds: float) -> None:
        def hold() -> None:
            for _ in range(3):
                time.sleep(0.3)
                call_c(0.4)

        thread = threading.Thread(target=hold, name="hog")
        thread.start()
        while thread.is_alive():
            await self.sleep(0.05)

    async def first(self, step: str, seconds: float) -> None:
        stall(step, "sleep")
        await self.sleep(0.1)

    async def late(self, step: str, seconds: float) -> None:
        start = now()
        time.sleep(seconds)
        tell(step, "stall", start, now())
        await self.sleep(0.1)

    async def until_go(self, step: str, seconds: float) -> None:
        while GO and not os.path.exists(GO):
            await self.sleep(0.01)

    BODIES = {
        "idle": stalls,
        "busy": busy_stalls,
        "healthy": many,
        "below": long_steps,
        "quiet": rest,
        "held": held,
        "thread": stalls,
        "other": rest,
        "first": first,
        "late": late,
        "go": until_go,
    }

    async def run(self, step: str, seconds: float) -> None:
        async def body() -> None:
            await Steps.BODIES[step](self, step, seconds)
            self.over = True

        await self.gather([body()] + ([] if step in ("first", "late", "quiet") else [self.serve()]))


class Asyncio:
    """asyncio, and what has its interface."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        import asyncio

        await asyncio.sleep(seconds)

    @staticmethod
    async def gather(coros) -> None:
        import asyncio

        await asyncio.gather(*coros)

    @classmethod
    def run(cls, step: str, seconds: float) -> None:
        import asyncio

        asyncio.run(Steps(cls).run(step, seconds))


class RegisteredAsyncio(Asyncio):
    @classmethod
    def run(cls, step: str, seconds: float) -> None:
        import asyncio

        import perpetuo

        async def run() -> None:
            perpetuo.instrument_asyncio()
            await Steps(cls).run(step, seconds)

        asyncio.run(run())


class Uvloop(Asyncio):
    @classmethod
    def run(cls, step: str, seconds: float) -> None:
        import uvloop

        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(Steps(cls).run(step, seconds))
        finally:
            loop.close()


class Tornado(Asyncio):
    @staticmethod
    async def sleep(seconds: float) -> None:
        import asyncio

        import tornado.gen

        await (tornado.gen.sleep(seconds) if seconds else asyncio.sleep(0))

    @classmethod
    def run(cls, step: str, seconds: float) -> None:
        import asyncio

        import tornado.ioloop

        asyncio.set_event_loop(asyncio.new_event_loop())
        tornado.ioloop.IOLoop.current().run_sync(lambda: Steps(cls).run(step, seconds))


class Trio:
    @staticmethod
    def prepare() -> None:
        pass

    @staticmethod
    async def sleep(seconds: float) -> None:
        import trio

        await trio.sleep(seconds)

    @staticmethod
    async def gather(coros) -> None:
        import trio

        async def take(coro) -> None:
            await coro

        async with trio.open_nursery() as nursery:
            for coro in coros:
                nursery.start_soon(take, coro)

    @classmethod
    def run(cls, step: str, seconds: float) -> None:
        import trio

        async def run() -> None:
            cls.prepare()
            await Steps(cls).run(step, seconds)

        trio.run(run)


class RegisteredTrio(Trio):
    @staticmethod
    def prepare() -> None:
        import perpetuo

        perpetuo.instrument_trio()


class TrackedTrio(Trio):
    @staticmethod
    def prepare() -> None:
        import perpetuo
        import trio

        class Instrument(trio.abc.Instrument):
            def __init__(self) -> None:
                self.tracker = perpetuo.StallTracker("steps", threading.get_ident())

            def before_task_step(self, task: trio.lowlevel.Task) -> None:
                self.tracker.go_active()

            def after_task_step(self, task: trio.lowlevel.Task) -> None:
                self.tracker.go_idle()

        trio.lowlevel.add_instrument(Instrument())


class Gevent:
    """Greenlets drive the coroutines: what they await is done in a switch."""

    class Switch:
        def __init__(self, body) -> None:
            self.body = body

        def __await__(self):
            self.body()
            return
            yield

    @staticmethod
    def drive(coro) -> None:
        try:
            coro.send(None)
        except StopIteration:
            pass

    @classmethod
    def sleep(cls, seconds: float) -> "Gevent.Switch":
        import gevent

        return cls.Switch(lambda: gevent.sleep(seconds))

    @classmethod
    def gather(cls, coros) -> "Gevent.Switch":
        import gevent

        return cls.Switch(
            lambda: gevent.joinall([gevent.spawn(cls.drive, coro) for coro in coros])
        )

    @classmethod
    def run(cls, step: str, seconds: float) -> None:
        cls.drive(Steps(cls).run(step, seconds))


LIBRARIES = {
    "asyncio": Asyncio,
    "asyncio-registered": RegisteredAsyncio,
    "uvloop": Uvloop,
    "tornado": Tornado,
    "trio": Trio,
    "trio-registered": RegisteredTrio,
    "trio-tracker": TrackedTrio,
    "gevent": Gevent,
}


def in_threads(lib, seconds: float) -> None:
    threads = [
        threading.Thread(target=lib.run, args=(step, 2), name=name)
        for name, step in (("loop-0", "thread"), ("loop-1", "other"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    lib = LIBRARIES[LIBRARY]
    print("ready", os.getpid(), flush=True)
    if os.environ.get("LOOPS_LIVE"):
        lib.run("go", 0)
    while GO and not os.path.exists(GO):
        time.sleep(0.01)
    for text in sys.argv[2:]:
        step, _, seconds = text.partition(":")
        if step == "thread":
            in_threads(lib, float(seconds or 1))
        elif step == "compute":
            spin(float(seconds or 1))
        else:
            lib.run(step, float(seconds or 1))
    print("done", flush=True)


main()
