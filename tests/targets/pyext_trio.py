# SPDX-License-Identifier: MIT OR Apache-2.0
"""instrument_trio(): what it tells of a run, when it takes that back, and that steps cost nothing."""

import asyncio
import ctypes
import threading
import unittest

import perpetuo
import trio
from pyext_page import LOOP, native_id, only, pages, slots


def loops():
    return [slot for slot in slots() if slot.kind == LOOP]


def register():
    perpetuo.instrument_trio()
    return only(f"Trio run loop (thread {threading.get_ident():#_x})")


def current_runner():
    return trio._core._run.GLOBAL_RUN_CONTEXT.runner


class Trio(unittest.TestCase):
    def tearDown(self):
        self.assertEqual(loops(), [], "closed after the run")

    def test_outside_of_a_run(self):
        with self.assertRaises(RuntimeError):
            perpetuo.instrument_trio()

    def test_facts(self):
        async def main():
            slot = register()
            ident = threading.get_ident()
            self.assertEqual((slot.kind, slot.active, slot.ident), (LOOP, False, ident))
            self.assertEqual(slot.hint_tid, native_id())
            self.assertEqual(slot.idle_fd, current_runner().io_manager._epoll.fileno())
            count = ctypes.c_uint64.from_address(slot.progress_addr)
            before = count.value
            for _ in range(100):
                await trio.lowlevel.checkpoint()
            moved = count.value - before
            # a task of Trio's own may take a step, too
            self.assertTrue(200 <= moved < 210 and moved % 2 == 0, moved)
            self.assertEqual(only(slot.name).word, slot.word, "a step costs nothing")

        trio.run(main)

    def test_hooks(self):
        async def main():
            register()
            hooks = {name for name in current_runner().instruments.data if name[0] != "_"}
            self.assertEqual(hooks, {"after_run"}, "none that a step calls")

        trio.run(main)

    def test_again(self):
        async def main():
            slot = register()
            generation = pages()[0].generation
            self.assertEqual(register().reuse_seq, slot.reuse_seq)
            self.assertEqual(pages()[0].generation, generation)

        for _ in range(200):
            trio.run(main)

    def test_runs_in_threads(self):
        async def main():
            slot = register()
            assert slot.hint_tid == native_id(), slot
            await trio.lowlevel.checkpoint()

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

    def test_guest(self):
        seen = []

        async def guest():
            seen.append(register())
            await trio.sleep(0.01)
            seen.append(only(seen[0].name))

        async def host():
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            trio.lowlevel.start_guest_run(
                guest,
                run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                done_callback=lambda outcome: done.set_result(outcome.unwrap()),
            )
            await done

        asyncio.run(host())
        self.assertEqual([slot.hint_tid for slot in seen], [native_id()] * 2)
        self.assertEqual([slot.idle_fd for slot in seen], [-1] * 2, "another thread waits")


if __name__ == "__main__":
    unittest.main()
