# SPDX-License-Identifier: MIT OR Apache-2.0
"""press-q.py COMMAND...: runs it on a terminal of its own, and presses q at its second page.

Prints "raw" if keys came one by one then, "restored" if not any more at its end. Its status.
"""

import fcntl
import os
import pty
import sys
import termios

PAGE = b"\033[H"


def canonical(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ICANON)


def take_terminal(other: int) -> None:
    os.setsid()
    fcntl.ioctl(other, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(other, fd)


def main() -> int:
    terminal, other = pty.openpty()
    pid = os.fork()
    if not pid:
        take_terminal(other)
        os.execv(sys.argv[1], sys.argv[1:])
    said = b""
    while said.count(PAGE) < 2:
        said += os.read(terminal, 65536)
    if not canonical(other):
        print("raw")
    os.write(terminal, b"q")
    status = os.waitpid(pid, 0)[1]
    if canonical(other):
        print("restored")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
