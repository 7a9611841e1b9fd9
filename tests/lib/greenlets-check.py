# SPDX-License-Identifier: MIT OR Apache-2.0
"""greenlets-check.py TRUTH DUMP: are the greenlets of a dump (JSON) those of targets/greenlets.py?

Prints a line for each difference, then "N greenlets"; exit 1 when there is a difference. Those that
a dump has merged are not looked at.
"""
import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        truth = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        found = json.load(file)["dump"]["greenlets"]
    want = [[one["type"], one["thread"], one["frames"]] for one in truth]
    bad = 0
    for one in found:
        if one["count"] > 1:
            continue
        frames = [[f["name"], f["filename"], f["line"]] for f in reversed(one["frames"])]
        got = [one["type"].split(".")[-1], one["thread"], frames]
        if got in want:
            want.remove(got)
        else:
            print("is not there in truth: %r" % got)
            bad += 1
        if not one["exact"]:
            print("%s: is not exact: %r" % (got[0], one["note"]))
            bad += 1
    for one in want:
        print("is missing: %r" % one)
        bad += 1
    print("%d greenlets" % len(truth))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
