#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 300
# sanitize: yes
#
# Event loops, such that nobody instrumented and such that are registered, against the clock of the target.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_venv trio uvloop gevent tornado
need_extension

loop=".stall.source == \"loop\""
venv=$(venv_python)
started_all=()

# start_loop PYTHON LIBRARY STEP...: one more target, waiting at its start, in its loop unless $live is
# empty; its truth is in $truth.N
start_loop()
{
	local python=$1 n=${#started_all[@]}

	shift
	STALLS_GO=$tmp/go LOOPS_LIVE=${live-1} start "$python" "$top/tests/targets/loops.py" "$@" >"$truth.$n" 2>"$tmp/target-stderr.$n"
	started_all+=("$started")
	wait_for 30 grep -q '^ready' "$truth.$n" || {
		diag "$python $1 did not start: $(cat "$tmp/target-stderr.$n")"
		exit 1
	}
}

# watch_loops "OPTION...": the loader on all of them, until they have taken their steps and it has left
watch_loops()
{
	local options pids=() each

	read -ra options <<<"$1"
	for each in "${started_all[@]}"; do pids+=(--pid "$each"); done
	rm -f "$records"
	start "$loader" --json --output "$records" --stats "${options[@]}" "${pids[@]}" 2>"$said"
	watcher=$started
	wait_for 30 watches_all "${#started_all[@]}" || diag "the loader does not watch: $(cat "$said" "$records")"
	go
	for each in "${!started_all[@]}"; do
		wait_for 60 grep -q '^done' "$truth.$each" || diag "target $each hangs: $(cat "$tmp/target-stderr.$each")"
		reap "${started_all[$each]}"
	done
	wait_for 20 process_over "$watcher" || diag "the loader did not leave with its targets"
	reap "$watcher"
	json_check "$records" >"$tmp/invalid" 2>&1 || {
		diag "a record does not fit the schema: $(cat "$tmp/invalid")"
		exit 1
	}
	started_all=()
	rm -f "$tmp/go"
}

watches_all()
{
	[ "$(grep -cE 'no perpetuo trackers yet|Successfully' "$records" 2>/dev/null)" = "$1" ]
}

# judge N THRESHOLD NAME: of target N; what it says is in $tmp/result
judge()
{
	/usr/bin/python3 "$top/tests/lib/loop-check.py" "$truth.$1" "$records" "$2" "$3" >"$tmp/result"
}

# result KEY: a figure of the last one
result()
{
	awk -v key="$1" '$1 == key { print $2 }' "$tmp/result"
}

# at_most KEY LIMIT NAME
at_most()
{
	if awk -v a="$(result "$1")" -v b="$2" 'BEGIN { exit !(a != "" && a <= b) }'; then
		ok "$3"
	else
		not_ok "$3" "$1 is $(result "$1"), at most $2 is allowed$(grep '^#' "$tmp/result")"
	fi
}

# true_stalls NAME [MS]: all results of a target that stalls; MS is how far start and total may be off
true_stalls()
{
	at_most missed 0 "$1: each stall is told"
	at_most false 0 "$1: and nothing that was none"
	at_most wrong 0 "$1: with the name of the loop, its thread, and the stack that blocks"
	at_most open 0 "$1: each has an end"
	# half a tick, or half a poll interval, where the machine is not loaded
	at_most start_ms "${2:-40}" "$1: it began when the target says"
	at_most total_ms "${2:-40}" "$1: and lasted as long"
}

# Out of a loop that waits: some interpreters at once.
test_interpreters()
{
	local each n=0

	for each; do start_loop "$each" asyncio idle first; done
	watch_loops "--alert-interval 150ms --traceback-suppress 0"
	for each; do
		judge $n 150 asyncio
		true_stalls "idle, $each"
		n=$((n + 1))
	done
}

test_libraries()
{
	local each n=0

	for each in "${!library[@]}"; do start_loop "$venv" "$each" idle; done
	watch_loops "--alert-interval 150ms --traceback-suppress 0"
	for each in "${!library[@]}"; do
		judge $n 150 "${library[$each]}"
		true_stalls "idle, $each"
		n=$((n + 1))
	done
	is "$(first "$loop and $detected and .stall.task != null" '.stall.task | length > 0')" true \
		"the task that blocks is named"
}

# In a loop that never waits, and in none: one at a time, since they take a CPU each.
test_busy()
{
	local each steps

	for each in asyncio "${!library[@]}"; do
		steps=(quiet:0.2 healthy:1 busy below:0.6)
		# in a program of gevent whatever computes keeps its loop from running
		[ "$each" = gevent ] || steps+=(compute:0.5)
		start_loop "$venv" "$each" "${steps[@]}"
		watch_loops "--alert-interval 150ms --traceback-suppress 0"
		judge 0 150 "${library[$each]:-asyncio}"
		true_stalls "busy, $each"
	done
}

# Loops in threads that come later; a loop that waits for the GIL is part of that stall.
test_threads()
{
	live='' start_loop "$venv" asyncio thread quiet:0.4 held
	watch_loops "--alert-interval 150ms --traceback-suppress 0"
	judge 0 150 asyncio
	at_most missed 0 "threads that came later: each stall is told"
	at_most false 0 "threads that came later: and nothing that was none"
	at_most wrong 0 "threads that came later: of the right loop"
	is "$(count "$detected and .stall.source == \"gil\" and .stall.thread == \"hog\"")" 3 "a loop that waits for the GIL: one stall, of the GIL"
}

