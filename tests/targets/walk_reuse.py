# SPDX-License-Identifier: MIT OR Apache-2.0
"""Code objects that come and go at the same addresses, as those of a notebook or of exec() in a loop.

The code of file cellN.py rests for a moment, called by dispatch() in line 2 * (N % 8) + 3; then that
of N + 1 takes its place: same size, same name, a file name of the same length.
"""
import threading
import time

source = "def dispatch(n, code):\n"
for k in range(8):
    source += "    if n %% 8 == %d:\n        exec(code)\n" % k
space = {"sleep": time.sleep}
exec(compile(source, "dispatch.py", "exec"), space)


def run():
    dispatch = space["dispatch"]
    n = 10000
    while n < 99999:
        dispatch(n, compile("sleep(0.001)\n", "cell%d.py" % n, "exec"))
        n += 1


threading.Thread(target=run, name="cells", daemon=True).start()
print("ready", flush=True)
time.sleep(10000)
