# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stalls for one reason each: why.py STEP... (names of functions below). Each is a section of a tracker
of its own, so that no rate limit hides the stacks. Waits for the file $STALLS_GO. Says "NAME START END",
its own CPU time and that of the thread in ms, and "done"."""

import ctypes
import fcntl
import gc
import hashlib
import mmap
import os
import signal
import socket
import struct
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


def prepare_collect() -> None:
    state["garbage"] = [[i] for i in range(500_000)]


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


UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04


def page() -> None:
    """A page that is not there, until a child says what is in it."""
    return state["page"][0]


def prepare_page() -> None:
    nr = {"x86_64": 323, "aarch64": 282}[os.uname().machine]
    fd = ctypes.CDLL(None, use_errno=True).syscall(nr, 1)  # userfaultfd(UFFD_USER_MODE_ONLY)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    size = mmap.PAGESIZE
    state["page"] = mmap.mmap(-1, size)
    start = ctypes.addressof(ctypes.c_char.from_buffer(state["page"]))
    fcntl.ioctl(fd, UFFDIO_API, struct.pack("QQQ", 0xAA, 0, 0))
    fcntl.ioctl(fd, UFFDIO_REGISTER, struct.pack("QQQQ", start, size, 1, 0))
    if not os.fork():
        time.sleep(SECONDS)
        fcntl.ioctl(fd, UFFDIO_ZEROPAGE, struct.pack("QQQq", start, size, 0, 0))
        os._exit(0)


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


def hold(lock, seconds: float, in_block: bool = True) -> None:
    """Another thread has the lock for a while."""
    has = threading.Event()

    def holder() -> None:
        if in_block:
            with lock:
                has.set()
                time.sleep(seconds)
        else:
            lock.acquire()
            has.set()
            time.sleep(seconds)
            lock.release()

    threading.Thread(target=holder, name="holder").start()
    has.wait()
    time.sleep(0.01)


def take(lock) -> None:
    with lock:
        pass


def lock() -> None:
    take(state["lock"])


def prepare_lock() -> None:
    state["lock"] = threading.Lock()
    hold(state["lock"], 0.25)


def bare() -> None:
    """Nobody can know who has it."""
    state["bare"].acquire()


def prepare_bare() -> None:
    state["bare"] = threading.Lock()
    hold(state["bare"], 0.25, in_block=False)


def rlock() -> None:
    take(state["rlock"])


def prepare_rlock() -> None:
    state["rlock"] = threading.RLock()
    hold(state["rlock"], 0.25, in_block=False)


def notified() -> None:
    condition = threading.Condition()
    with condition:
        condition.wait(0.2)


def join() -> None:
    state["joined"].join()


def prepare_join() -> None:
    state["joined"] = threading.Thread(target=time.sleep, args=(0.25,))
    state["joined"].start()


class Mutex:
    """One of the C library. The other thread sleeps in C, so that it keeps its tid in it."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None)
        self.word = ctypes.create_string_buffer(64)

    def acquire(self) -> None:
        self.libc.pthread_mutex_lock(self.word)

    def release(self) -> None:
        self.libc.pthread_mutex_unlock(self.word)


def mutex() -> None:
    state["mutex"].acquire()


def prepare_mutex() -> None:
    state["mutex"] = Mutex()
    hold(state["mutex"], 0.25, in_block=False)


def deadlock() -> None:
    with state["a"]:
        state["both"].wait()
        if state["b"].acquire(timeout=0.2):
            state["b"].release()


def prepare_deadlock() -> None:
    a, b, both = threading.RLock(), threading.Lock(), threading.Barrier(2)
    state.update(a=a, b=b, both=both)

    def other() -> None:
        with b:
            both.wait()
            if a.acquire(timeout=0.3):
                a.release()

    threading.Thread(target=other, name="other").start()


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
    perpetuo.StallTracker("main", threading.get_ident()).close()
    print("ready", os.getpid(), flush=True)
    while not os.path.exists(os.environ["STALLS_GO"]):
        time.sleep(0.01)
    for step in sys.argv[1:]:
        run(step)
    print("done", flush=True)


main()
