# SPDX-License-Identifier: MIT OR Apache-2.0
"""Greenlets in known states, and what Python itself says of them.

    greenlets.py LIBRARY MODE TRUTH [COUNT]

LIBRARY is greenlet or gevent; MODE is block (one of them blocks its thread) or idle (gevent only:
the hub waits). Writes a JSON list of the suspended ones into TRUTH, prints "ready" and stays. With
COUNT there are so many more that look the same, and only the others are in it.
"""
import functools
import gc
import json
import sys
import threading
import time

import greenlet

library, mode, path = sys.argv[1:4]
crowd = int(sys.argv[4]) if len(sys.argv) > 4 else 0
LONG = 10000
truth = []
keep = []


def stack(frame):
    """Innermost first: name, file, line."""
    out = []
    while frame is not None:
        code = frame.f_code
        out.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return out


def tell(thing, thread):
    truth.append({"type": type(thing).__name__, "thread": thread, "frames": stack(thing.gr_frame)})


def write():
    with open(path, "w", encoding="utf-8") as out:
        json.dump(truth, out)
    print("ready", flush=True)


# ---- greenlet ----------------------------------------------------------------------------------

class Special(greenlet.greenlet):
    pass


def away():
    greenlet.getcurrent().parent.switch()


def deep(n):
    if n:
        deep(n - 1)
    else:
        away()


def through_c(_):
    away()
    return 0


def sorts():
    sorted([2, 1], key=through_c)


def reduces():
    functools.reduce(lambda a, b: deep(3), [1, 2])


def generates():
    def inner():
        away()
        yield 1
    for _ in inner():
        pass


def parks():
    away()


def run_greenlets(done):
    things = [Special(deep), greenlet.greenlet(sorts), greenlet.greenlet(reduces),
              Special(generates), greenlet.greenlet(parks)]
    things[0].switch(30)
    for thing in things[1:]:
        thing.switch()
    ended = greenlet.greenlet(lambda: None)
    ended.switch()
    fresh = greenlet.greenlet(parks)
    for i in range(crowd):
        one = greenlet.greenlet(parks)
        one.switch()
        keep.append(one)
    keep.extend(things + [ended, fresh])
    main = greenlet.getcurrent()

    def blocks():
        # the first of its thread is suspended, too, as long as this one runs
        for thing in things + [main]:
            tell(thing, threading.current_thread().name)
        done.release()
        time.sleep(LONG)

    greenlet.greenlet(blocks).switch()


# ---- gevent ------------------------------------------------------------------------------------

def run_gevent(done):
    import gevent
    import gevent.event
    import gevent.lock

    event, lock = gevent.event.Event(), gevent.lock.Semaphore(1)
    lock.acquire()

    def sleeps():
        gevent.sleep(LONG)

    def nested():
        sleeps()

    def waits():
        event.wait()

    def locks():
        with lock:
            pass

    def tells():
        gevent.sleep(0.2)
        for thing in gc.get_objects():
            if isinstance(thing, greenlet.greenlet) and thing.gr_frame and thing not in keep:
                # this one and the hub change places when it ends
                if thing is not greenlet.getcurrent() and (mode == "block" or thing is not gevent.get_hub()):
                    tell(thing, threading.current_thread().name)
        done.release()
        if mode == "block":
            time.sleep(LONG)

    for i in range(crowd):
        keep.append(gevent.spawn(sleeps))
    things = [gevent.spawn(run) for run in (sleeps, nested, waits, locks, tells)]
    gevent.joinall(things)


finished = threading.Semaphore(0)
run = run_greenlets if library == "greenlet" else run_gevent
if library == "gevent":
    run_in = ["only"]
else:
    run_in = ["only"] if crowd else ["one", "two"]
for name in run_in:
    threading.Thread(target=run, args=(finished,), name=name, daemon=True).start()
for name in run_in:
    finished.acquire()
time.sleep(0.1)
write()
time.sleep(LONG)
