# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program whose children stall as it is told, and that says the truth about it.

    python3 family.py STEP[:SECONDS[:COUNT]]...

Each STEP makes children, one step after the other, and waits for them:

    before       a child that was there before "ready" stalls
    fork         os.fork(), with a tracker that the parent has made; the parent's is idle
    double       the child forks, too, and is gone before that one stalls
    own          os.fork(), and the child makes a tracker of its own
    run          subprocess runs a Python, which stalls
    shell        a shell runs for a moment, then executes a Python, which stalls
    mp-fork      multiprocessing, by each of its start methods
    mp-spawn
    mp-forkserver
    gil          a thread of a child keeps the GIL for SECONDS, another one wants it
    prefork      three workers, each replaced COUNT times after a moment; the last ones stall
    recycle      COUNT children, one after the other, that live for a twentieth of a second
    storm        COUNT children that end at once; meanwhile the parent stalls, twice
    commands     COUNT commands that are no Python
    idle         none

A stall takes SECONDS (0.5). When it is over, "STEP PID START END" is printed (ns of CLOCK_MONOTONIC),
for each worker without one, and when it idles, "STEP PID"; first "ready PID", at last "done". With a file
named in STALLS_GO it waits before the first step until that exists, with one in STALLS_AGAIN before
each "idle".
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

from perpetuo import StallTracker


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def say(*words: object) -> None:
    os.write(1, (" ".join(str(w) for w in words) + "\n").encode())


def wait_for_file(variable: str) -> None:
    name = os.environ.get(variable)
    while name and not os.path.exists(name):
        time.sleep(0.01)


def stuck_in_child(seconds: float) -> None:
    time.sleep(seconds)


def section(step: str, seconds: float, tracker: "StallTracker | None" = None) -> None:
    if tracker is None:
        tracker = StallTracker(step, threading.get_ident())
        tracker.go_idle()
    time.sleep(0.3)  # until a watcher knows of us
    start = now()
    with tracker:
        stuck_in_child(seconds)
    say(step, os.getpid(), start, now())
    time.sleep(0.1)


def forked(body, *args: object) -> int:
    pid = os.fork()
    if pid == 0:
        body(*args)
        os._exit(0)
    return pid


def double(step: str, seconds: float) -> None:
    read_fd, write_fd = os.pipe()

    def middle() -> None:
        forked(section, step, seconds)

    pid = forked(middle)
    os.close(write_fd)
    os.waitpid(pid, 0)
    os.read(read_fd, 1)  # the end of the file is that of the grandchild
    os.close(read_fd)


def again(step: str, seconds: float) -> "list[str]":
    return [sys.executable, os.path.abspath(__file__), "--child", step, str(seconds)]


def keep_the_gil(step: str, seconds: float) -> None:
    stop = False

    def compute() -> None:
        while not stop:
            pass

    victim = threading.Thread(target=compute, name="victim")
    victim.start()
    usleep = ctypes.PyDLL(None).usleep
    time.sleep(0.5)
    start = now()
    usleep(int(seconds * 1e6))
    end = now()
    stop = True
    victim.join()
    say(step, os.getpid(), start, end)
    time.sleep(0.1)


def worker(step: str, stalls: bool, seconds: float) -> None:
    if stalls:
        section(step, seconds)
    else:
        say(step, os.getpid())
        time.sleep(0.1)


def prefork(step: str, seconds: float, count: int) -> None:
    left = {}
    for _ in range(3):
        left[forked(worker, step, not count, seconds)] = count
    while left:
        pid, _ = os.wait()
        turns = left.pop(pid)
        if turns:
            left[forked(worker, step, turns == 1, seconds)] = turns - 1


def recycle(step: str, count: int) -> None:
    for _ in range(count):
        os.waitpid(forked(time.sleep, 0.05), 0)


def storm(step: str, seconds: float, count: int) -> None:
    tracker = StallTracker(step, threading.get_ident())
    tracker.go_idle()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for i in range(count):
        forked(int)
        if i == count // 3 or i == 2 * count // 3:
            start = now()
            with tracker:
                stuck_in_child(seconds)
            say(step, os.getpid(), start, now())
    try:
        os.wait()  # returns when all are over
    except ChildProcessError:
        pass
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    tracker.close()


def run(step: str, seconds: float, count: int, early: "list[int]") -> None:
    if step == "before":
        os.waitpid(early.pop(), 0)
    elif step == "fork":
        tracker = StallTracker(step, threading.get_ident())
        tracker.go_idle()
        os.waitpid(forked(section, step, seconds, tracker), 0)
        tracker.close()
    elif step == "own":
        os.waitpid(forked(section, step, seconds), 0)
    elif step == "double":
        double(step, seconds)
    elif step == "run":
        subprocess.run(again(step, seconds), check=True)
    elif step == "shell":
        subprocess.run(["/bin/sh", "-c", 'sleep 0.2; exec "$@"', "sh", *again(step, seconds)], check=True)
    elif step.startswith("mp-"):
        process = multiprocessing.get_context(step[3:]).Process(target=section, args=(step, seconds))
        process.start()
        process.join()
    elif step == "gil":
        os.waitpid(forked(keep_the_gil, step, seconds), 0)
    elif step == "prefork":
        prefork(step, seconds, count)
    elif step == "recycle":
        recycle(step, count)
    elif step == "storm":
        storm(step, seconds, count)
    elif step == "commands":
        for i in range(count):
            subprocess.run(["sleep", "0.05"] if i % 4 == 0 else ["true"], check=True)
    elif step == "idle":
        say(step, os.getpid())
        wait_for_file("STALLS_AGAIN")
        time.sleep(seconds)
    else:
        raise SystemExit(f"family.py: no step {step}")


def born_before(step: str, seconds: float) -> None:
    wait_for_file("STALLS_GO")
    section(step, seconds)


def main() -> None:
    if sys.argv[1] == "--child":
        section(sys.argv[2], float(sys.argv[3]))
        return
    StallTracker("main", threading.get_ident()).close()  # the page is there from the beginning
    steps = [(word.split(":") + ["", ""])[:3] for word in sys.argv[1:]]
    early = [forked(born_before, step, float(text or 0.5)) for step, text, _ in steps if step == "before"]
    say("ready", os.getpid())
    wait_for_file("STALLS_GO")
    for step, text, count in steps:
        run(step, float(text or 0.5), int(count or 10), early)
    say("done")


if __name__ == "__main__":
    main()
