# SPDX-License-Identifier: MIT OR Apache-2.0
"""A small made-up program that stands still, for recordings: scripts/record keeps what a dump reads
of it, and what Python itself says of it.

    recorded.py TRUTH

writes into TRUTH, separated by tabs,
    frame   thread  position  function  file  line      innermost first
    local   thread  position  name  repr                of the frames of Shop.price
    task    name  coroutine                             of asyncio
prints "ready" and stays. Runs on CPython 3.9 and later.
"""
import asyncio
import functools
import sys
import threading
import time

LONG = 100000
asleep = threading.Semaphore(0)
every = []


def rest():
    asleep.release()
    time.sleep(LONG)


class Shop:
    """Local variables of every kind."""

    def price(self, item):
        count, negative, huge = 3, -70000, 1 << 70
        ratio, nothing, yes = 0.25, None, True
        text, wide, raw = "pl\u00e4in", "\u65e5\u672c \U0001f600", b"\x00bytes"
        pair, empty = (1, "two"), []
        prices, seen = {"tea": 3}, {7}
        password = "not to be seen"  # noqa: F841
        rest()
        return item, count, negative, huge, ratio, nothing, yes, text, wide, raw, pair, empty, prices, seen

    def orders(self):
        yield 1
        self.price("tea")

    def all_orders(self):
        yield from self.orders()


def recursion(n):
    if n:
        return recursion(n - 1)
    return [order for order in Shop().all_orders()]


def reentry():
    sorted([2, 1], key=lambda x: functools.reduce(lambda a, b: rest(), [1, 2]))


def definition():
    class Outer:
        class Inner:
            rest()


def far():
    source = "\n" * 700 + "def gr\u00f6\u00dfe(f):\n    x = (1,\n         f())\n\n\ngr\u00f6\u00dfe(rest)\n"
    exec(compile(source, "<\u0438\u043c\u044f>", "exec"), {"rest": rest})


async def checkout(lock):
    async with lock:
        pass


async def deliver(n):
    if n:
        return await deliver(n - 1)
    await asyncio.sleep(LONG)


async def ship():
    lock = asyncio.Lock()
    await lock.acquire()
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(checkout(lock), name="checkout"),
             loop.create_task(deliver(5), name="deliver"),
             asyncio.gather(deliver(0), deliver(1))]
    await asyncio.sleep(0.01)
    every.extend(asyncio.all_tasks())
    rest()
    return tasks


def event_loop():
    asyncio.run(ship())


def tell(out):
    names = {t.ident: t.name for t in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        position = 0
        while frame:
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)  # 3.11
            print("frame", names[ident], position, name, code.co_filename, frame.f_lineno, sep="\t", file=out)
            if code.co_name == "price":
                for local, value in frame.f_locals.items():
                    if local not in ("self", "password"):
                        print("local", names[ident], position, local, repr(value), sep="\t", file=out)
            frame = frame.f_back
            position += 1
    for task in every:
        print("task", task.get_name(), task.get_coro().__qualname__, sep="\t", file=out)


def main():
    for name, function, args in (("recursion", recursion, (20,)), ("reentry", reentry, ()),
                                 ("w\u00f6rker-\u65e5\u672c", definition, ()), ("far", far, ()),
                                 ("loop", event_loop, ())):
        threading.Thread(target=function, args=args, name=name, daemon=True).start()
        asleep.acquire()
    time.sleep(0.3)  # all are in their system call
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        tell(out)
    print("ready", flush=True)
    time.sleep(LONG)


main()
