# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that has itself watched, and stalls once for half a second."""

import sys
import threading
import time

import perpetuo


def too_slow():
    time.sleep(0.5)


tracker = perpetuo.StallTracker("request loop", threading.get_ident())
tracker.go_idle()
did = perpetuo.dwim(output=sys.argv[1], alert_interval=0.1)
# The BPF backend takes a moment to load.
time.sleep(1)
with tracker:
    too_slow()
time.sleep(0.3)
perpetuo.stop_watcher()
print(did)
