# SPDX-License-Identifier: MIT OR Apache-2.0
"""StallTracker and what it writes, one thread and one interpreter."""

import ctypes
import gc
import sys
import threading
import time
import unittest

import perpetuo
from perpetuo import StallTracker
from pyext_page import CLOSED, COUNTER, FREE, NAME_CUT, STAMP, by_name, native_id, only, pages

ME = threading.get_ident()


class Api(unittest.TestCase):
    def test_names(self):
        self.assertEqual(
            perpetuo.__all__,
            "StallTracker stall_gil start_watcher stop_watcher instrument_gil instrument_trio "
            "instrument_asyncio dwim".split(),
        )
        for name in perpetuo.__all__:
            self.assertTrue(callable(getattr(perpetuo, name)))

    def test_states(self):
        t = StallTracker("states", ME)
        self.assertIs(t.is_active(), True)
        with self.assertRaisesRegex(RuntimeError, "^Already active$"):
            t.go_active()
        self.assertIsNone(t.go_idle())
        self.assertIs(t.is_active(), False)
        with self.assertRaisesRegex(RuntimeError, "^Already idle$"):
            t.go_idle()
        self.assertIsNone(t.go_active())
        t.close()
        t.close()
        for method in (t.go_active, t.go_idle, t.is_active, t.counter_address, t.__enter__):
            with self.assertRaisesRegex(RuntimeError, "^attempt to use closed StallTracker$"):
                method()

    def test_arguments(self):
        for args, kwargs in (
            (("a", ME), {}),
            (("a", "gil"), {}),
            (("a",), {"relevant_thread": ME}),
            (("a",), {"thread_hint": "gil"}),
            ((), {"name": "a", "thread_hint": ME}),
        ):
            StallTracker(*args, **kwargs).close()
        for error, text, args, kwargs in (
            (TypeError, "missing required argument", ("a",), {}),
            (TypeError, "not both", ("a", ME), {"thread_hint": ME}),
            (TypeError, "", (), {}),
            (TypeError, "", (b"a", ME), {}),
            (TypeError, "", ("a", ME, ME), {}),
            (TypeError, "must be integer or the string 'gil'", ("a", 1.5), {}),
            (TypeError, "must be integer or the string 'gil'", ("a", None), {}),
            (ValueError, "must be integer or the string 'gil'", ("a", "GIL"), {}),
            (ValueError, "thread id must be non-zero", ("a", 0), {}),
            (OverflowError, "", ("a", -1), {}),
            (OverflowError, "", ("a", 2**64), {}),
            (ValueError, "lone surrogate", ("a\ud800", ME), {}),
        ):
            with self.subTest(args=args, kwargs=kwargs):
                with self.assertRaisesRegex(error, text):
                    StallTracker(*args, **kwargs)

    def test_context_manager(self):
        with StallTracker("with", ME) as t:
            self.assertTrue(t.is_active())
        self.assertFalse(t.is_active())
        with t as same:
            self.assertIs(same, t)
            self.assertTrue(t.is_active())
        with self.assertRaises(ZeroDivisionError), t:
            1 / 0
        self.assertFalse(t.is_active())
        with t:
            t.go_idle()
        with t:
            t.close()

    def test_stall_gil(self):
        start = time.monotonic()
        perpetuo.stall_gil(0.05)
        perpetuo.stall_gil(seconds=0)
        self.assertGreaterEqual(time.monotonic() - start, 0.05)
        for bad in (-1, float("nan"), float("inf"), 1e300):
            with self.assertRaises(ValueError):
                perpetuo.stall_gil(bad)
        with self.assertRaises(TypeError):
            perpetuo.stall_gil("1")

    def test_instrument_gil(self):
        self.assertFalse(hasattr(sys, "_set_stall_counter"))
        with self.assertRaisesRegex(
            RuntimeError, "^This Python was not built with the perpetuo GIL instrumentation patch$"
        ):
            perpetuo.instrument_gil()
        given = []
        sys._set_stall_counter = given.append
        try:
            perpetuo.instrument_gil()
            perpetuo.instrument_gil()
        finally:
            del sys._set_stall_counter
        self.assertEqual(len(given), 1)
        slot = only("GIL")
        self.assertEqual((slot.kind, slot.ident, slot.active), (COUNTER, 0, True))
        ctypes.c_uint64.from_address(given[0]).value += 1
        self.assertEqual(only("GIL").word, slot.word + 1)


