# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the benchmarks share: rows of one table, quantiles, processes to watch and to watch with."""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Iterator, List, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
ROW = "{:<54}{:>13}{:>13}{:>7}  {}"


def row(
    what: str,
    ours: float,
    unit: str,
    baseline: Optional[float] = None,
    ratio: Optional[float] = None,
    most: Optional[float] = None,
    of: str = "ours",
) -> None:
    """Prints a line. MOST is the goal, of the value or (of="ratio") of the ratio to the baseline."""
    if ratio is None and baseline:
        ratio = ours / baseline
    goal = ""
    if most is not None:
        value = ours if of == "ours" else ratio
        reached = value is not None and value <= most
        goal = f"{'' if of == 'ours' else 'ratio '}<= {most:g}{'' if reached else '  MISSED'}"
    print(
        ROW.format(
            what,
            f"{ours:.4g} {unit}",
            "" if baseline is None else f"{baseline:.4g} {unit}",
            "" if ratio is None else f"{ratio:.2f}",
            goal,
        ).rstrip(),
        flush=True,
    )


def remark(text: str) -> None:
    print(f"# {text}", flush=True)


def section(title: str) -> None:
    """The load is part of every result: these are times."""
    remark(f"{title} (load {os.getloadavg()[0]:.2f}, {os.cpu_count()} CPUs)")


def quantile(values: List[float], q: float) -> float:
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


median = statistics.median


def arguments(
    about: str, words: "dict[str, Optional[str]]" = {}, **numbers: int
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--build", default=os.path.join(TOP, "build"), metavar="DIR")
    for name, default in words.items():
        parser.add_argument(f"--{name}", default=default, metavar="WORD")
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N")
    args = parser.parse_args()
    args.loader = os.path.join(args.build, "perpetuo-bpf")
    return args


def need_root() -> None:
    if os.geteuid() != 0:
        sys.exit(f"{os.path.basename(sys.argv[0])}: needs root")


def settle() -> None:
    """A moment in which a watcher takes up its target, or tells what is left to tell."""
    time.sleep(0.7)


def wait_for_text(file: str, text: bytes) -> None:
    """Until TEXT stands in FILE; the program ends if it does not come."""
    for _ in range(500):
        with open(file, "rb") as f:
            if text in f.read():
                return
        time.sleep(0.02)
    sys.exit(f"no {text!r} in {file}")


class Process:
    """A child that is ended with the block."""

    def __init__(self, command: List[str], build: str, **kwargs: object) -> None:
        env = dict(os.environ, PYTHONPATH=os.path.join(build, "python"))
        self.popen = subprocess.Popen(command, env=env, **kwargs)  # type: ignore[call-overload]
        self.pid = self.popen.pid

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


def target(build: str, *steps: str) -> Process:
    """tests/bench/target.py, ready."""
    process = Process(
        [sys.executable, os.path.join(HERE, "target.py"), *steps],
        build,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.popen.stdout is not None
    if process.popen.stdout.readline() != "ready\n":
        sys.exit("the target did not start: is the extension built for this Python?")
    return process


def go(process: Process) -> None:
    assert process.popen.stdin is not None
    process.popen.stdin.write("go\n")
    process.popen.stdin.flush()


class Watch(Process):
    """The loader on PID. What it says on stderr is in lines() when it has left."""

    def __init__(self, loader: str, pid: int, *options: str) -> None:
        self.log = tempfile.TemporaryFile("w+")
        command = [loader, "--json", "--verbose", "--stats", *options, "--pid", str(pid)]
        super().__init__(command, "", stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if "Successfully monitoring" in line:
                break
        else:
            sys.exit(f"the loader does not watch: {self.lines()}")

    def records(self) -> Iterator[str]:
        assert self.popen.stdout is not None
        return iter(self.popen.stdout)

    def end(self) -> None:
        self.popen.send_signal(signal.SIGINT)
        self.popen.communicate()

    def lines(self) -> List[str]:
        self.log.seek(0)
        return self.log.read().splitlines()

    def stats(self) -> "dict[str, str]":
        return dict(line.split(" ", 1) for line in self.lines() if line.count(" ") == 1)


class Usage:
    """What a process has used so far."""

    def __init__(self, pid: int) -> None:
        self.when = time.monotonic()
        self.voluntary = self.involuntary = 0
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status") as f:
                status = dict(line.split(":", 1) for line in f)
            self.voluntary += int(status["voluntary_ctxt_switches"])
            self.involuntary += int(status["nonvoluntary_ctxt_switches"])
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.split(":", 1) for line in f)
        self.rss_mib = int(status["VmRSS"].split()[0]) / 1024
        self.peak_mib = int(status["VmHWM"].split()[0]) / 1024
        with open(f"/proc/{pid}/schedstat") as f:
            self.cpu_ns = int(f.read().split()[0])
