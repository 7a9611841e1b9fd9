#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# C files are as clang-format makes them. Versions of it differ in details, so one decides; where
# there is another one this is skipped (exit status 4).

version=14

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

# scripts/install-deps.sh gets it from PyPI, for a Debian that has another one.
packages=${XDG_CACHE_HOME:-$HOME/.cache}/perpetuo-bpf-tests/packages
for format in clang-format-$version clang-format "$packages/clang-format/clang_format/data/bin/clang-format" ""; do
	[ -n "$format" ] || { echo "clang-format $version decides, and is not here" && exit 4; }
	if "$format" --version 2>/dev/null | grep -q "version $version\."; then break; fi
done
tracked '*.c' '*.h' '*.cpp' | grep -v '^vmlinux/' | xargs -r "$format" --dry-run -Werror
