# SPDX-License-Identifier: MIT OR Apache-2.0
"""instrument_trio(): active exactly while a task takes a step."""

import threading
import time
import unittest

import perpetuo
import trio
from pyext_page import native_id, slots

NAME = f"Trio run loop (thread {threading.get_ident():#_x})"


def named(name=NAME):
    return [slot for slot in slots() if slot.name == name]


class Trio(unittest.TestCase):
    def test_steps(self):
        async def main():
            perpetuo.instrument_trio()
            self.assertEqual(named(), [], "made when the first step is over")
            await trio.lowlevel.checkpoint()
            (slot,) = named()
            self.assertTrue(slot.active)
            self.assertEqual((slot.ident, slot.hint_tid), (threading.get_ident(), native_id()))
            words = {slot.word}
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                words.add(named()[0].word)
            self.assertEqual(len(words), 4, "a section a step")

        trio.run(main)
        self.assertEqual(named(), [], "closed after the run")

    def test_idle_while_waiting(self):
        seen = []

        def look(done):
            while not done.is_set():
                seen.extend(slot.active for slot in named())
                time.sleep(0.01)

        async def main():
            perpetuo.instrument_trio()
            await trio.sleep(0.3)

        done = threading.Event()
        thread = threading.Thread(target=look, args=(done,))
        thread.start()
        trio.run(main)
        done.set()
        thread.join()
        self.assertGreater(seen.count(False), seen.count(True))

    def test_long_step_is_kept(self):
        async def main():
            perpetuo.instrument_trio()
            await trio.lowlevel.checkpoint()
            before = named()[0]
            time.sleep(0.03)
            await trio.lowlevel.checkpoint()
            (slot,) = named()
            self.assertEqual(slot.past_cnt, before.past_cnt + 1)
            start, end = slot.past[before.past_cnt % 4]
            self.assertEqual(start, before.word)
            self.assertGreaterEqual(end - start, 30000000)

        trio.run(main)

    def test_tasks_that_are_ready_together(self):
        words = []

        async def look():
            words.append([(slot.active, slot.word) for slot in named()])

        async def main():
            perpetuo.instrument_trio()
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(look)

        trio.run(main)
        self.assertEqual([len(seen) for seen in words], [1] * 5)
        self.assertTrue(all(seen[0][0] for seen in words))
        self.assertEqual(len({seen[0][1] for seen in words}), 5, "a section a step")

    def test_long_step_that_another_follows_is_kept(self):
        ends = []

        async def block():
            time.sleep(0.03)
            ends.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC))

        async def work():
            time.sleep(0.02)

        async def main():
            perpetuo.instrument_trio()
            await trio.lowlevel.checkpoint()
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            async with trio.open_nursery() as nursery:
                for func in (work, block, work):
                    nursery.start_soon(func)
            (slot,) = named()
            long = [end for start, end in slot.past if start > before and end - start >= 30000000]
            self.assertEqual(len(long), 1, "one step of the three")
            self.assertGreaterEqual(long[0], ends[0])
            self.assertLess(long[0] - ends[0], 20000000, "without what followed, with slack")

        trio.run(main)

    def test_every_run(self):
        async def main():
            perpetuo.instrument_trio()
            perpetuo.instrument_trio()
            await trio.lowlevel.checkpoint()
            self.assertEqual(len(named()), 1)

        for _ in range(200):
            trio.run(main)
        self.assertEqual(named(), [])

    def test_outside_of_a_run(self):
        with self.assertRaises(RuntimeError):
            perpetuo.instrument_trio()

    def test_runs_in_threads(self):
        async def main():
            perpetuo.instrument_trio()
            await trio.lowlevel.checkpoint()
            name = f"Trio run loop (thread {threading.get_ident():#_x})"
            assert [slot.hint_tid for slot in named(name)] == [native_id()], named(name)

        failed = []

        def run():
            try:
                trio.run(main)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])


if __name__ == "__main__":
    unittest.main()
