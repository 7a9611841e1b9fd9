# SPDX-License-Identifier: MIT OR Apache-2.0
"""Builds the extension; everything that is not about it stands in pyproject.toml."""

import os
import shutil
import sys
import sysconfig

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = os.path.join("bpf", "slot_abi.h")
# In a checkout the header lies beside pyext/; an sdist carries its own copy.
CHECKOUT = os.path.dirname(HERE)
CARRIED = os.path.join(HERE, "include")

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def include_dir() -> str:
    for folder in (CARRIED, CHECKOUT):
        if os.path.exists(os.path.join(folder, HEADER)):
            return folder
    sys.exit(
        f"perpetuo-bpf: {HEADER} is neither in {CARRIED} nor in {CHECKOUT}: build from a checkout "
        "or from an sdist (a pip older than 21.3 copies the folder and loses it: upgrade pip)"
    )


class CarryHeader(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        target = os.path.join(base_dir, "include", HEADER)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(include_dir(), HEADER), target)


setup(
    cmdclass={"sdist": CarryHeader},
    ext_modules=[
        Extension(
            "perpetuo._perpetuo",
            sources=[
                "src/loop.c",
                "src/module.c",
                "src/page.c",
                "src/registry.c",
                "src/slot.c",
                "src/thread.c",
                "src/tracker.c",
                "src/watch.c",
            ],
            depends=[
                "src/module.h",
                "src/page.h",
                "src/registry.h",
                "src/slot.h",
                "src/thread.h",
                "src/watch.h",
            ],
            include_dirs=[include_dir()],
            define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", "0x03090000")],
            extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-pthread"],
            extra_link_args=["-pthread"],
            py_limited_api=not FREE_THREADED,
        )
    ],
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp39"}},
)
