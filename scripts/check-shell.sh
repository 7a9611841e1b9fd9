#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Shell scripts, known by their name or their first line, are clean for shellcheck.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

tracked '*' | while read -r file; do
	case "${file##*/}" in
	*.sh | *.bash) echo "$file" ;;
	*.*) ;;
	*) if head -n 1 "$file" | grep -qE '^#!.*[/ ](ba)?sh$'; then echo "$file"; fi ;;
	esac
done | xargs -r shellcheck -x
