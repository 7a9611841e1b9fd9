# SPDX-License-Identifier: MIT OR Apache-2.0
"""tasks-check.py TRUTH DUMP: is what a dump (JSON) says of tasks what tests/targets/tasks.py says?

Prints a line for each difference, then "N tasks"; exit 1 when there is a difference.
"""
import json
import re
import sys


def clean(text):
    """As the dump shows names."""
    return re.sub("[\x00-\x1f\x7f]", lambda m: "\\x%02x" % ord(m.group()), text)


def differences(want, got, tasks):
    for key in ("state", "current"):
        if want[key] != got[key]:
            yield "%s is %r, want %r" % (key, got[key], want[key])
    parent = None if got["parent"] is None else tasks[got["parent"]]["name"]
    if want["parent"] != parent and not (want["parent"] or "<").startswith("<"):
        yield "parent is %r, want %r" % (parent, want["parent"])
    if want["waits_for"] != got["waits_for"]:
        yield "waits for %r, want %r" % (got["waits_for"], want["waits_for"])
    frames = [[f["name"], f["filename"], f["line"]] for f in got["frames"]]
    if want["state"] != "running" and frames != want["chain"]:
        yield "chain is %r, want %r" % (frames, want["chain"])
    if not got["exact"]:
        yield "is not exact"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        truth = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        tasks = json.load(file)["dump"]["tasks"]
    found, bad = {}, 0
    for task in tasks:
        found[task["name"], task["thread"]] = task
    for want in truth:
        want["waits_for"] = want["waits_for"] and clean(want["waits_for"])
        got = found.pop((clean(want["name"]), want["thread"]), None)
        if got and want["state"] == "running" and not want["current"]:
            continue  # by now it waits: its chain was told before
        for what in differences(want, got, tasks) if got else ["is missing"]:
            print("%s: %s" % (clean(want["name"]), what))
            bad += 1
    for name, _ in found:
        if not name.startswith("<"):
            print("%s: is not there in truth" % name)
            bad += 1
    print("%d tasks" % len(truth))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
