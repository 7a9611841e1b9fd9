# SPDX-License-Identifier: MIT OR Apache-2.0
"""One thread that sleeps DEPTH calls deep."""
import sys
import threading
import time


def down(n):
    if n:
        return down(n - 1)
    print("ready", flush=True)
    time.sleep(10000)


sys.setrecursionlimit(1000000)
threading.stack_size(512 << 20)
threading.Thread(target=down, args=(int(sys.argv[1]),), name="deep").start()
