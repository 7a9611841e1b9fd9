# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stacks as deep as those of real programs: each function of its own file.

Run alone, a program that needs nothing but Python: ten threads of 30 frames that wait. Prints
"ready", and ends with its stdin.
"""

import sys
import threading

THREADS = 10
FRAMES = 30


def level(i: int, below):
    """A function of its own file that calls below(), as the frames of real stacks are."""
    space = {"below": below}
    code = compile(f"def level_{i}(*args):\n    below(*args)", f"/srv/shop/module_{i}.py", "exec")
    exec(code, space)
    return space[f"level_{i}"]


def at_depth(func, *args) -> None:
    for i in reversed(range(FRAMES - 1)):
        func = level(i, func)
    func(*args)


def start_waiters(count: int) -> None:
    """Threads that wait for ever."""
    forever = threading.Event()
    for _ in range(count):
        threading.Thread(target=at_depth, args=(forever.wait,), daemon=True).start()


def say_ready() -> None:
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    start_waiters(THREADS - 1)
    at_depth(say_ready)
