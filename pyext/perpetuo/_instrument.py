# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trackers for what a program has anyway: the GIL of a patched interpreter, its event loops."""

import sys
import threading
import weakref
from typing import Any, Callable, List, Optional

from . import _perpetuo, _watcher
from ._perpetuo import StallTracker

_gil_lock = threading.Lock()
_gil_tracker: Optional[StallTracker] = None
_trio_marks: Any = None  # a trio.lowlevel.RunVar: which runs have their instrument


class _Registered(threading.local):
    """The loop of asyncio that this thread has registered; forgotten when the thread ends."""

    loop: "Callable[[], Any]" = staticmethod(lambda: None)  # a weakref.ref, later
    slot: Any = None


_registered = _Registered()


def instrument_gil() -> None:
    """Tracks how long the GIL is held, on an interpreter that counts that for us.

    May be called again. RuntimeError on an interpreter without perpetuo's patch; the watcher sees
    long waits for the GIL of those by other means.
    """
    global _gil_tracker
    with _gil_lock:
        if _gil_tracker is not None:
            return
        set_counter = getattr(sys, "_set_stall_counter", None)
        if set_counter is None:
            raise RuntimeError(
                "This Python was not built with the perpetuo GIL instrumentation patch"
            )
        tracker = StallTracker("GIL", "gil")
        # The interpreter adds to the count until the process ends.
        tracker._leak()
        set_counter(tracker.counter_address())
        _gil_tracker = tracker


def _trio_epoll_fd() -> int:
    """On which descriptor the current Trio run waits, -1 if that is not known.

    A guest's waits in another thread: the loop that this one runs is the host's.
    """
    try:
        from trio._core._run import GLOBAL_RUN_CONTEXT

        runner = GLOBAL_RUN_CONTEXT.runner
        fd = -1 if getattr(runner, "is_guest", False) else runner.io_manager._epoll.fileno()
    except (ImportError, AttributeError, ValueError):
        return -1
    return fd if isinstance(fd, int) else -1


def instrument_trio() -> None:
    """Tells the watcher of the current Trio run.

    To be called inside trio.run() (RuntimeError if not), in every run that is to be watched; again
    in the same run it does nothing. As of instrument_asyncio(), steps cost no more than before, and
    RuntimeError also says that the place where this Python counts them is not known.
    """
    global _trio_marks
    import trio

    if _trio_marks is None:
        _trio_marks = trio.lowlevel.RunVar("perpetuo", default=False)
    if _trio_marks.get():
        return
    name = f"Trio run loop (thread {threading.get_ident():#_x})"
    instrument: Any = _perpetuo.LoopSlot(name, _trio_epoll_fd())  # not of the base class
    trio.lowlevel.add_instrument(instrument)  # which hears of nothing but the end of the run
    _trio_marks.set(True)


def _epoll_fd(loop: Any) -> int:
    """On which descriptor an event loop waits, -1 if it does not say so: uvloop's does not."""
    try:
        fd = loop._selector.fileno()
    except (AttributeError, OSError, ValueError):
        return -1
    return fd if isinstance(fd, int) else -1


def instrument_asyncio() -> None:
    """Tells the watcher of the event loop that runs in this thread, of asyncio or uvloop.

    To be called inside the loop (RuntimeError if not), in every loop that is to be watched; again
    in the same loop it does nothing. Steps cost no more than before: CPython counts them, and the
    watcher is told where. It sees the loop also where it cannot find loops by itself, as without
    BPF. RuntimeError on a Python of which that place is not known.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    if _registered.loop() is loop:
        return
    name = f"asyncio loop (thread {threading.get_ident():#_x})"
    slot = _perpetuo.LoopSlot(name, _epoll_fd(loop))
    # The slot of the loop before goes with the last reference to it.
    _registered.slot = slot
    _registered.loop = weakref.ref(loop, lambda _: slot.close())


def dwim(**watcher_kwargs: Any) -> List[str]:
    """Does what one means: instruments what is there and starts the watcher.

    Takes the arguments of start_watcher(). Returns what it did, any of "instrumented GIL",
    "instrumented Trio" (called inside trio.run()), "instrumented asyncio" (called inside a loop)
    and "started out of process watcher". Where the watcher cannot be started, it says why on
    stderr and leaves the program alone; one that runs already is left running.
    """
    did = []
    try:
        instrument_gil()
        did.append("instrumented GIL")
    except RuntimeError:
        pass
    if "trio" in sys.modules:
        try:
            instrument_trio()
            did.append("instrumented Trio")
        except RuntimeError:
            pass
    if "asyncio" in sys.modules:
        try:
            instrument_asyncio()
            did.append("instrumented asyncio")
        except RuntimeError:
            pass
    if not _perpetuo._watch_running():
        try:
            _watcher.start_watcher(**watcher_kwargs)
            did.append("started out of process watcher")
        except RuntimeError as error:
            _watcher.say(f"perpetuo: {error}")
    return did