# The watch begins in mid-stall.
test_late()
{
	live='' start_loop "$venv" asyncio late:1.5
	go
	sleep 0.5
	watch_loops "--alert-interval 150ms"
	judge 0 150 asyncio
	at_most missed 0 "a stall that began before the watch: it is told"
	at_most start_ms 40 "a stall that began before the watch: with its true start"
	is "$(first "$loop and $detected" .stall.start_exact)" true "a stall that began before the watch: and sure of it"
}

# A step that a tracker marks, too, is told by that alone.
test_tracker()
{
	live='' PYTHONPATH=$build/python start_loop "$venv" trio-tracker idle busy
	watch_loops "--alert-interval 150ms --traceback-suppress 0"
	judge 0 150 Trio
	# the first may come before the tracker is known
	at_most stalls 1 "a tracker of the same thread: it tells, not the loop"
	is "$(count "$detected")" 8 "a tracker of the same thread: each stall is told once"
}

# Loops that the program has registered: seen by every backend, and told once.
test_registered()
{
	local backend off n

	for backend in bpf poll; do
		off=40
		[ $backend = bpf ] || off=80
		for n in asyncio trio; do PYTHONPATH=$build/python start_loop "$venv" $n-registered quiet:0.3 idle busy below:0.3; done
		watch_loops "--backend $backend --alert-interval 150ms --traceback-suppress 0"
		for n in 0 1; do
			judge $n 150 "${named[$n]}"
			true_stalls "registered ${named[$n]}, $backend" $off
			at_most others 0 "registered ${named[$n]}, $backend: each stall is told once"
		done
		is "$(count "$loop and $detected and (.additional_info.name | test(\"^(asyncio|Trio run) loop \\\\(thread 0x[0-9a-f_]+\\\\)$\"))")" \
			"$(count "$loop and $detected")" "registered, $backend: by the name that the program gave"
	done
}

test_sources()
{
	start_loop "$venv" asyncio idle
	watch_loops "--alert-interval 150ms --sources slot,gil"
	is "$(count "$loop")" 0 "without the source nothing is told"
	start_loop "$venv" asyncio idle
	watch_loops "--alert-interval 150ms --sources loop"
	judge 0 150 asyncio
	at_most missed 0 "with nothing but it, it is"
	check_status 1 "the poll backend alone cannot see it" "$loader" --backend poll --sources loop --pid $$
}

named=(asyncio Trio)
declare -A library=([uvloop]=uvloop [tornado]=asyncio [trio]=Trio [gevent]=gevent)
# shellcheck disable=SC2119  # all of them
mapfile -t found < <(pythons)
plan $((6 * (${#found[@]} + 4) + 1 + 6 * 5 + 4 + 3 + 2 + 2 * 15 + 3))
for ((i = 0; i < ${#found[@]}; i += 4)); do test_interpreters "${found[@]:i:4}"; done
test_libraries
test_busy
test_threads
test_late
test_tracker
test_registered
test_sources
