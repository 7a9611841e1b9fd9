# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trackers used by several threads, interpreters, and interpreters without a GIL."""

import sys
import sysconfig
import threading
import unittest

from perpetuo import StallTracker
from pyext_page import by_name, native_id, only, pages

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def run_threads(count, func):
    """Runs func(i) in that many threads at once; raises what one of them raised."""
    errors, gate = [], threading.Barrier(count)

    def body(i):
        try:
            gate.wait()
            func(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Threads(unittest.TestCase):
    def setUp(self):
        self.interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)

    def tearDown(self):
        sys.setswitchinterval(self.interval)

    def test_own_trackers(self):
        def use(i):
            with StallTracker(f"thread {i}", threading.get_ident()) as t:
                slot = only(f"thread {i}")
                assert (slot.ident, slot.active_tid) == (threading.get_ident(), native_id())
                for _ in range(3000):
                    t.go_idle()
                    t.go_active()
            t.close()

        run_threads(8, use)
        self.assertFalse([name for name in by_name() if name.startswith("thread")])

    def test_toggled_by_another_thread(self):
        t = StallTracker("handed over", threading.get_ident())
        t.go_idle()
        tids = []

        def use(_):
            t.go_active()
            tids.append((native_id(), only("handed over").active_tid))

        run_threads(1, use)
        self.assertEqual(tids[0][0], tids[0][1])
        t.go_idle()
        t.close()

    def test_one_tracker_fought_over(self):
        t = StallTracker("fought over", "gil")
        t.go_idle()
        done = [0, 0]

        def use(i):
            mine = 0
            for _ in range(5000):
                try:
                    if i % 2:
                        t.go_active()
                    else:
                        t.go_idle()
                    mine += 1
                except RuntimeError:
                    pass
            with lock:
                done[i % 2] += mine

        lock = threading.Lock()
        run_threads(4, use)
        # Each section has one beginning and at most one end.
        self.assertEqual(done[1] - done[0], int(t.is_active()))
        t.close()

    def test_close_against_use(self):
        for _ in range(200):
            t = StallTracker("closed", "gil")
            other = []

            def use(i):
                if i == 0:
                    t.close()
                    other.append(StallTracker("innocent", "gil"))
                    return
                for _ in range(20):
                    try:
                        t.go_idle()
                        t.go_active()
                    except RuntimeError:
                        pass

            run_threads(3, use)
            # It took the slot of the closed one; nobody made it idle.
            self.assertTrue(other[0].is_active())
            other[0].close()

    def test_made_and_closed_at_once(self):
        def use(i):
            for n in range(300):
                t = StallTracker(f"made {i} {n}", threading.get_ident())
                t.go_idle()
                t.close()

        run_threads(8, use)
        self.assertFalse([name for name in by_name() if name.startswith("made")])

    @unittest.skipUnless(FREE_THREADED, "has a GIL")
    def test_no_gil(self):
        self.assertFalse(sys._is_gil_enabled())

    @unittest.skipUnless(FREE_THREADED, "has a GIL")
    def test_cache_lines(self):
        made, lock = [], threading.Lock()

        def use(i):
            mine = [StallTracker(f"line {i} {n}", threading.get_ident()) for n in range(3)]
            lines = {only(f"line {i} {n}").index // 8 for n in range(3)}
            with lock:
                made.append((lines, mine))
            gate.wait()

        gate = threading.Barrier(4)
        run_threads(4, use)
        self.assertEqual([len(lines) for lines, _ in made], [1] * 4)
        self.assertEqual(len(set.union(*(lines for lines, _ in made))), 4)


IN_SUBINTERPRETER = """
import sys
sys.path[:] = {path!r}
import threading
from perpetuo import StallTracker
from pyext_page import only
t = StallTracker({name!r}, threading.get_ident())
for _ in range({turns}):
    t.go_idle()
    t.go_active()
slot = only({name!r})
assert slot.interp_id != 0 and slot.active, slot
leaked = StallTracker({name!r} + " leaked", "gil")
leaked._leak()
"""


def interpreters():
    """(create, run, destroy) of this version's private module, or None."""
    if sys.version_info >= (3, 13):
        import _interpreters as module
    else:
        try:
            import _xxsubinterpreters as module
        except ImportError:
            return None

    def run(interpreter, code):
        failed = module.run_string(interpreter, code)
        if failed is not None:
            raise AssertionError(failed.formatted)

    def create():
        return module.create("isolated") if sys.version_info >= (3, 13) else module.create()

    return create, run, module.destroy


class Subinterpreters(unittest.TestCase):
    def test_trackers(self):
        functions = interpreters()
        if functions is None:
            self.skipTest("this build has no subinterpreters")
        create, run, destroy = functions
        mine = StallTracker("of the main interpreter", "gil")
        before = len(pages())

        def use(i):
            name = f"sub {i}"
            code = IN_SUBINTERPRETER.format(path=sys.path, name=name, turns=2000)
            interpreter = create()
            run(interpreter, code)
            assert only(name).active
            destroy(interpreter)

        for i in range(2):
            use(i)
        if sys.version_info >= (3, 12):
            run_threads(2, use)
        self.assertEqual(len(pages()), before)
        left = by_name()
        self.assertTrue(left["of the main interpreter"].active)
        self.assertNotIn("sub 0", left)
        # What was leaked stays, but an interpreter that has ended cannot stall.
        self.assertFalse(left["sub 0 leaked"].active)
        mine.close()


if __name__ == "__main__":
    unittest.main()
