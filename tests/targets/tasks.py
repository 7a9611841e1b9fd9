# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tasks of event loops in known states, and what Python itself says of them.

    tasks.py LIBRARY MODE TRUTH [COUNT]

LIBRARY is asyncio, uvloop, eager (asyncio with eager tasks), trio or guest (Trio in asyncio); MODE is block (a coroutine
blocks its loop) or idle (all wait). Writes a JSON object into TRUTH, prints "ready" and stays. With
COUNT there are so many tasks that look the same, and no truth about them.
"""
import asyncio
import gc
import inspect
import json
import sys
import threading
import time

library, mode, path = sys.argv[1:4]
crowd = int(sys.argv[4]) if len(sys.argv) > 4 else 0
truth = []
written = threading.Semaphore(0)
LONG = 10000


def behind(awaitable):
    """The coroutine or generator for which a wrapper stands, by the collector's eyes."""
    for thing in gc.get_referents(awaitable):
        if inspect.iscoroutine(thing) or inspect.isgenerator(thing) or inspect.isasyncgen(thing):
            return thing
    return None


def chain(thing):
    """The await chain, outermost first: qualified name, file, line."""
    out = []
    while thing is not None and len(out) < 100:
        for kind in ("cr", "gi", "ag"):
            if hasattr(thing, kind + "_frame"):
                frame = getattr(thing, kind + "_frame")
                # before 3.11 only the coroutine itself has a qualified name
                name = getattr(frame.f_code, "co_qualname", thing.__qualname__)
                out.append([name, frame.f_code.co_filename, frame.f_lineno])
                after = {"cr": "cr_await", "gi": "gi_yieldfrom", "ag": "ag_await"}[kind]
                thing = getattr(thing, after)
                break
        else:
            thing = behind(thing)
    return out


def tell(name, coro, parent=None, waits_for=None, state="waiting", current=False):
    truth.append({"name": name, "chain": chain(coro), "parent": parent, "waits_for": waits_for,
                  "state": state, "current": current,
                  "thread": threading.current_thread().name})


def write():
    with open(path, "w", encoding="utf-8") as out:
        json.dump(truth, out)
    print("ready", flush=True)


# ---- asyncio -----------------------------------------------------------------------------------

async def leaf():
    await asyncio.sleep(LONG)


async def middle():
    return await leaf()


async def deep(n):
    if n:
        await deep(n - 1)
    else:
        await leaf()


async def generated():
    while True:
        await asyncio.sleep(LONG)
        yield 1


async def iterates():
    async for _ in generated():
        pass


async def waits(thing):
    await thing


async def locks(lock):
    async with lock:
        pass


class Awaitable:
    def __await__(self):
        return (yield from leaf().__await__())


async def awaits_object():
    await Awaitable()


async def gathers(prefix):
    await asyncio.gather(asyncio.create_task(leaf(), name=prefix + "gathered-1"),
                         asyncio.create_task(middle(), name=prefix + "gathered-2"))


# asyncio has had TaskGroup since 3.11.
has_groups = hasattr(asyncio, "TaskGroup")


async def groups(prefix):
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(), name=prefix + "grouped-1")
        group.create_task(middle(), name=prefix + "grouped-2")


async def still_in_group(prefix):
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(), name=prefix + "early")
        await asyncio.sleep(LONG)


async def ends():
    await asyncio.sleep(0)


