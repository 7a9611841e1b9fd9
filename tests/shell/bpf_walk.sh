#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 180
# sanitize: yes
# parallel: yes
#
# Stacks of running Python threads, taken by the tick that interrupts them: whole, and none of them
# wrong, while the target calls and returns all the time.

. "$(dirname "$0")/../lib/tap.sh"
need_bpf

walks=300
# shellcheck disable=SC2119  # all of them
mapfile -t known < <(pythons)
[ ${#known[@]} -gt 0 ] || skip_all "no CPython from 3.9 on"
plan $((${#known[@]} * 6))

# test_kind PYTHON VERSION KIND
test_kind()
{
	local counts

	: >"$tmp/ready"
	start "$1" "$top/tests/targets/walk_busy.py" "$3" >"$tmp/ready" 2>"$tmp/target.err"
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $(tail -n 3 "$tmp/target.err")"
	counts=$("$build/tests/unit/test_bpf_walk" count "$started" "$walks" | tail -n 1)
	diag "$2 $3: $counts"
	is "$(cut -f 5,6 <<<"$counts")" "wrong	0" "$2 $3: no stack of a running thread is wrong"
	# some walks meet both threads off CPU
	check "$2 $3: most of them are exact" test "$(cut -f 4 <<<"$counts")" -ge $((walks / 2))
	stop "$started"
}

for python in "${known[@]}"; do
	version=$(python_version "$python")
	test_kind "$python" "$version" spin
	test_kind "$python" "$version" gen
	test_kind "$python" "$version" step
done
