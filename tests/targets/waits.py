# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that hangs in every way: one thread for each, named after it.

usage: waits.py FOLDER NAME...

FOLDER takes what the threads need of files. Says "ready" when all have begun, and a line
"NAME WORD..." for what a test must know of a thread.
"""
import ctypes
import fcntl
import os
import select
import socket
import subprocess
import sys
import threading
import time

folder = sys.argv[1]
libc = ctypes.CDLL(None)
keep = []


def say(*words):
    os.write(1, (" ".join(str(w) for w in words) + "\n").encode())


def sleeper(**kwargs):
    child = subprocess.Popen(["sleep", "1000"], **kwargs)
    keep.append(child)
    return child


def pipe_read():
    child = sleeper(stdout=subprocess.PIPE)
    say("pipe_read", child.stdout.fileno(), child.pid)
    os.read(child.stdout.fileno(), 1)


def pipe_own():
    r, w = os.pipe()
    say("pipe_own", w)
    os.write(w, b"x" * 65536)
    os.write(w, b"x")


def pipe_dead():
    r, w = os.pipe()
    os.set_blocking(r, False)
    keep.append((r, w))
    poll = select.poll()
    poll.register(r, select.POLLIN)
    say("pipe_dead", r)
    poll.poll()


def fifo_open():
    path = os.path.join(folder, "fifo")
    os.mkfifo(path)
    open(path)


def regular_lock():
    path = os.path.join(folder, "lock")
    first, second = open(path, "w"), open(path, "w")
    fcntl.flock(first, fcntl.LOCK_EX)
    say("regular_lock", second.fileno())
    fcntl.flock(second, fcntl.LOCK_EX)


def listener():
    server = socket.create_server(("127.0.0.1", 0))
    keep.append(server)
    return server


def tcp_accept():
    server = listener()
    say("tcp_accept", server.fileno(), server.getsockname()[1])
    server.accept()


def tcp_read():
    client = socket.create_connection(listener().getsockname())
    say("tcp_read", client.fileno(), client.getsockname()[1], client.getpeername()[1])
    client.recv(1)


def tcp_timeout():
    client = socket.create_connection(listener().getsockname(), timeout=1000)
    say("tcp_timeout", client.fileno(), client.getsockname()[1], client.getpeername()[1])
    client.recv(1)


def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    say("udp", sock.fileno(), sock.getsockname()[1])
    sock.recv(1)


def unix():
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(os.path.join(folder, "a\033[2Jsocket"))
    sock.listen()
    say("unix", sock.fileno())
    sock.accept()


def epoll():
    poll = select.epoll()
    for fd in os.pipe():
        poll.register(fd)
    poll.unregister(fd)
    say("epoll", poll.fileno())
    poll.poll()


def many():
    server, (r, w) = listener(), os.pipe()
    poll = select.poll()
    poll.register(server)
    poll.register(r)
    say("many", server.fileno(), server.getsockname()[1])
    poll.poll()


def selected():
    server = listener()
    say("selected", server.fileno(), server.getsockname()[1])
    select.select([server], [], [])


def child():
    one = sleeper()
    say("child", one.pid)
    os.waitpid(one.pid, 0)


def pidfd():
    one = sleeper()
    fd = os.pidfd_open(one.pid)
    say("pidfd", fd, one.pid)
    os.waitid(os.P_PIDFD, fd, os.WEXITED)


def lock():
    one = threading.Lock()
    one.acquire()
    one.acquire()


def sleep():
    time.sleep(1000)


def idle():
    threading.Event().wait()


def gil():
    """Holds it in C code that sleeps; everybody else wants it."""
    time.sleep(1)
    say("gil")
    ctypes.PyDLL(None).usleep(1000 * 1000000)


def wants_gil():
    while True:
        pass


def foreign():
    """A thread that C started, of which Python knows nothing."""
    libc = ctypes.CDLL(None)
    libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.pause, None)
    say("foreign")
    threading.Event().wait()


def uninterruptible():
    """posix_spawn() waits like this till its child, which waits for a FIFO, executes."""
    path = os.path.join(folder, "spawn")
    os.mkfifo(path)
    say("uninterruptible")
    os.posix_spawn("/bin/true", ["true"], {},
                   file_actions=[(os.POSIX_SPAWN_OPEN, 0, path, os.O_RDONLY, 0)])


greedy = {"gil", "uninterruptible"} & set(sys.argv)  # nobody else will have the GIL
if greedy:
    say("ready")
for name in sys.argv[2:]:
    threading.Thread(target=globals()[name], name=name, daemon=True).start()
if not greedy:
    time.sleep(0.5)
    say("ready")
time.sleep(1000)
