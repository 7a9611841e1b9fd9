# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=sh
#
# Sourced by the scripts beside it, with $top set to the tree.

say()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

# give_back DIR: what root made under sudo goes to the user who called sudo
give_back()
{
	if [ -n "${SUDO_UID:-}" ] && [ "$SUDO_UID" != 0 ] && [ "$(id -u)" = 0 ] && [ -d "$1" ]; then
		chown -hR "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$1"
	fi
}

# tree_git ARGUMENT...: git on the tree, also when it is another user's than ours (sudo): who runs a
# script of this tree as root has trusted it already.
tree_git()
{
	git -c safe.directory='*' "$@"
}

# tracked PATTERN...: files that git tracks and that are there; all files where there is no git
# history (an unpacked archive). Run from $top.
tracked()
{
	if tree_git rev-parse --git-dir >/dev/null 2>&1; then
		tree_git ls-files -- "$@"
	else
		find . \( -path ./build -o -path ./.git \) -prune -o -type f -print | sed 's|^\./||' | matching "$@"
	fi | while read -r tracked_file; do
		if [ -f "$tracked_file" ]; then echo "$tracked_file"; fi
	done
}

# matching PATTERN...: of the lines of standard input those that one of the patterns matches
matching()
{
	while read -r matching_file; do
		for matching_pattern; do
			# shellcheck disable=SC2254  # a pattern is meant
			case "$matching_file" in
			$matching_pattern) echo "$matching_file" && break ;;
			esac
		done
	done
}