async def asyncio_main(prefix):
    loop = asyncio.get_running_loop()
    if library == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)
    lock, queue, event = asyncio.Lock(), asyncio.Queue(), asyncio.Event()
    await lock.acquire()
    keep = []

    def start(name, coro):
        task = loop.create_task(coro, name=prefix + name)
        keep.append(task)
        return task

    expected = {}
    for i in range(crowd):
        start("crowd-%d" % i, middle() if i % 2 else locks(lock))
    for name, coro, waits_for in (
        ("leaf", leaf(), "sleep"),
        ("middle", middle(), "sleep"),
        ("deep", deep(40), "sleep"),
        ("iterates", iterates(), "sleep"),
        ("future", waits(loop.create_future()), "a future"),
        ("lock", locks(lock), "Lock.acquire"),
        ("queue", waits(queue.get()), "Queue.get"),
        ("event \u65e5\u672c \x1b[31m", waits(event.wait()), "Event.wait"),
        ("object", awaits_object(), "sleep"),
        ("gathers", gathers(prefix), "gather of 2"),
        ("groups", has_groups and groups(prefix), "the tasks of its TaskGroup"),
        ("in group", has_groups and still_in_group(prefix), "sleep"),
    ):
        if not coro:
            continue
        start(name, coro)
        expected[prefix + name] = (None, waits_for)
    start("awaits task", waits(keep[crowd + 1]))
    expected[prefix + "awaits task"] = (None, "task %smiddle" % prefix)
    expected[prefix + "middle"] = (prefix + "awaits task", "sleep")
    for child, parent in (("gathered-1", "gathers"), ("gathered-2", "gathers"),
                          ("grouped-1", "groups"), ("grouped-2", "groups"),
                          ("early", "in group")):
        expected[prefix + child] = (prefix + parent, "sleep")
    keep.append(start("done", ends()))
    await asyncio.sleep(0.2)
    keep.append(loop.create_task(leaf()))
    created = start("created", leaf())
    if library == "eager" or mode == "idle":
        expected[prefix + "created"] = (None, "sleep")
        await asyncio.sleep(0.05)
    me = asyncio.current_task()
    me.set_name(prefix + "main")
    for task in asyncio.all_tasks():
        name = task.get_name()
        parent, waits_for = expected.get(name, (None, "sleep"))
        if name.startswith(prefix + "crowd-"):
            continue
        if task is me:
            tell(name, None, state="running", current=mode == "block")
        elif task is created and name not in expected:
            tell(name, task.get_coro(), state="created")
        elif name.startswith("Task-") and library != "eager" and mode == "block":
            tell(name, task.get_coro(), state="created")
        else:
            tell(name, task.get_coro(), parent, waits_for)
    written.release()
    if mode == "block":
        time.sleep(LONG)
    await asyncio.sleep(LONG)


def run_asyncio(prefix):
    if library == "uvloop":
        import uvloop
        uvloop.new_event_loop().run_until_complete(asyncio_main(prefix))
    else:
        asyncio.run(asyncio_main(prefix))


# ---- Trio --------------------------------------------------------------------------------------

def run_trio():
    import trio

    async def sleeps():
        await trio.sleep(LONG)

    async def calls():
        await sleeps()

    async def receives(channel):
        async for _ in channel:
            pass

    async def nurses():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeps, name="n\u00e4me")
            nursery.start_soon(calls, name="called")

    async def main():
        async with trio.open_nursery() as nursery:
            _, channel = trio.open_memory_channel(0)
            nursery.start_soon(sleeps, name="sleeps")
            nursery.start_soon(calls, name="calls")
            nursery.start_soon(receives, channel, name="receives")
            nursery.start_soon(nurses, name="nurses")
            for i in range(crowd):
                nursery.start_soon(calls, name="crowd-%d" % i)
            await trio.sleep(0.2)
            nursery.start_soon(sleeps, name="created")
            if mode == "idle":
                await trio.sleep(0.05)
            me = trio.lowlevel.current_task()
            waits_for = {"receives": "MemoryReceiveChannel.receive", "nurses": "the tasks of its nursery"}

            def walk(task, parent):
                if task is me:
                    tell(task.name, None, parent, state="running", current=mode == "block")
                elif task.name == "created" and mode == "block":
                    tell(task.name, task.coro, parent, state="created")
                elif task.name[0] != "<" and not task.name.startswith("crowd"):
                    tell(task.name, task.coro, parent, waits_for.get(task.name, "sleep"))
                for nursery in task.child_nurseries:
                    for child in nursery.child_tasks:
                        walk(child, task.name)

            walk(trio.lowlevel.current_root_task(), None)
            written.release()
            if mode == "block":
                time.sleep(LONG)
            await trio.sleep(LONG)

    async def host():
        loop = asyncio.get_running_loop()
        asyncio.current_task().set_name("<host>")
        over = loop.create_future()
        trio.lowlevel.start_guest_run(
            main, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=over.set_result,
            host_uses_signal_set_wakeup_fd=True)
        await over

    if library == "guest":
        asyncio.run(host())
    else:
        trio.run(main)


if library in ("trio", "guest"):
    threading.Thread(target=run_trio, name="trio", daemon=True).start()
    written.acquire()
else:
    loops = 1 if crowd else 2
    for number in range(loops):
        threading.Thread(target=run_asyncio, args=("%d/" % number,), name="loop-%d" % number,
                         daemon=True).start()
    for number in range(loops):
        written.acquire()
time.sleep(0.1)
write()
time.sleep(LONG)
