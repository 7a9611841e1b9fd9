# SPDX-License-Identifier: MIT OR Apache-2.0
"""top-check.py TRUTH RECORDS: what `top --json` said of hog and victim against tests/targets/top.py.

Prints "held" and "waited", each with the milliseconds told, those that are true, and by how many
percent they differ, over all records.
"""

import datetime
import json
import sys


def overlap(start, end, since, until):
    return max(0.0, min(end, until) - max(start, since))


def main(truth_path, records_path):
    spans = {"held": [], "waited": []}
    with open(truth_path, encoding="utf-8") as file:
        for line in file:
            word = line.split()
            if len(word) == 3 and word[0] in spans:
                spans[word[0]].append((float(word[1]), float(word[2])))
    told = dict.fromkeys(spans, 0.0)
    true = dict.fromkeys(spans, 0.0)
    with open(records_path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    for record in records:
        until = datetime.datetime.fromisoformat(record["time"]).timestamp()
        since = until - record["top"]["interval_ms"] / 1e3
        for key, who in (("held", "hog"), ("waited", "victim")):
            true[key] += 1e3 * sum(overlap(*span, since, until) for span in spans[key])
            told[key] += sum(
                row[key + "_ms"] for row in record["top"]["threads"] if row["thread"] == who
            )
    for key in spans:
        off = abs(told[key] - true[key]) / true[key] * 100 if true[key] else 999
        print(key, round(told[key], 1), round(true[key], 1), round(off))


if __name__ == "__main__":
    main(*sys.argv[1:])
