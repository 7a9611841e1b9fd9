# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a watcher sees while an interpreter ends. Argument: the program pyext_embed."""

import os
import subprocess
import sys
import unittest

from pyext_page import FINALIZED, by_name, pages

EMBED = sys.argv.pop()

ATEXIT = """
import atexit, sys, threading
sys.path[:] = {path!r}

def look(when):
    slot = by_name()["tracker"]
    print(when, slot.active, tracker.is_active(), flush=True)

atexit.register(lambda: (tracker.go_active(), look("after"), tracker.go_idle()))
atexit.register(lambda: tracker.go_idle())
atexit.register(look, "late")
import perpetuo
from pyext_page import by_name
atexit.register(look, "early")
tracker = perpetuo.StallTracker("tracker", threading.get_ident())
"""


class Exit(unittest.TestCase):
    def test_atexit(self):
        code = ATEXIT.format(path=sys.path)
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # What was registered before the import runs after the end of all sections, and may still
        # use its trackers: idle without an error, and active.
        self.assertEqual(
            done.stdout.splitlines(), ["early True True", "late False False", "after True True"]
        )
        self.assertEqual(done.returncode, 0)

    def test_daemon_thread(self):
        code = (
            "import perpetuo, threading\n"
            "def run():\n"
            "    t = perpetuo.StallTracker('daemon', threading.get_ident())\n"
            "    ready.set()\n"
            "    while True:\n"
            "        t.go_idle(); t.go_active()\n"
            "ready = threading.Event()\n"
            "threading.Thread(target=run, daemon=True).start()\n"
            "ready.wait()\n"
        )
        done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    @unittest.skipUnless(os.path.exists(EMBED), "no libpython to link with")
    def test_interpreters_one_after_the_other(self):
        process = subprocess.Popen([EMBED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def stage(want):
            self.assertEqual(process.stdout.readline().decode().strip(), want)
            (page,) = pages(process.pid)
            found = by_name(process.pid)
            process.stdin.write(b"\n")
            process.stdin.flush()
            return page.flags & FINALIZED, {name: slot.active for name, slot in found.items()}

        try:
            self.assertEqual(stage("running"), (0, {"first": True}))
            self.assertEqual(stage("finalized"), (FINALIZED, {"first": False}))
            self.assertEqual(stage("running"), (0, {"first": False, "second": True}))
            self.assertEqual(stage("finalized"), (FINALIZED, {"first": False}))
            self.assertEqual(process.wait(), 0)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


if __name__ == "__main__":
    unittest.main()
