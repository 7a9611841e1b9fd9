#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 200
# sanitize: yes
#
# Threads that wait for a GIL other than the one there always was: of subinterpreters that are made
# while the process is watched, or switched back on in a free-threaded build; and threads of such a
# build that wait for the world to stop. Against the clock of the target.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq

# watch_interp SOURCE TARGET PYTHON ARG...: all of it; what it says is in $tmp/result
watch_interp()
{
	local source=$1 program=$2

	shift 2
	rm -f "$records"
	WORLD_FLOOR=90 GIL_FLOOR=90 start_target "$1" "$top/tests/targets/$program" "${@:2}"
	start "$loader" --json --output "$records" --alert-interval 100ms --traceback-suppress 0 --sources gil --pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 grep -q Successfully "$records" || diag "the loader does not watch: $(cat "$said")"
	go
	finish
	SOURCE=$source /usr/bin/python3 "$top/tests/lib/gil-check.py" "$truth" "$records" 100 >"$tmp/result"
}

# told NAME: each long wait is told with who is to blame, and nothing else is
told()
{
	local key

	for key in missed false wrong open; do
		is "$(awk -v key="$key" '$1 == key { print $2 }' "$tmp/result")" 0 "$1: $key"
	done
	[ "$(wc -l <"$tmp/result")" -le 12 ] || diag "$(grep '^#' "$tmp/result")"
}

test_world()
{
	watch_interp stw world.py "$1" hog:0.3 hog:0.3 many:0.7 sleep:0.3
	told "$2: who does not stop"
	is "$(first "$detected" .stall.note | grep -cE '^MainThread asked all threads to stop and has waited for [0-9]+ ms: hog has not, [0-9]+ others have$')" \
		1 "$2: the sentence says who asked and who does not stop"
	is "$(first "$detected" '.stall_details.relevant_traces[0][-1].name | split(".")[-1]')" do_not_stop \
		"$2: its stack is the first"
	# where CPUs are short, some are over before anybody looks
	check "$2: it is named more than once" test "$(count "$detected and .stall.thread == \"hog\"")" -gt 1
}

test_gil_switched_on()
{
	PYTHON_GIL=1 watch_interp gil gil.py "$1" hog:0.3
	told "$2 with its GIL switched on"
}

test_subinterp()
{
	watch_interp gil subinterp.py "$1" own 0.3
	told "$2: a GIL that comes later"
	[ "$2" = 3.14 ] || return
	watch_interp gil subinterp.py "$1" shared 0.3
	told "$2: the GIL that all share"
}

mapfile -t free < <(for v in 3.13t 3.14t; do pythons "$v" | head -n 1; done)
# up to 3.12 who waits for a GIL that is shared asks its own interpreter for it, and may starve for minutes
mapfile -t owners < <(for v in 3.12 3.14; do pythons "$v" | head -n 1; done)
[ $((${#free[@]} + ${#owners[@]})) -gt 0 ] || tap_need_failed python "no CPython 3.12, 3.14, 3.13t, 3.14t"
newest=0
for each in "${owners[@]}"; do
	[ "$(python_version "$each")" != 3.14 ] || newest=4
done
plan $((11 * ${#free[@]} + 4 * ${#owners[@]} + newest))
for each in "${free[@]}"; do
	test_world "$each" "$(python_version "$each")"
	test_gil_switched_on "$each" "$(python_version "$each")"
done
for each in "${owners[@]}"; do
	test_subinterp "$each" "$(python_version "$each")"
done
