#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# fetch-pythons.sh: interpreters for the tests that Debian 12 and 13 do not have, into the user's
# cache, where tests/lib/tap.sh finds them. Out of Debian sid: a root of its own and, for each
# interpreter, a program beside it that runs it with the root's /usr in place of ours, in a mount
# namespace of its own. Debug builds that few tests want (debug_pythons) are in a folder of their own;
# those that the archive does not have are left out. Free-threaded ones, which Debian does not have, out of the archives
# cpython-3.*t-*.tar.xz in $PERPETUO_TEST_PYTHONS (../shared/pythons beside the checkout), if there
# are any. Exit status 4: some cannot be had here, and why.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"

# python3.15-dbg is CPython's debug build.
interpreters="python3.13 python3.14 python3.15 python3.15-dbg"
debug="python3.13-dbg python3.14-dbg"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/perpetuo-bpf-tests
archives=${PERPETUO_TEST_PYTHONS:-$top/../shared/pythons}
limit=240

skip()
{
	say "$*"
	exit 4
}

# usable: all of them are there and run, and the debug builds were asked for
usable()
{
	[ -d "$cache/debug" ] || return 1
	for name in $interpreters; do
		"$cache/bin/$name" -I -c '' 2>/dev/null || return 1
	done
}

# wrap NAME FOLDER: the program in it that runs NAME
wrap()
{
	cat >"$2/$1" <<-EOF
		#!/bin/sh
		# Made by fetch-pythons.sh.
		root=\$(cd "\$(dirname "\$0")/../sid" && pwd) || exit 1
		exec unshare -m sh -c 'mount --bind "\$0/usr" /usr && exec "\$@"' "\$root" /usr/bin/$1 "\$@"
	EOF
	chmod 755 "$2/$1"
}

# unpack ARCHIVE: an interpreter whose folder is named as it is, py3.14t/bin/python3.14t
unpack()
{
	version=${1##*/cpython-}
	version=$(echo "$version" | sed -n 's/^\(3\.[0-9]*\)\.[0-9]*t-.*/\1t/p')
	[ -n "$version" ] && [ "$(uname -m)" = x86_64 ] || return 0
	program=$cache/bin/python$version
	[ ! -L "$program" ] && "$program" -I -c '' 2>/dev/null && return
	say "unpacking CPython $version"
	mkdir -p "$cache/free" "$cache/bin" || exit 1
	tar -C "$cache/free" -xJf "$1" || die "cannot unpack $1"
	# No link: an interpreter looks for its library beside the name that it was called by.
	rm -f "$program"
	cat >"$program" <<-EOF
		#!/bin/sh
		# Made by fetch-pythons.sh.
		exec "\$(dirname "\$0")/../free/py$version/bin/python$version" "\$@"
	EOF
	chmod 755 "$program"
	"$program" -I -c '' || die "the Python of $1 does not run"
}

# trusted PATH: it belongs to root, to us or to whom this tree belongs. What is unpacked is run, by
# root perhaps, and beside a checkout in /tmp anybody can make a folder.
trusted()
{
	owner=$(stat -L -c %u "$1" 2>/dev/null) || return 1
	[ "$owner" = 0 ] || [ "$owner" = "$(id -u)" ] || [ "$owner" = "$(stat -c %u "$top")" ]
}

for archive in "$archives"/cpython-3.*t-*.tar.xz; do
	[ -e "$archive" ] || continue
	if trusted "$archives" && trusted "$archive"; then
		unpack "$archive"
	else
		say "another user's, and not unpacked: $archive"
	fi
done
if usable; then exit 0; fi
[ "$(id -u)" = 0 ] || skip "making a Debian root needs root: no CPython 3.14 and 3.15"
command -v mmdebstrap >/dev/null || skip "mmdebstrap is not installed: no CPython 3.14 and 3.15"
mkdir -p "$cache/bin" || exit 1
say "making a root with Debian sid's Pythons in $cache (about a minute)"
rm -rf "$cache/sid.new"
trap 'rm -rf "$cache/sid.new"' EXIT
# Snapshots that stand in for the archive may be older than they say they are good for.
# shellcheck disable=SC2016  # the dollars are the hook's
timeout "$limit" mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
	--include="$(echo "$interpreters" | tr ' ' ,)" \
	--customize-hook='for name in '"$debug"'; do
		chroot "$1" apt-get install -qq --no-install-recommends "$name" >/dev/null || echo "no $name"
	done' sid "$cache/sid.new" </dev/null >&2 ||
	skip "mmdebstrap could not make it (is there a network?): no CPython 3.14 and 3.15"
rm -rf "$cache/sid" "$cache/debug"
mv "$cache/sid.new" "$cache/sid" || exit 1
mkdir "$cache/debug" || exit 1
for name in $interpreters; do wrap "$name" "$cache/bin"; done
for name in $debug; do
	if [ -x "$cache/sid/usr/bin/$name" ]; then wrap "$name" "$cache/debug"; fi
done
usable || die "the Pythons in $cache/bin do not run"
