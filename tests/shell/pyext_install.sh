#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 300
# parallel: yes
#
# pip install ./pyext from a checkout and from an sdist, and beside PyPI's perpetuo.
. "$(dirname "$0")/../lib/tap.sh"
. "$top/tests/lib/pyext.sh"

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# An interpreter that can make a venv with pip in it.
usable=()
for version in 3.9 3.11 3.13 3.14t; do
	while read -r python; do
		"$python" -Im ensurepip --version >/dev/null 2>&1 || continue
		usable+=("$python")
		break
	done < <(pythons "$version")
done
[ "${#usable[@]}" -gt 0 ] || skip_all "no Python here has pip"

# The build writes into its folder: a copy, without what others built there.
mkdir -p "$tmp/tree/bpf"
cp "$top/bpf/slot_abi.h" "$tmp/tree/bpf/"
cp -r "$top/pyext" "$tmp/tree/"
rm -rf "$tmp/tree/pyext/build" "$tmp/tree/pyext/dist"

"${usable[0]}" -m venv "$tmp/first"
"$tmp/first/bin/pip" download -q --no-deps -d "$tmp/probe" "setuptools>=61" >/dev/null 2>&1 ||
	skip_all "PyPI, where pip gets setuptools, cannot be reached"

use='import perpetuo, threading
t = perpetuo.StallTracker("installed", threading.get_ident())
t.go_idle()
assert perpetuo.__file__.startswith(__import__("sys").prefix), perpetuo.__file__
import importlib.resources, sys
if hasattr(sys, "_is_gil_enabled"):
	import sysconfig
	assert sys._is_gil_enabled() != bool(sysconfig.get_config_var("Py_GIL_DISABLED"))'

plan $((2 * ${#usable[@]} + 6))
for python in "${usable[@]}"; do
	version=$(python_version "$python")
	"$python" -m venv "$tmp/$version"
	check "$version: pip install ./pyext" "$tmp/$version/bin/pip" install -q "$tmp/tree/pyext"
	check "$version: it runs" "$tmp/$version/bin/python" -c "$use"
done

venv=$tmp/first
check "PyPI's build is installed" "$venv/bin/pip" install -q build
check "an sdist is made" "$venv/bin/python" -m build -q --sdist -o "$tmp/dist" "$tmp/tree/pyext"
check "it carries the header" sh -c "tar -tzf '$tmp'/dist/*.tar.gz | grep -q include/bpf/slot_abi.h"
check "it can be installed" sh -c "'$venv/bin/pip' install -q '$tmp'/dist/*.tar.gz && cd / && '$venv/bin/python' -c '$use'"

# The original over ours: its files replace ours, and it does not know. Ours over it: said.
"$venv/bin/pip" uninstall -q -y perpetuo-bpf
"$venv/bin/pip" install -q perpetuo
"$venv/bin/pip" install -q "$tmp/tree/pyext"
"$venv/bin/python" -c 'import perpetuo' 2>"$tmp/mixed"
check "a mixed installation is told" grep -q "PyPI's perpetuo (perpetuo-.* both installed" "$tmp/mixed"
"$venv/bin/pip" uninstall -q -y perpetuo
# What pip has left of ours, with the original's extension in the place of ours.
"$venv/bin/pip" install -q --force-reinstall --no-deps "$tmp/tree/pyext"
"$venv/bin/pip" download -q --no-deps -d "$tmp/original" perpetuo
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
"$venv/bin/python" -m zipfile -e "$tmp"/original/*.whl "$tmp/original"
cp "$tmp/original/perpetuo/_perpetuo.abi3.so" "$site/perpetuo/"
"$venv/bin/python" -c 'import perpetuo' 2>"$tmp/foreign"
check "the original's extension is told" grep -q "belongs to PyPI's perpetuo" "$tmp/foreign"
