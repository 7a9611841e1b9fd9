# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tells when PyPI's perpetuo and perpetuo-bpf lie in one folder.

Both are imported as `perpetuo`, so the files of the one that was installed last replace those of
the other, and uninstalling either takes files away from both.
"""

import os
import warnings

_ADVICE = (
    "uninstall both (pip uninstall perpetuo perpetuo-bpf), then install the one that you want"
)


def _other_distribution(folder: str) -> "str | None":
    """Name of the metadata folder of PyPI's perpetuo in `folder`, if it is there."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return None
    for entry in entries:
        # perpetuo_bpf-1.0.dist-info is our own
        if entry.startswith("perpetuo-") and entry.endswith((".dist-info", ".egg-info")):
            return entry
    return None


def check() -> None:
    """Warns of a mixed installation; ImportError if the other's extension is the one in place."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    other = _other_distribution(folder)
    if other is not None:
        warnings.warn(
            f"perpetuo-bpf and PyPI's perpetuo ({other}) are both installed in {folder} and "
            f"overwrite each other: {_ADVICE}",
            RuntimeWarning,
            stacklevel=3,
        )
    from . import _perpetuo

    if not hasattr(_perpetuo, "SLOT_VERSION"):
        raise ImportError(
            f"{_perpetuo.__file__} belongs to PyPI's perpetuo, not to perpetuo-bpf: {_ADVICE}"
        )
