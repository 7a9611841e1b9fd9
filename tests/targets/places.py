# SPDX-License-Identifier: MIT OR Apache-2.0
"""Frames that a dump tells in its own way.

usage: places.py WHAT [ARG]
Says "ready", and before that one line of JSON about its frames where a test needs it.
"""
import concurrent.futures
import json
import sys
import threading
import time


def positions():
    """Frames above, from the root on: what co_positions() says of each."""
    frame, out = sys._getframe(2), []
    while frame:
        places = list(frame.f_code.co_positions())
        out.append([frame.f_code.co_name, *places[frame.f_lasti // 2]])
        frame = frame.f_back
    return out[::-1]


def stop(tell=False):
    if tell:
        print(json.dumps(positions()), flush=True)
    print("ready", flush=True)
    time.sleep(1000)


def columns():
    def inner(*args):
        stop(tell=True)

    def generator():
        yield [1,
               inner(1,
                     2)]
    é = "é"; len(é + "é" if list(x for x in generator()) else 2)
    wide =                                                                                                                             2


def deep(n):
    if n:
        return deep(n - 1)
    stop()


def depth():
    threading.stack_size(512 << 20)
    sys.setrecursionlimit(20000)
    threading.Thread(target=deep, args=(int(sys.argv[2]),), name="deep").start()


def pool():
    executor = concurrent.futures.ThreadPoolExecutor(5, thread_name_prefix="pool")
    barrier = threading.Barrier(6)
    for _ in range(5):
        executor.submit(barrier.wait)
    barrier.wait()
    time.sleep(0.5)
    sorted([1], key=lambda x: stop())


def named():
    """Code that says it is of another file, in its first line."""
    exec(compile("stop()", sys.argv[2], "exec"))


globals()[sys.argv[1]]()
