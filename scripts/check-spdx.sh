#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Every file says its licence in its first line, or in the second below a "#!". Exempt are files
# that cannot hold a comment or are data.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

bad=$(
	tracked '*' | while read -r file; do
		[ -s "$file" ] || continue
		case "$file" in
		LICENSES/* | *.md | *.json | .clang-format | tests/data/* | tests/fuzz/corpus/*) continue ;;
		bpf/* | vmlinux/*) want='GPL-2.0-only OR MIT' ;;
		*) want='MIT OR Apache-2.0' ;;
		esac
		line=$(sed -n '1{/^#!/d;p;q};2{p;q}' "$file" | tr -d '\0')
		case "$line" in
		*"SPDX-License-Identifier: $want" | *"SPDX-License-Identifier: $want "[*-]*) ;;
		*) echo "$file:1: no 'SPDX-License-Identifier: $want'" ;;
		esac
	done
)
[ -z "$bad" ] || { echo "$bad" && exit 1; }
