# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stall detector for Python in production.

A program marks sections that should be short with `StallTracker`; the watcher (`perpetuo-bpf`, a
process of its own) sees from outside when one is not, and reports the stack of the thread that is
responsible. `dwim()` instruments what it finds and starts the watcher.
"""

from . import _install

_install.check()

from ._instrument import dwim, instrument_asyncio, instrument_gil, instrument_trio
from ._perpetuo import StallTracker, stall_gil
from ._watcher import start_watcher, stop_watcher

__all__ = [
    "StallTracker",
    "stall_gil",
    "start_watcher",
    "stop_watcher",
    "instrument_gil",
    "instrument_trio",
    "instrument_asyncio",
    "dwim",
]
