# SPDX-License-Identifier: MIT OR Apache-2.0
"""The child of a fork publishes its own trackers; the parent's do not notice."""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import unittest

from perpetuo import StallTracker
from pyext_page import by_name, native_id, only, pages, slots

ME = threading.get_ident()


def in_child(check):
    """Runs check() in a forked child; fails with what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            check()
        except BaseException as error:
            os.write(write, repr(error).encode())
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    status = os.waitpid(pid, 0)[1]
    if status != 0:
        raise AssertionError(f"child: status {status:#x} {text}")


def equal(got, want):
    assert got == want, (got, want)


class InThread(threading.Thread):
    """A thread that holds a tracker active until told to go."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.tracker_name = name
        self.ready = threading.Event()
        self.leave = threading.Event()
        self.start()
        assert self.ready.wait(10)

    def run(self):
        self.tracker = StallTracker(self.tracker_name, threading.get_ident())
        self.ready.set()
        self.leave.wait()
        self.tracker.close()

    def end(self):
        self.leave.set()
        self.join()


class Fork(unittest.TestCase):
    def test_own_trackers_go_on(self):
        active, idle = StallTracker("active", ME), StallTracker("idle", ME)
        idle.go_idle()
        before = by_name()
        parent_tid = native_id()
        fork_ns = time.monotonic_ns()

        def check():
            slot = only("active")
            equal(slot.active, True)
            assert slot.word >= fork_ns - 1, "the section of the child starts with the child"
            assert slot.word > before["active"].word
            equal((slot.ident, slot.hint_tid, slot.active_tid), (ME, native_id(), native_id()))
            assert native_id() != parent_tid
            equal(only("idle").word, before["idle"].word)
            equal({page.pid for page in pages()}, {os.getpid()})
            active.go_idle()
            idle.go_active()
            equal((only("active").active, only("idle").active), (False, True))
            StallTracker("new in the child", ME).close()

        in_child(check)
        self.assertEqual(by_name(), before)
        self.assertEqual(pages()[0].pid, os.getpid())
        active.close()
        idle.close()

    def test_trackers_of_other_threads_are_idle(self):
        thread = InThread("of a thread")

        def check():
            slot = only("of a thread")
            equal((slot.active, slot.hint_tid, slot.active_tid), (False, 0, 0))
            # Its owner does not know: no error, once.
            thread.tracker.go_idle()
            try:
                thread.tracker.go_idle()
            except RuntimeError:
                pass
            else:
                raise AssertionError("idle twice")
            thread.tracker.go_active()
            thread.tracker.go_idle()

        in_child(check)
        self.assertTrue(only("of a thread").active)
        thread.end()

    def test_fork_in_a_thread(self):
        main, result = StallTracker("of main", ME), []

        def fork():
            own = StallTracker("of the forker", threading.get_ident())

            def check():
                equal((only("of the forker").active, only("of main").active), (True, False))

            try:
                in_child(check)
                result.append(own.is_active())
            finally:
                own.close()

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        self.assertEqual(result, [True])
        self.assertTrue(only("of main").active)
        main.close()

    def test_made_for_a_thread_that_is_gone(self):
        # Active since the main thread made it, but about another thread, which the child has not.
        thread = InThread("unused")
        t = StallTracker("about a thread", thread.ident)
        in_child(lambda: equal(only("about a thread").active, False))
        t.close()
        thread.end()

    def test_gil_counter_goes_on(self):
        t = StallTracker("gil count", "gil")
        count = ctypes.c_uint64.from_address(t.counter_address())
        value = count.value

        def check():
            equal(count.value, value)
            equal(only("gil count").word, value)

        in_child(check)
        t.close()

    def test_grandchild(self):
        t = StallTracker("grandchild", ME)

        def child():
            t.go_idle()
            t.go_active()
            in_child(lambda: equal(only("grandchild").active, True))
            equal(only("grandchild").active, True)

        in_child(child)
        t.close()

    def test_history_is_the_parents(self):
        t = StallTracker("history", ME)
        time.sleep(0.02)
        t.go_idle()
        self.assertGreater(only("history").past_cnt, 0)
        in_child(lambda: equal(only("history").past_cnt, 0))
        t.close()

    def test_many(self):
        many = [StallTracker(f"many {i}", ME) for i in range(4500)]
        for t in many[::3]:
            t.go_idle()

        def check():
            found = by_name()
            equal(len(pages()), 2)
            for i, t in enumerate(many):
                equal(found[f"many {i}"].active, i % 3 != 0)
                equal(t.is_active(), i % 3 != 0)

        in_child(check)
        many.clear()
        del t

    def test_fork_while_others_make_trackers(self):
        stop = threading.Event()

        def churn():
            while not stop.is_set():
                StallTracker("churn", threading.get_ident()).close()

        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(30):
                in_child(lambda: StallTracker("after", threading.get_ident()).close())
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_subprocess(self):
        t = StallTracker("subprocess", ME)
        word = only("subprocess").word
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        self.assertEqual(only("subprocess").word, word)
        t.close()


def worker(queue):
    t = StallTracker("worker", threading.get_ident())
    queue.put([(slot.name, slot.active) for slot in slots()])
    t.close()


class Multiprocessing(unittest.TestCase):
    def run_method(self, method):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=worker, args=(queue,))
        process.start()
        seen = dict(queue.get(timeout=60))
        process.join()
        self.assertEqual(process.exitcode, 0)
        self.assertIs(seen["worker"], True)
        return seen

    def test_methods(self):
        t = StallTracker("of the parent", ME)
        self.assertIn("of the parent", self.run_method("fork"))
        self.assertNotIn("of the parent", self.run_method("spawn"))
        self.assertNotIn("of the parent", self.run_method("forkserver"))
        self.assertTrue(only("of the parent").active)
        t.close()


if __name__ == "__main__":
    unittest.main()
