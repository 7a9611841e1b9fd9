# SPDX-License-Identifier: MIT OR Apache-2.0
"""Threads that stand still in every shape of Python stack, and what Python itself says of them.

    walk_shapes.py TRUTH

writes into TRUTH, separated by tabs, of each thread but the first a line

    thread  ident  name  tid
    frame   ident  name  position  function  file  line  end_line  column  end_column

(innermost first; "?" where the version has no such thing), prints "ready" and sleeps. A thread is
called after its shape.
"""
import contextlib
import ctypes
import functools
import os
import sys
import threading
import time

RECURSION = 300
started = threading.Semaphore(0)
shapes = []


def block():
    started.release()
    time.sleep(10000)


def shape(function):
    shapes.append(function)
    return function


@shape
def plain():
    block()


@shape
def recursion(n=RECURSION):
    if n:
        return recursion(n - 1)
    block()


@shape
def lambdas():
    (lambda a: (lambda b: block())(a))(1)


@shape
def comprehensions():
    [[block() for _ in (1,)] for _ in (1,)]


@shape
def dict_comprehension():
    {x: block() for x in (1,)}


@shape
def generator_expression():
    list(block() for _ in (1,))


def inner_generator():
    yield 1
    block()
    yield 2


def outer_generator():
    yield from inner_generator()


@shape
def generators():
    for _ in outer_generator():
        pass


async def inner_coroutine():
    block()


async def middle_coroutine():
    await inner_coroutine()


@shape
def coroutines():
    middle_coroutine().send(None)


async def async_generator():
    yield 1
    block()


async def async_loop():
    async for _ in async_generator():
        pass


@shape
def async_generators():
    async_loop().send(None)


@shape
def class_body():
    class Outer:
        class Inner:
            block()


@shape
def reentry_by_sort():
    sorted([2, 1], key=lambda x: functools.reduce(lambda a, b: block(), [1, 2]))


@shape
def reentry_by_ctypes():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    array = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL(None).qsort(array, 2, 4, compare(lambda a, b: block() or 0))


class Descriptors:
    @property
    def attribute(self):
        return block()

    def __getattr__(self, name):
        return self.attribute

    def __enter__(self):
        return self.missing

    def __exit__(self, *exc):
        return False

    def __call__(self):
        with self:
            pass

    class Nested:
        @staticmethod
        def static(function):
            return function()


@shape
def methods():
    Descriptors.Nested.static(Descriptors())


def decorate(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@shape
@decorate
@decorate
def decorated():
    block()


@contextlib.contextmanager
def manager():
    try:
        yield
    finally:
        block()


@shape
def context_managers():
    with manager():
        pass


@shape
def handlers():
    try:
        try:
            raise ValueError
        except ValueError:
            raise KeyError
        finally:
            str(0)
    except KeyError:
        block()


def pass_on(*values, last=None):
    return values


@shape
def long_expressions():
    pass_on(
        1,
        pass_on(
            2,
            last=[
                0,
                *(
                    block()
                    if True
                    else None,
                ),
            ],
        ),
    )


@shape
def execs():
    source = "\n" * 700 + "def far():\n    x = (1,\n         block())\n\n\nfar()\n"
    exec(compile(source, "<far away>", "exec"), {"block": block})


@shape
def imported_names():
    for name in ("größe", "имя_функции", "関数", "𝓯𝓾𝓷𝓬_𠀋"):
        exec(compile(f"def {name}(f): return f()\n", f"/tmp/{name}.py", "exec"), globals())
    import unicodedata

    functions = [globals()[unicodedata.normalize("NFKC", n)] for n in ("größe", "имя_функции", "関数", "𝓯𝓾𝓷𝓬_𠀋")]
    functools.reduce(lambda f, g: functools.partial(g, f), functions, block)()


@shape
def long_lines():
    # line numbers that need more than one byte, and a jump back
    source = "def f(block):\n" + "    x = 1\n" * 5000 + "    for _ in (1,\n" + "\n" * 300 + "    ): block()\nf(block)\n"
    exec(compile(source, "x" * 300 + ".py", "exec"), {"block": block})


def sanitised(text):
    return "".join(c if c.isprintable() or ord(c) > 0xFFFF else "\\x%02x" % ord(c) for c in text)


def place(frame):
    """Where the piece of source ends that runs, and its columns (3.11)."""
    code = frame.f_code
    if not hasattr(code, "co_positions"):
        return "?", "?", "?"
    _, end_line, column, end_column = list(code.co_positions())[frame.f_lasti // 2]
    return tuple("?" if n is None else n for n in (end_line, column, end_column))


def truth(out):
    threads = {t.ident: t for t in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        thread = threads[ident]
        print("thread", ident, thread.name, thread.native_id, sep="\t", file=out)
        position = 0
        while frame:
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)  # 3.11
            fields = ("frame", ident, thread.name, position, name, code.co_filename, frame.f_lineno, *place(frame))
            print(*(sanitised(str(f)) for f in fields), sep="\t", file=out)
            position += 1
            frame = frame.f_back


def main():
    sys.setrecursionlimit(20000)
    for function in shapes:
        threading.Thread(target=function, name="wörker 日本 " + function.__name__, daemon=True).start()
        started.acquire()
    time.sleep(0.3)  # all are in their system call
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        truth(out)
    print("ready", flush=True)
    time.sleep(10000)


main()
os._exit(1)
