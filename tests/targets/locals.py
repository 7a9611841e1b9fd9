# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program that stands still with local variables of every kind, and says what they are.

    python3 locals.py TRUTH

In TRUTH: one line of JSON for each variable, [function, name, what must be shown]. Whatever must
not be shown has the text "hunter2" in it. Prints "ready" when all is in place.
"""

import enum
import json
import sys
import threading
import time

MAX_CHARS = 1280
MAX_ITEMS = 10
MAX_ITEM_CHARS = 64
HIDDEN = "<hidden>"
SECRET = "hunter2"


class Plain:
    class Nested:
        pass


class Slotted:
    __slots__ = ("x",)


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    pass


class Listed(list):
    pass


def class_name(cls: type) -> str:
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def long_text(value, limit: int, unit: str) -> str:
    if len(value) <= limit:
        return repr(value)
    return f"{value[:limit]!r}... ({len(value)} {unit})"


def scalar(value, limit: int = MAX_CHARS) -> str:
    """What must be shown of anything but the items of a container."""
    kind = type(value)
    if kind is int and value.bit_length() > 141 * 30:
        sign = "negative " if value < 0 else ""
        return f"<{sign}int, {value.bit_length()} bits>"
    if value is None or kind in (bool, int, float):
        return repr(value)
    if kind is str:
        return long_text(value, limit, "characters")
    if kind is bytes:
        return long_text(value, limit, "bytes")
    if kind in (list, tuple, dict, set, frozenset):
        return f"<{kind.__name__} of {len(value)}>" if value else repr(value)
    if kind is type:
        return repr(value)
    return f"<{class_name(kind)} object at {id(value):#x}>"


def item(value) -> str:
    return scalar(value, MAX_ITEM_CHARS)


def looks_secret(key) -> bool:
    return key in ("password", "--token", b"cookie")


def texts(value) -> "list[str]":
    """Of the first items of a container."""
    if type(value) is dict:
        return [
            f"{item(k)}: {HIDDEN if looks_secret(k) else item(v)}"
            for k, v in list(value.items())[:MAX_ITEMS]
        ]
    items = list(value)[:MAX_ITEMS]
    before = [None, *items] if type(value) in (list, tuple) else [None] * len(items)
    return [HIDDEN if looks_secret(b) else item(v) for b, v in zip(before, items)]


def shown(value) -> str:
    kind = type(value)
    if kind not in (list, tuple, dict, set, frozenset) or not value:
        return scalar(value)
    inside = ", ".join(texts(value))
    if len(value) > MAX_ITEMS:
        inside += f", ... {len(value) - MAX_ITEMS} more"
    elif kind is tuple and len(value) == 1:
        inside += ","
    brackets = {list: "[]", tuple: "()", dict: "{}", set: "{}", frozenset: "{}"}[kind]
    text = brackets[0] + inside + brackets[1]
    return f"frozenset({text})" if kind is frozenset else text


def tell(function, values: dict, hidden: "tuple[str, ...]" = ()) -> None:
    """VALUES as locals() gives them; names that have no value are not in there."""
    code = function.__code__
    names = [*code.co_varnames]
    names += [name for name in code.co_cellvars if name not in names]
    names += code.co_freevars
    with open(sys.argv[1], "a", encoding="utf-8") as file:
        for name in names:
            text = HIDDEN if name in hidden else shown(values[name]) if name in values else None
            line = [code.co_name, name, text]
            print(json.dumps(line, ensure_ascii=False, separators=(",", ":")), file=file)


def scalars() -> None:
    none, yes, no = None, True, False
    zero, one, minus, digit = 0, 1, -1, 2**30 - 1
    digits, big, negative = 2**30, 3**100, -(7**300)
    most, more, less = 2**4230 - 1, 2**4230, -(10**5000)
    half, third, tiny, huge = 0.5, 1 / 3, 5e-324, 1.7976931348623157e308
    whole, small, power, null = 1e16, 1e-5, 2.0**-44, -0.0
    nan, inf, minus_inf = float("nan"), float("inf"), -float("inf")
    tell(scalars, locals())
    texts_and_bytes(1)


def texts_and_bytes(argument, *rest, flag: bool = True, **others) -> None:
    empty, single, double, both = "", "it's", '"', "'\""
    control, separators = "\x00\t\n\r\x1b[2J\x7f\x80", "\u2028\u202e\u200b\ufeff\xa0"
    latin, bmp, astral, lone = "Zoë", "日本語", "\U0001f600\U000e0001", "\ud800\udcff"
    exact, long, wide = "a" * MAX_CHARS, "b" * 5000, "語" * (MAX_CHARS + 1)
    no_bytes, some, quotes, many = b"", bytes(range(256)), b"'\"", b"\xff" * 2000
    größe, имя, 名前 = "größe", "имя", "名前"
    tell(texts_and_bytes, locals())
    containers()


def containers() -> None:
    empty = [(), [], {}, set(), frozenset()]
    one, nested = (1,), [[], [1], {2: 3}, (4, 5), {6}, frozenset({7}), {}, set()]
    ten, eleven, thousands = list(range(10)), tuple(range(11)), list(range(100000))
    mixed = [None, True, 1.5, "x" * 100, b"y" * 100, 10**3000, Plain, "'"]
    names, numbers = {"a": 1, "b": None}, {i: str(i) for i in range(5000)}
    worn = {i: i for i in range(40)}
    for i in range(30):
        del worn[i]
    few, lots, frozen = {1}, set(range(1000)), frozenset({"z"})
    shrunk = set(range(100))
    shrunk -= set(range(2, 100))
    cycle: list = [1]
    cycle.append(cycle)
    tell(containers, locals())
    objects()


def objects() -> None:
    plain, nested, slotted = Plain(), Plain.Nested(), Slotted()
    number, text, listed = Number.ONE, Text("x"), Listed([1])
    cls, builtin, function, method = Plain, int, objects, [].append
    error, module, view, lock = ValueError("x"), sys, memoryview(b""), threading.Lock()
    several = [plain, Plain, error]
    tell(objects, locals())
    secrets(SECRET)


def secrets(password: str, *args: str) -> None:
    api_key = aws_secret_access_key = SESSION_TOKEN = PrivateKey = SECRET
    auth = key = my_keys = credentials = cookie_jar = [SECRET]
    secret_number = 0x68756E74657232
    settings = {"password": SECRET, "user": "me", b"cookie": SECRET}
    argv = ["server", "--token", SECRET, "--verbose"]
    monkey = author = tokenizer = keyboard = pinned = "seen"
    hidden = (
        "password api_key aws_secret_access_key SESSION_TOKEN PrivateKey auth key my_keys "
        "credentials cookie_jar secret_number"
    )
    tell(secrets, locals(), tuple(hidden.split()))
    cells(1, 2)


def cells(kept: int, argument: int) -> None:
    shared, later = [1], "in a cell"
    if not kept:
        never = argument

    def inner(own: int) -> None:
        nonlocal later
        del own
        tell(inner, locals())
        many(kept, argument, shared, later, lambda: never)

    tell(cells, locals())
    inner(5)


def many(*args) -> None:
    scope: dict = {"time": time}
    lines = [f"    v{i} = {i}" for i in range(70)]
    exec("\n".join(["def seventy():", *lines, "    print('ready', flush=True)",
                    "    time.sleep(1000)"]), scope)
    scope["seventy"]()


scalars()
