#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the watch costs while nothing stalls: switches and CPU time of the loader, memory, and in
the kernel tick, timer and switches apart."""

import json
import os
import subprocess
import time

import common

STATS = "/proc/sys/kernel/bpf_stats_enabled"
PROGRAMS = {"slots_tick": "tick, all CPUs", "slots_tick_hrtimer": "tick, all CPUs", "slots_switch": "switches of the whole machine"}


def program_ids(pid: int) -> "set[int]":
    """Those that the process has open: others may be watching, too."""
    ids = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}") as f:
            ids.update(int(line.split()[1]) for line in f if line.startswith("prog_id:"))
    return ids


def program_ns(pid: int) -> "dict[str, int]":
    """CPU time of the loader's programs so far, by name."""
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], env=env, stdout=subprocess.PIPE, check=True)
    sums, ours = dict.fromkeys(PROGRAMS, 0), program_ids(pid)
    for program in json.loads(shown.stdout):
        if program["id"] in ours and program.get("name") in sums:
            sums[program["name"]] += program.get("run_time_ns", 0)
    return sums


class Quiet:
    """A watch of SECONDS, of a target that takes a section of 5 ms two hundred times a second."""

    def __init__(self, args, backend: str) -> None:
        with common.target(args.build, "sleep", "4", str(args.seconds * 1000), "1") as target:
            with common.Watch(args.loader, target.pid, "--backend", backend) as watch:
                common.go(target)
                time.sleep(2)  # what is new is looked at once
                before, programs = common.Usage(watch.pid), program_ns(watch.pid)
                time.sleep(args.seconds)
                after, programs_after = common.Usage(watch.pid), program_ns(watch.pid)
                watch.end()
                self.stats = watch.stats()
        self.seconds = after.when - before.when
        self.voluntary = after.voluntary - before.voluntary
        self.cpu_us = self.per_second(after.cpu_ns - before.cpu_ns)
        self.rss_mib, self.peak_mib = after.rss_mib, after.peak_mib
        self.programs = {
            name: self.per_second(programs_after[name] - programs[name]) for name in programs
        }

    def per_second(self, ns: float) -> float:
        return ns / 1e3 / self.seconds


def main() -> None:
    args = common.arguments(__doc__.splitlines()[0], seconds=60)
    common.need_root()
    common.section(f"{args.seconds} s without a stall, default options; baseline: --backend=poll")
    with open(STATS) as f:
        enabled = f.read()
    try:
        with open(STATS, "w") as f:
            f.write("1")
        ours = Quiet(args, "bpf")
    finally:
        with open(STATS, "w") as f:
            f.write(enabled)
    args.seconds = min(args.seconds, 10)
    poll = Quiet(args, "poll")
    common.row("voluntary switches of the loader", ours.voluntary, "", most=0)
    common.row("voluntary switches of the loader, per second", ours.voluntary / ours.seconds, "/s",
               poll.voluntary / poll.seconds)
    common.row("CPU time of the loader, per second", ours.cpu_us, "us", poll.cpu_us)
    for name, title in PROGRAMS.items():
        if ours.programs[name]:
            common.row(f"in the kernel: {title}, per second", ours.programs[name], "us")
    passes = int(ours.stats["bpf.passes"])
    spent = int(ours.stats["bpf.pass_ns"])
    common.row("in the kernel: timer, per pass", spent / passes / 1e3, "us")
    common.row("in the kernel: timer, per second", spent / 1e3 / (ours.seconds + 2), "us")
    common.row("resident memory of the loader", ours.rss_mib, "MiB", poll.rss_mib, most=16)
    common.row("resident memory of the loader, peak", ours.peak_mib, "MiB", poll.peak_mib)
    common.remark(f"kernel: {passes} passes of the timer, {ours.stats['bpf.ticks']} ticks, "
                  f"{ours.stats['bpf.observations']} readings")


main()
