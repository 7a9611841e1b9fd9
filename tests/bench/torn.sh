#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# torn.sh BUILD [DUMPS]: how many stacks are wrong of those that are shown, in the worst case: two
# threads that only call and return (tests/targets/walk_busy.py), without the kernel's help and with
# the tick. Exact ones may never be. A table; exit status 1 when an exact one was wrong.

BUILD=$1
. "$(dirname "$0")/../lib/tap.sh"
dumps=${2:-20000}
bad=0

# row VERSION KIND BY WORD...: the words are what the counters print: name, number, name, number ...
row()
{
	local version=$1 kind=$2 by=$3 of=$4

	shift 4
	printf '%-8s%-6s%-6s%9d%9d%7d%10s%7s%7s\n' "$version" "$kind" "$by" "$of" "$@"
	[ "$2" = 0 ] || bad=1
}

one()
{
	local python=$1 kind=$2 version counts=()

	version=$(python_version "$python")
	: >"$tmp/ready"
	start "$python" "$top/tests/targets/walk_busy.py" "$kind" >"$tmp/ready"
	wait_for 30 grep -q ready "$tmp/ready" || return
	read -ra counts < <("$build/tests/unit/test_walk" count "$started" "$dumps" | tail -n 1)
	row "$version" "$kind" reads "$dumps" "${counts[1]}" "${counts[3]}" "${counts[5]}" "${counts[7]}" "${counts[9]}"
	read -ra counts < <("$build/tests/unit/test_bpf_walk" count "$started" "$dumps" | tail -n 1)
	row "$version" "$kind" tick "$dumps" "${counts[3]}" "${counts[5]}" $((counts[1] - counts[3])) - -
	stop "$started"
}

printf '%-8s%-6s%-6s%9s%9s%7s%10s%7s%7s\n' version kind by dumps exact wrong unstable wrong none
# shellcheck disable=SC2119  # all of them
for interpreter in $(pythons); do
	for shape in spin gen; do one "$interpreter" "$shape"; done
done
exit $bad
