#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# C files are as clang-format makes them. Versions of it differ in details, so one decides; where
# there is another one this is skipped (exit status 4).

version=14

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

format=$(command -v clang-format-$version || command -v clang-format) || die "no clang-format here"
if ! "$format" --version | grep -q "version $version\."; then
	echo "clang-format $version decides, here is $("$format" --version)"
	exit 4
fi
tracked '*.c' '*.h' '*.cpp' | grep -v '^vmlinux/' | xargs -r "$format" --dry-run -Werror
