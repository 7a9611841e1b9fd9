# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stalls for one reason each: why.py STEP... (names below). Each is a section of a tracker of its
own, so that no rate limit hides the stacks. Waits for the file $STALLS_GO. Says "NAME START END",
its own CPU time and that of the thread in ms, and "done"."""

import gc
import hashlib
import os
import signal
import socket
import sys
import threading
import time

import perpetuo

SECONDS = 0.4


def later(seconds: float, action) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    time.sleep(0.05)  # it shall not wait for the GIL in the section


def spin() -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pass


def sleep() -> None:
    time.sleep(SECONDS)


def naps() -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0.004)


def native() -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"x", b"salt", 100_000)


def collect() -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        gc.collect()


def hog_beside() -> None:
    """Half of a CPU: the other half is another process's."""
    spin()


def prepare_hog_beside() -> None:
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(2)
        while True:
            pass
    time.sleep(0.05)


def quota() -> None:
    end = time.thread_time() + 0.08
    while time.thread_time() < end:
        pass


def prepare_quota() -> None:
    with open(os.environ["WHY_CGROUP"] + "/cgroup.procs", "w") as f:
        f.write(str(os.getpid()))


def cleanup_quota() -> None:
    with open(os.path.dirname(os.environ["WHY_CGROUP"]) + "/cgroup.procs", "w") as f:
        f.write(str(os.getpid()))


def pipe() -> None:
    os.read(state["read"], 1)


def prepare_pipe() -> None:
    state["read"], write = os.pipe()
    later(SECONDS + 0.05, lambda: os.write(write, b"x"))


def net() -> None:
    state["client"].recv(1)


def prepare_net() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    state["client"] = socket.create_connection(server.getsockname())
    state["server"], _ = server.accept()
    later(SECONDS + 0.05, lambda: state["server"].sendall(b"x"))


def child() -> None:
    os.waitpid(state["child"], 0)


def prepare_child() -> None:
    state["child"] = os.posix_spawn("/bin/sleep", ["sleep", str(SECONDS)], os.environ)


def hold_gil() -> None:
    """A call in C that keeps the GIL."""
    sum(range(state["turns"]))


def starve() -> None:
    """It wants the GIL that the other thread has."""
    state["go"].set()
    time.sleep(0.02)
    for _ in range(3):
        time.sleep(0)


def prepare_starve() -> None:
    turns, start = 1_000_000, time.monotonic()
    sum(range(turns))
    state["turns"] = int(turns * 0.5 / (time.monotonic() - start))
    state["go"] = threading.Event()

    def hog() -> None:
        state["go"].wait()
        hold_gil()

    threading.Thread(target=hog, name="hog", daemon=True).start()
    time.sleep(0.05)


def stop() -> None:
    """Halfway, a child stops it: what it does itself is to compute."""
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass


def prepare_stop() -> None:
    me = os.getpid()
    pid = os.fork()
    if not pid:
        time.sleep(0.25)
        os.kill(me, signal.SIGSTOP)
        time.sleep(1)
        os.kill(me, signal.SIGCONT)
        os._exit(0)


state: dict = {}


def run(name: str) -> None:
    prepare, cleanup = globals().get("prepare_" + name), globals().get("cleanup_" + name)
    tracker = perpetuo.StallTracker(name, threading.get_ident())
    tracker.go_idle()
    if prepare:
        prepare()
    cpu, start = time.thread_time_ns(), time.monotonic_ns()
    with tracker:
        globals()[name]()
    end, cpu = time.monotonic_ns(), time.thread_time_ns() - cpu
    print(name, start, end, cpu / 1e6, flush=True)
    if cleanup:
        cleanup()
    os.sched_setaffinity(0, state["cpus"])
    time.sleep(0.1)
    tracker.close()


def main() -> None:
    state["cpus"] = os.sched_getaffinity(0)
    state["garbage"] = [[i] for i in range(500_000)]
    perpetuo.StallTracker("main", threading.get_ident()).close()
    print("ready", os.getpid(), flush=True)
    while not os.path.exists(os.environ["STALLS_GO"]):
        time.sleep(0.01)
    for step in sys.argv[1:]:
        run(step)
    print("done", flush=True)


main()
