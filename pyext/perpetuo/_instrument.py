# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trackers for what a program has anyway: the GIL of a patched interpreter, Trio's run loop."""

import sys
import threading
from typing import Any, List, Optional

from . import _perpetuo, _watcher
from ._perpetuo import StallTracker

_gil_lock = threading.Lock()
_gil_tracker: Optional[StallTracker] = None
_trio_marks: Any = None  # a trio.lowlevel.RunVar: which runs have their instrument


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


def instrument_trio() -> None:
    """Tracks the steps of all tasks of the current Trio run.

    To be called inside trio.run() (RuntimeError if not), in every run that is to be tracked; again
    in the same run it does nothing.
    """
    global _trio_marks
    import trio

    if _trio_marks is None:
        _trio_marks = trio.lowlevel.RunVar("perpetuo", default=False)
    if _trio_marks.get():
        return
    instrument: Any = _perpetuo.TrioInstrument()  # has the hooks, not the base class
    trio.lowlevel.add_instrument(instrument)
    _trio_marks.set(True)


def dwim(**watcher_kwargs: Any) -> List[str]:
    """Does what one means: instruments what is there and starts the watcher.

    Takes the arguments of start_watcher(). Returns what it did, any of "instrumented GIL",
    "instrumented Trio" (called inside trio.run()) and "started out of process watcher". Where the
    watcher cannot be started, it says why on stderr and leaves the program alone; one that runs
    already is left running.
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
    if not _perpetuo._watch_running():
        try:
            _watcher.start_watcher(**watcher_kwargs)
            did.append("started out of process watcher")
        except RuntimeError as error:
            _watcher.say(f"perpetuo: {error}")
    return did
