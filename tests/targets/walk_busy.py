# SPDX-License-Identifier: MIT OR Apache-2.0
"""Threads whose stacks are known by rule, to count wrong ones.

    walk_busy.py KIND [THREADS]

Each stack is f0, f1, ... fN (outermost first), fK in line 4 * K + 3 where it calls f(K+1). KIND:
    spin    calls and returns all the time
    gen     the same with generators, each run by C code
    nap     sleeps a moment at random depths: asleep for most of the time
    step    works for some 20 us in each function
"""
import random
import sys
import threading
import time

DEPTH = 30
kind = sys.argv[1]
rest = {
    "spin": lambda: None,
    "gen": lambda: None,
    "nap": lambda: time.sleep(0.0005),
    "step": lambda: sum(range(600)),
}[kind]
plain = "def f%d(n):\n    if n <= %d: return rest()\n    x = f%d(n)\n    return x\n"
generator = "def f%d(n):\n    if n <= %d: yield rest(); return\n    x = list(f%d(n))\n    yield x\n"
shape = generator if kind == "gen" else plain
source = "".join(shape % (i, i, i + 1) for i in range(DEPTH))
source += "def f%d(n): %s rest()\n" % (DEPTH, "yield" if kind == "gen" else "return")
space = {"rest": rest}
exec(compile(source, "busy.py", "exec"), space)


def run(f0, seed):
    dice = random.Random(seed)
    while True:
        if kind == "gen":
            list(f0(dice.randrange(DEPTH + 1)))
        else:
            f0(dice.randrange(DEPTH + 1))


for seed in range(int(sys.argv[2]) if len(sys.argv) > 2 else 2):
    threading.Thread(target=run, args=(space["f0"], seed), name="busy", daemon=True).start()
print("ready", flush=True)
time.sleep(10000)