class Published(unittest.TestCase):
    def test_word_is_the_time(self):
        before = time.monotonic_ns()
        t = StallTracker("word", ME)
        after = time.monotonic_ns()
        active = only("word")
        self.assertTrue(active.active)
        self.assertTrue(before - 1 <= active.word <= after, (before, active.word, after))
        before = time.monotonic_ns()
        t.go_idle()
        after = time.monotonic_ns()
        idle = only("word")
        self.assertFalse(idle.active)
        self.assertTrue(before - 1 <= idle.word <= after, (before, idle.word, after))

    def test_meta(self):
        t = StallTracker("meta", ME)
        slot = only("meta")
        self.assertEqual(slot.kind, STAMP)
        self.assertEqual(slot.ident, ME)
        self.assertEqual((slot.hint_tid, slot.active_tid), (native_id(), native_id()))
        self.assertEqual((slot.flags, slot.interp_id), (0, 0))
        self.assertNotEqual(slot.tstate, 0)
        t.close()
        self.assertNotIn("meta", by_name())

    def test_hint_of_another_thread(self):
        done = threading.Event()
        thread = threading.Thread(target=done.wait)
        thread.start()
        t = StallTracker("other", thread.ident)
        slot = only("other")
        done.set()
        thread.join()
        self.assertEqual((slot.ident, slot.hint_tid), (thread.ident, thread.native_id))
        self.assertEqual((slot.active_tid, slot.tstate), (native_id(), 0))
        t.close()
        unknown = StallTracker("unknown", 12345)
        self.assertEqual(only("unknown").hint_tid, 0)
        unknown.close()

    def test_names(self):
        for name in ("", "nul\0inside", "Приём", "接続", "🐍" * 34):
            t = StallTracker(name, "gil")
            slot = only(name)
            self.assertEqual((slot.flags, slot.ident), (0, 0))
            t.close()
        for name, kept in (("x" * 137, "x" * 136), ("xx" + "🐍" * 40, "xx" + "🐍" * 33)):
            t = StallTracker(name, ME)
            self.assertEqual(only(kept).flags, NAME_CUT)
            t.close()

    def test_history(self):
        t = StallTracker("past", ME)
        before = only("past").past_cnt
        ends = []
        for pause in (0.02, 0, 0.02, 0.02, 0.02, 0.02):
            if not t.is_active():
                t.go_active()
            start = only("past").word
            time.sleep(pause)
            t.go_idle()
            if pause:
                ends.append((start, only("past").word))
        slot = only("past")
        self.assertEqual(slot.past_cnt, before + 5)
        self.assertEqual(set(slot.past), set(ends[1:]))
        self.assertEqual(slot.past[(before + 4) % 4], ends[4])
        t.close()

    def test_close_ends_the_section(self):
        t = StallTracker("left active", ME)
        index = only("left active").index
        time.sleep(0.02)
        t.close()
        slot = pages()[0].slots[index] if index < pages()[0].in_use else None
        self.assertTrue(slot is None or (slot.kind == FREE and not slot.active))
        # The next one gets the lowest free slot: this one, with its word and its past gone on.
        again = StallTracker("again", ME)
        reused = only("again")
        self.assertEqual(reused.index, index)
        self.assertGreaterEqual(reused.reuse_seq, 1)
        again.close()

    def test_deletion_closes(self):
        StallTracker("deleted", ME)
        gc.collect()
        self.assertNotIn("deleted", by_name())
        t = StallTracker("leaked", ME)
        t._leak()
        t.go_idle()
        del t
        gc.collect()
        self.assertIn("leaked", by_name())

    def test_words_only_grow(self):
        last = 0
        for _ in range(50):
            t = StallTracker("grow", ME)
            word = only("grow").word
            self.assertGreater(word, last)
            last = word
            t.go_idle()
            t.close()

    def test_generation(self):
        # All free slots in use, so that the next tracker makes in_use grow.
        in_use, fill = pages()[0].in_use, []
        while pages()[0].in_use == in_use:
            fill.append(StallTracker("fill", ME))
        before = pages()[0]
        t = StallTracker("generation", ME)
        grown = pages()[0]
        self.assertEqual(grown.in_use, before.in_use + 1)
        self.assertGreater(grown.generation, before.generation)
        t.go_idle()
        t.close()
        t = StallTracker("again", ME)
        self.assertEqual(pages()[0][2:5], grown[2:5], "nobody is rung for what is used again")
        t.counter_address()
        self.assertGreater(pages()[0].generation, grown.generation)
        t.close()

    def test_counter(self):
        t = StallTracker("counter", ME)
        address = t.counter_address()
        self.assertEqual(t.counter_address(), address)
        count = ctypes.c_uint64.from_address(address)
        slot = only("counter")
        self.assertEqual((slot.kind, slot.word), (COUNTER, count.value))
        self.assertTrue(t.is_active())
        count.value += 1
        self.assertFalse(t.is_active())
        t.go_active()
        self.assertEqual(count.value, slot.word + 2)
        t.go_idle()
        self.assertEqual(count.value, slot.word + 3)
        t.close()
        self.assertEqual((only("counter").flags, only("counter").active), (CLOSED, False))
        # Foreign code may still add to it: nobody else may get that word.
        others = [StallTracker("other counter", ME) for _ in range(20)]
        self.assertNotIn(address, [other.counter_address() for other in others])

    def test_many(self):
        many = [StallTracker(f"many {i}", ME) for i in range(5000)]
        self.assertEqual(len(pages()), 2)
        found = by_name()
        self.assertTrue(all(found[f"many {i}"].active for i in range(5000)))
        for t in many[::2]:
            t.go_idle()
        found = by_name()
        self.assertEqual(
            [found[f"many {i}"].active for i in range(5000)], [i % 2 == 1 for i in range(5000)]
        )
        del many, t
        gc.collect()
        self.assertFalse([name for name in by_name() if name.startswith("many")])
        # in_use is given back by halves, and not below 64 words
        self.assertLess(max(page.in_use for page in pages()), 200)
        self.assertEqual({page.pid for page in pages()}, {pages()[0].pid})


if __name__ == "__main__":
    unittest.main()
