# SPDX-License-Identifier: MIT OR Apache-2.0
"""instrument_asyncio(): what it tells of a loop, and when it takes that back."""

import asyncio
import contextvars
import ctypes
import gc
import os
import threading
import unittest

import perpetuo
from pyext_page import LOOP, native_id, only, pages, slots


def loops():
    return [slot for slot in slots() if slot.kind == LOOP]


def name_of(ident):
    return f"asyncio loop (thread {ident:#_x})"


async def register():
    perpetuo.instrument_asyncio()
    return only(name_of(threading.get_ident()))


class Asyncio(unittest.TestCase):
    def tearDown(self):
        gc.collect()  # a loop lies in cycles
        self.assertEqual(loops(), [], "it goes with its loop")

    def test_outside_of_a_loop(self):
        with self.assertRaisesRegex(RuntimeError, "no running event loop"):
            perpetuo.instrument_asyncio()

    def test_facts(self):
        async def main():
            slot = await register()
            ident = threading.get_ident()
            self.assertEqual((slot.kind, slot.active, slot.ident), (LOOP, False, ident))
            self.assertEqual(slot.hint_tid, native_id())
            self.assertEqual(slot.idle_fd, asyncio.get_running_loop()._selector.fileno())
            self.assertTrue(0 < slot.progress_addr - slot.tstate < 512)
            count = ctypes.c_uint64.from_address(slot.progress_addr)
            before = count.value
            contextvars.copy_context().run(bool)
            self.assertEqual(count.value - before, 2)
            for _ in range(100):
                await asyncio.sleep(0)
            self.assertEqual(count.value - before, 202)
            self.assertEqual(only(slot.name).word, slot.word, "a step costs nothing")

        asyncio.run(main())

    def test_again(self):
        async def main():
            slot = await register()
            generation = pages()[0].generation
            self.assertEqual((await register()).reuse_seq, slot.reuse_seq)
            self.assertEqual(pages()[0].generation, generation)

        asyncio.run(main())

    def test_readers_are_rung(self):
        async def main():
            before = pages()[0].generation
            await register()
            self.assertGreater(pages()[0].generation, before)

        asyncio.run(register())
        gc.collect()
        asyncio.run(main())

    def test_the_next_loop_of_a_thread(self):
        first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
        first.run_until_complete(register())
        slot = second.run_until_complete(register())
        self.assertEqual([s.idle_fd for s in loops()], [slot.idle_fd])
        first.close()
        second.close()

    def test_end_of_a_thread(self):
        kept = []

        def run():
            kept.append(asyncio.new_event_loop())
            kept.append(kept[0].run_until_complete(register()))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        self.assertEqual((kept[1].ident, loops()), (thread.ident, []))
        kept[0].close()

    def test_fork(self):
        async def main():
            slot = await register()
            pid = os.fork()
            if not pid:
                child = only(slot.name)
                same = child.progress_addr == slot.progress_addr and child.kind == LOOP
                os._exit(0 if same and child.hint_tid == native_id() else 1)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)

        asyncio.run(main())

    def test_dwim(self):
        os.environ["PERPETUO_BPF"] = "/nonexistent"

        async def main():
            self.assertEqual(perpetuo.dwim(), ["instrumented asyncio"])

        asyncio.run(main())


unittest.main()
