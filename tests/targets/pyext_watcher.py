# SPDX-License-Identifier: MIT OR Apache-2.0
"""start_watcher(), stop_watcher(), dwim(). Argument: a program to run instead of perpetuo-bpf."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

import perpetuo

LOADER = os.path.abspath(sys.argv.pop())
# All waits end when what they wait for has happened; the bound only ends a hang.
PATIENCE = 20


def wait_for(condition):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


class Watcher(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = os.path.join(folder.name, "log")
        self.err = os.path.join(folder.name, "err")
        env = {"PERPETUO_BPF": LOADER, "FAKE_LOG": self.log, "FAKE": ""}
        patch = unittest.mock.patch.dict(os.environ, env)
        patch.start()
        self.addCleanup(patch.stop)
        stderr = open(self.err, "w")
        self.addCleanup(stderr.close)
        patch = unittest.mock.patch.object(sys, "stderr", stderr)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(perpetuo.stop_watcher)

    def said(self):
        with open(self.err) as err:
            return err.read()

    def logged(self):
        with open(self.log) as log:
            return log.read().splitlines()

    def watcher_pid(self):
        return int(self.logged()[0])

    def test_arguments(self):
        me = ["--pid", str(os.getpid())]
        perpetuo.start_watcher()
        self.assertEqual(self.logged()[1:], ["--print-locals", "--json"] + me)
        perpetuo.stop_watcher()
        perpetuo.start_watcher(
            poll_interval=0.01,
            alert_interval=1,
            traceback_suppress=2.5,
            print_locals=False,
            json_mode=False,
            backend="poll",
            output="a file",
        )
        self.assertEqual(
            self.logged()[1:],
            "--poll-interval 0.01 --alert-interval 1.0 --traceback-suppress 2.5 --no-print-locals "
            "--backend poll --output".split() + ["a file"] + me,
        )
        perpetuo.stop_watcher()
        with self.assertRaises(TypeError):
            perpetuo.start_watcher(1)
        with self.assertRaises(ValueError):
            perpetuo.start_watcher(poll_interval="soon")

    def test_output_goes_to_stderr(self):
        perpetuo.start_watcher()
        wait_for(lambda: "a report\n" in self.said() and "a diagnosis\n" in self.said())

    def test_stop(self):
        perpetuo.stop_watcher()
        perpetuo.start_watcher()
        pid = self.watcher_pid()
        with self.assertRaisesRegex(RuntimeError, "^watcher is already running$"):
            perpetuo.start_watcher()
        self.assertTrue(alive(pid))
        perpetuo.stop_watcher()
        wait_for(lambda: not alive(pid))
        perpetuo.stop_watcher()
        perpetuo.start_watcher()
        self.assertNotEqual(self.watcher_pid(), pid)
        perpetuo.stop_watcher()
        self.assertNotIn("has ended", self.said())

    def test_started_by_many_threads(self):
        started, refused = [], []

        def start():
            gate.wait()
            try:
                perpetuo.start_watcher()
                started.append(True)
            except RuntimeError as error:
                refused.append(str(error))

        gate = threading.Barrier(4)
        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((started, set(refused)), ([True], {"watcher is already running"}))
        perpetuo.stop_watcher()
        me = f"--pid\0{os.getpid()}\0".encode()
        wait_for(lambda: not [pid for pid in os.listdir("/proc") if cmdline(pid).endswith(me)])

    def test_stop_one_that_does_not_listen(self):
        os.environ["FAKE"] = "stubborn"
        perpetuo.start_watcher()
        pid = self.watcher_pid()
        perpetuo.stop_watcher()
        wait_for(lambda: not alive(pid))

    def test_it_is_nobodys_child(self):
        perpetuo.start_watcher()
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        child = subprocess.Popen([sys.executable, "-c", "pass"])
        self.assertEqual(os.wait()[0], child.pid)
        child.returncode = 0

    def test_children_reaped_by_others(self):
        for disposition in (signal.SIG_IGN, lambda *_: os.waitpid(-1, os.WNOHANG)):
            before = signal.signal(signal.SIGCHLD, disposition)
            try:
                perpetuo.start_watcher()
                perpetuo.stop_watcher()
            except ChildProcessError:
                pass  # the handler's own
            finally:
                signal.signal(signal.SIGCHLD, before)
                perpetuo.stop_watcher()

    def test_death_is_told(self):
        for how, text in (("die", "exit status 7"), ("kill", "signal 9")):
            perpetuo.start_watcher()
            if how == "die":
                open(self.log + ".die", "w").close()
            else:
                os.kill(self.watcher_pid(), signal.SIGKILL)
            wait_for(lambda: f"has ended ({text})" in self.said())
            (line,) = [line for line in self.said().splitlines() if text in line]
            self.assertTrue(line.startswith(f"perpetuo: the watcher of process {os.getpid()}"))
            if how == "die":
                os.unlink(self.log + ".die")
            # Nothing left that would keep another one from starting.
            wait_for(lambda: not perpetuo._perpetuo._watch_running())

    def test_death_is_told_while_the_gil_is_stuck(self):
        perpetuo.start_watcher()
        open(self.log + ".die", "w").close()
        start = time.time()
        perpetuo.stall_gil(2)
        wait_for(lambda: "has ended (exit status 7)" in self.said())
        # The file was last written to while the GIL was held.
        self.assertLess(os.stat(self.err).st_mtime, start + 1.9)

    def test_death_while_nobody_reads(self):
        read, write = os.pipe()
        with open(read, "rb", 0) as reader, open(write, "w") as writer:
            with unittest.mock.patch.object(sys, "stderr", writer):
                perpetuo.start_watcher()
            said = b""
            while b"a report\n" not in said or b"a diagnosis\n" not in said:
                said += reader.read(1000)
            os.set_blocking(write, False)
            with self.assertRaises(BlockingIOError):
                while os.write(write, b"x" * 512):
                    pass
            os.set_blocking(write, True)
            open(self.log + ".die", "w").close()
            # Neither this nor a fork waits for somebody to read.
            wait_for(lambda: not perpetuo._perpetuo._watch_running())
            child = os.fork()
            if child == 0:
                os._exit(0)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            while b"has ended (exit status 7)" not in said:
                said = said[-100:] + reader.read(65536)

    def test_refusal(self):
        os.environ["FAKE"] = "refuse"
        text = r"ended at once \(exit status 3\): perpetuo-bpf: pid \d+: not allowed$"
        with self.assertRaisesRegex(RuntimeError, text):
            perpetuo.start_watcher()
        os.environ["FAKE"] = "silent"
        with self.assertRaisesRegex(RuntimeError, r"\(exit status 1\) without a word$"):
            perpetuo.start_watcher()
        self.assertNotIn("has ended", self.said())
        os.environ["FAKE"] = ""
        perpetuo.start_watcher()

    def test_not_there(self):
        for path in ("/nonexistent", "/", "/etc/passwd"):
            os.environ["PERPETUO_BPF"] = path
            with self.assertRaisesRegex(RuntimeError, f"PERPETUO_BPF={path} is no program"):
                perpetuo.start_watcher()
        del os.environ["PERPETUO_BPF"]
        os.environ["PATH"] = os.path.dirname(self.log)
        with unittest.mock.patch.object(perpetuo._watcher, "_FOLDERS", ("/nonexistent",)):
            with self.assertRaisesRegex(RuntimeError, "no perpetuo-bpf in PATH nor in /nonexist"):
                perpetuo.start_watcher()
            self.assertEqual(perpetuo.dwim(), [])
            self.assertIn("perpetuo: cannot start the watcher: no perpetuo-bpf", self.said())

    def test_found_in_path(self):
        del os.environ["PERPETUO_BPF"]
        folder = os.path.dirname(self.log)
        os.symlink(LOADER, os.path.join(folder, "perpetuo-bpf"))
        os.environ["PATH"] = folder + os.pathsep + os.environ["PATH"]
        perpetuo.start_watcher()
        self.assertTrue(alive(self.watcher_pid()))

    def test_child_has_none(self):
        perpetuo.start_watcher()
        pid = self.watcher_pid()
        child = os.fork()
        if child == 0:
            ok = not perpetuo._perpetuo._watch_running()
            perpetuo.stop_watcher()
            perpetuo.start_watcher()
            perpetuo.stop_watcher()
            os._exit(0 if ok and alive(pid) else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        with self.assertRaisesRegex(RuntimeError, "already running"):
            perpetuo.start_watcher()

    def test_no_descriptors_left(self):
        perpetuo.start_watcher()
        perpetuo.stop_watcher()
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            perpetuo.start_watcher()
            perpetuo.stop_watcher()
        os.environ["FAKE"] = "refuse"
        with self.assertRaises(RuntimeError):
            perpetuo.start_watcher()
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_without_stderr(self):
        with unittest.mock.patch.object(sys, "stderr", None):
            perpetuo.start_watcher()
        self.assertTrue(alive(self.watcher_pid()))

    def test_ends_with_the_target(self):
        code = "import perpetuo, os; print(perpetuo.dwim(), flush=True)"
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.assertEqual(done.stdout, "['started out of process watcher']\n")
        self.assertNotIn("Traceback", done.stderr)
        wait_for(lambda: not alive(self.watcher_pid()))
        self.assertEqual(self.logged()[-1], "the target has ended")

    def test_dwim(self):
        self.assertEqual(perpetuo.dwim(json_mode=False), ["started out of process watcher"])
        self.assertNotIn("--json", self.logged())
        self.assertEqual(perpetuo.dwim(), [])
        try:
            import trio
        except ImportError:
            return
        perpetuo.stop_watcher()

        async def main():
            return perpetuo.dwim()

        did = ["instrumented Trio", "started out of process watcher"]
        self.assertEqual(trio.run(main), did)


if __name__ == "__main__":
    unittest.main()
