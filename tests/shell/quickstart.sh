#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 300
# parallel: yes
#
# scripts/quickstart.sh on a copy of the tree that belongs to an ordinary user, as if by sudo: the
# demo, a command and a process without trackers; twice, and without a trace.
. "$(dirname "$0")/../lib/tap.sh"
need_bpf

tree=$tmp/tree
nobody=65534

# What quickstart would install is not a test's to install.
missing=$(for name in $("$top/scripts/install-deps.sh" --print demo); do
	dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q ' installed$' || echo "$name"
done)
[ -z "$missing" ] || skip_all "not installed: ${missing//$'\n'/ }"

copy_tree()
{
	local entry

	chmod 755 "$tmp"
	mkdir "$tree"
	for entry in "$top"/*; do
		[ "${entry##*/}" = build ] || cp -r "$entry" "$tree"
	done
	chown -hR $nobody:$nobody "$tree"
}

quickstart()
{
	SUDO_UID=$nobody SUDO_GID=$nobody SUDO_USER=nobody "$tree/scripts/quickstart.sh" "$@"
}

# demo_left: processes of the demo that still run
demo_left()
{
	local dir line

	for dir in /proc/[0-9]*; do
		line=$({ tr '\0' ' ' <"$dir/cmdline"; } 2>/dev/null)
		[[ $line != *"$tree/scripts/demo"* ]] || echo "${dir#/proc/} $line"
	done
}

# demo NAME: five results
demo()
{
	check_status 0 "$1: quickstart ends well" quickstart
	is "$(grep -c '^\[Warning\] Stall detected (name: shop: request steps' "$tmp/stdout")" 1 "$1: one stall"
	is "$(grep -c '^ *Shop.exchange_rate (.*/shop.py:[0-9]*)$' "$tmp/stdout")" 1 "$1: and the function with the bug"
	is "$(grep -c '^\[Warning\] Stall ended' "$tmp/stdout")" 1 "$1: its end, and no other stall"
	is "$(demo_left)" "" "$1: nothing goes on running"
}

plan 20
copy_tree
demo "the first time"
demo "again at once"

check_status 7 "a command: its exit status is passed on" quickstart -- \
	/usr/bin/python3 -c 'import os, sys, time; time.sleep(4); print(os.getuid()); sys.exit(7)'
is "$(cat "$tmp/stdout")" $nobody "a command: standard output is its own, and it runs as the user"
check "a command: it is dumped" grep -q '^ *> <module> (<string>:1)$' "$tmp/stderr"
check "a command: and the user is told what can be seen of it" grep -q '^What can be seen of it:' "$tmp/stderr"

start /usr/bin/python3 -c 'import time; time.sleep(5)'
check_status 0 "a pid: quickstart ends with the process" quickstart --pid "$started"
check "a pid: it is dumped" grep -q '^ *> <module> (<string>:1)$' "$tmp/stdout"
check "a pid: and said to have no trackers" grep -q 'has no perpetuo trackers yet' "$tmp/stdout"
reap "$started"
check_status 1 "a pid that is none" quickstart --pid "$started"
is "$(cat "$tmp/stderr")" "quickstart.sh: there is no process $started" "is told in one line, before a build"

is "$(find "$tree" -user 0)" "" "nothing in the tree belongs to root"
