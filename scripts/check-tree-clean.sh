#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# check-tree-clean.sh: nothing that is made lies outside build/, and nothing in a user's tree
# belongs to root.
# check-tree-clean.sh --print: the state of the tree, to be kept in FILE.
# check-tree-clean.sh --since FILE: and it is still the same.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

tree_git rev-parse --git-dir >/dev/null 2>&1 || { echo "no git history here" && exit 4; }

state()
{
	# Optional locks off: looking must not write an index that then belongs to root.
	tree_git --no-optional-locks status --porcelain --untracked-files=all
}

if [ "${1:-}" = --print ]; then
	state
	exit 0
fi

bad=$(
	tree_git ls-files --others --ignored --exclude-standard --directory | grep -v '^build/$' |
		sed 's/$/: made outside of build\//'
	if [ "$(stat -c %u .)" != 0 ]; then
		# Whoever made build/ gives it back at the end of all (give_back).
		find . -path ./build -prune -o -user 0 -print | sed 's/$/: belongs to root/'
	fi
	if [ "${1:-}" = --since ]; then
		state | grep -vxF -f "$2" | sed 's/$/: changed or new since the start/'
	fi
)
[ -z "$bad" ] || { echo "$bad" && exit 1; }
