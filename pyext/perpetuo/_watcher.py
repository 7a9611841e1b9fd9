# SPDX-License-Identifier: MIT OR Apache-2.0
"""Starts and stops the watcher, a process `perpetuo-bpf --pid <this one>`.

    this process --starts--> sh --starts--> sh (waits) --starts--> perpetuo-bpf

The first shell ends at once. So the watcher is nobody's child here: a program that waits for all
of its children does not wait for the watcher, and gets no SIGCHLD and no unknown pid from it. The
second shell waits for leave to begin, which it gets when the kernel has been told that it and its
children may read this process; at the end it says the exit status, which otherwise only a parent
can learn. A native thread listens to that (src/watch.h).
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from typing import List, Optional, Union

from . import _perpetuo

_NAME = "perpetuo-bpf"
_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
_SHELL = "/bin/sh"
# How long a watcher has to find out that it cannot watch.
_EARLY_MS = 250
_START_SECONDS = 10

# stdin is a socket to us, kept as descriptor 3 because a shell gives /dev/null to what it puts in
# the background.
_SCRIPT = """\
exec 3<&0 </dev/null
{ read -r go <&3 && { "$@" 3<&-; echo "$?" >&3; }; } &
echo "$!" >&3
"""


def say(line: str) -> None:
    """Writes a line to stderr, if there is one."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (AttributeError, OSError, ValueError):
        pass


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _find_loader() -> str:
    chosen = os.environ.get("PERPETUO_BPF")
    if chosen:
        if not _is_program(chosen):
            raise RuntimeError(
                f"cannot start the watcher: PERPETUO_BPF={chosen} is no program that may be run"
            )
        return os.path.abspath(chosen)
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", _NAME)
    if _is_program(beside):
        return beside
    found = shutil.which(_NAME) or shutil.which(_NAME, path=os.pathsep.join(_FOLDERS))
    if found:
        return os.path.abspath(found)
    raise RuntimeError(
        f"cannot start the watcher: no {_NAME} in PATH nor in {', '.join(_FOLDERS)}; install it "
        "(make install) or name it in the environment variable PERPETUO_BPF"
    )


def _arguments(
    poll_interval: Optional[float],
    alert_interval: Optional[float],
    traceback_suppress: Optional[float],
    print_locals: bool,
    json_mode: bool,
    backend: Optional[str],
    output: "Union[str, os.PathLike[str], None]",
) -> List[str]:
    args = []
    for option, seconds in (
        ("--poll-interval", poll_interval),
        ("--alert-interval", alert_interval),
        ("--traceback-suppress", traceback_suppress),
    ):
        if seconds is not None:
            args += [option, repr(float(seconds))]
    args.append("--print-locals" if print_locals else "--no-print-locals")
    if json_mode:
        args.append("--json")
    if backend is not None:
        args += ["--backend", backend]
    if output is not None:
        args += ["--output", os.fspath(output)]
    return args


def _open_report_fd() -> int:
    """A descriptor of our own for what sys.stderr writes to: stderr itself if it has none."""
    try:
        sys.stderr.flush()
        return os.dup(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        pass
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _read_pid(sock: socket.socket) -> int:
    line = b""
    while not line.endswith(b"\n"):
        part = sock.recv(1)
        if not part:
            raise OSError(f"{_SHELL} ended without a word")
        line += part
    return int(line)


def _launch(command: List[str]) -> None:
    """Starts `command` as shown above and hands it over to the native thread."""
    report = _open_report_fd()
    ours, theirs = socket.socketpair()
    err_read, err_write = os.pipe()
    try:
        shell = subprocess.Popen(
            [_SHELL, "-c", _SCRIPT, "sh", *command],
            stdin=theirs.fileno(),
            stdout=report,
            stderr=err_write,
            # A terminal's Ctrl-C is meant for the program; SIGPIPE stays ignored, so that a
            # watcher can finish its reports when this process is gone.
            start_new_session=True,
            restore_signals=False,
        )
        theirs.close()
        ours.settimeout(_START_SECONDS)
        shell.wait(_START_SECONDS)
        _perpetuo._allow_tracer(_read_pid(ours))
        ours.sendall(b"\n")
        ours.settimeout(None)
    except BaseException:
        for fd in (report, err_read):
            os.close(fd)
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(err_write)
    try:
        _perpetuo._watch_begin(ours.detach(), err_read, report, shell.pid)
    except BaseException:
        # Another thread was faster: one watcher is enough.
        with contextlib.suppress(OSError):
            os.killpg(shell.pid, signal.SIGTERM)
        raise


def _describe_end(status: int, last_line: bytes) -> str:
    if status < 0:
        how = "exit status unknown"
    elif status > 128:
        how = f"signal {status - 128}"
    else:
        how = f"exit status {status}"
    said = last_line.decode("utf-8", "replace").strip()
    return f"{how}): {said}" if said else f"{how}) without a word"


def start_watcher(
    *,
    poll_interval: Optional[float] = None,
    alert_interval: Optional[float] = None,
    traceback_suppress: Optional[float] = None,
    print_locals: bool = True,
    json_mode: bool = True,
    backend: Optional[str] = None,
    output: "Union[str, os.PathLike[str], None]" = None,
) -> None:
    """Starts the watcher for this process. It ends when this process does.

    Intervals are in seconds, None is the watcher's own default. Reports go to stderr, or to the
    file `output`; as JSON lines, or as text if `json_mode` is false. `backend` is "auto", "bpf" or
    "poll". The watcher is $PERPETUO_BPF, or perpetuo-bpf from the package, PATH or the usual
    folders.

    RuntimeError, in one line, if a watcher runs already or if this one cannot be started. When it
    ends later, a line on stderr says so. The child of a fork has no watcher.
    """
    if _perpetuo._watch_running():
        raise RuntimeError("watcher is already running")
    args = _arguments(
        poll_interval,
        alert_interval,
        traceback_suppress,
        print_locals,
        json_mode,
        backend,
        output,
    )
    loader = _find_loader()
    try:
        _launch([loader, *args, "--pid", str(os.getpid())])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"cannot start the watcher {loader}: {error}") from error
    end = _perpetuo._watch_early_end(_EARLY_MS)
    if end is not None:
        raise RuntimeError(f"the watcher {loader} ended at once ({_describe_end(*end)}")


def stop_watcher() -> None:
    """Ends the watcher and waits until it has ended. Does nothing if none runs."""
    _perpetuo._watch_stop()
