#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 400
# sanitize: yes
#
# Threads of stock CPythons that wait for the GIL, against the clock of the target.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq

floor=100
gil=".stall.source == \"gil\""

# start_gil PYTHON STEP...: the target that tells of gaps from $floor ms on, waiting at its start; pid in $target
start_gil()
{
	local python=$1

	shift
	GIL_FLOOR=$floor start_target "$python" "$top/tests/targets/gil.py" "$@"
}

# watch_gil PYTHON "OPTION..." STEP...: all of it; what it says is in $tmp/result
watch_gil()
{
	local python=$1 options threshold

	read -ra options <<<"$2"
	threshold=${options[1]%ms}
	floor=$((threshold < 100 ? threshold - 10 : 100))
	shift 2
	start_gil "$python" "$@"
	rm -f "$records"
	start "$loader" --json --output "$records" --stats --alert-interval "${options[@]:1}" --pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 grep -qE 'no perpetuo trackers yet|Successfully' "$records" || {
		diag "the loader does not watch: $(cat "$said" "$records" 2>/dev/null)"
		exit 1
	}
	go
	finish
	/usr/bin/python3 "$top/tests/lib/gil-check.py" "$truth" "$records" "$threshold" >"$tmp/result"
}

# result KEY: a figure of the last watch
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

# One thread keeps the GIL, another one wants it.
test_hogs()
{
	watch_gil "$1" "--alert-interval 100ms" hog sum:0.4 regex:0.3 quit
	at_most missed 0 "$2: each wait for a hog is told"
	at_most false 0 "$2: and nothing that was none"
	at_most wrong 0 "$2: the hog is the responsible thread"
	at_most open 0 "$2: each has an end"
	at_most start_ms 10 "$2: it began when the target says"
	at_most total_ms 10 "$2: and lasted as long"
	is "$(first "$gil and $detected" '.stall_details.relevant_traces[0][-1].name | split(".")[-1]')" keep_the_gil \
		"$2: its stack is the first"
	is "$(first "$gil and $detected" '.stall.note | test("1 thread waits for the GIL; victim waited 1[0-9]{2} ms for it while hog held it")')" \
		true "$2: the sentence says who waits for whom"
}

# Nobody is slow, but eight want it; one lets go all the time, but takes it again at once.
test_contention()
{
	watch_gil "$1" "--alert-interval 50ms" retake:0.4 eight:1.5
	at_most missed 0 "$2: long waits in a queue and for one who retakes the GIL are told"
	at_most false 0 "$2: and only such"
	at_most open 0 "$2: each has an end"
	at_most kind 1 "$2: the kind of each is told"
	check "$2: the sentence says how often it went to another thread" \
		test "$(count "$gil and $ended and (.stall.note | test(\"in a queue, while it went to another thread [0-9]+ times\"))")" -ge 1
	check "$2: and that it was retaken" \
		test "$(count "$gil and (.stall.note | test(\"while hog let go and took it again [0-9]+ times\"))")" -ge 1
}

# Contention that is none, or of which nothing sure is known: what is told must be true.
test_healthy()
{
	watch_gil "$1" "--alert-interval 200ms" alone:0.5 two:1 yield:1 reads:1 receive:1 released:0.6
	at_most false 0 "$2: healthy threads are not told to wait, and others only when they do"
	at_most open 0 "$2: what is told has an end"
}

# Several that wait for the same are one stall; the queue behind the hog is shorter than the threshold.
test_many()
{
	watch_gil "$python" "--alert-interval 400ms" many:0.8
	is "$(result stalls)" 1 "five victims: one stall"
	at_most false 0 "five victims: in the time of the hog"
	is "$(first "$gil and $ended" '.stall.note | test("^[2-5] threads waited|^it may have")')" true \
		"five victims: they are counted"
}

test_sources()
{
	watch_gil "$python" "--alert-interval 100ms --sources slot" hog:0.3
	is "$(result stalls)" 0 "without the source nothing is told"
	watch_gil "$python" "--alert-interval 100ms --sources gil" hog:0.3
	at_most missed 0 "with nothing but it, it is"
	check_status 1 "the poll backend alone cannot see it" "$loader" --backend poll --sources gil --pid $$
	is "$(grep -c 'does not see waits for the GIL' "$tmp/stderr")" 1 "and says so"
}

test_lives()
{
	start_gil "$python" hog:30
	rm -f "$records"
	start "$loader" --json --output "$records" --alert-interval 100ms --pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 grep -q 'its GIL are watched' "$records" || diag "not watched: $(cat "$said")"
	go
	wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
	kill -KILL "$target"
	wait_for 20 process_over "$watcher" || diag "the loader did not leave"
	reap "$watcher"
	is "$status" 0 "killed in mid-wait: the loader leaves with 0"
	is "$(count "$gil and $ended")" 1 "killed in mid-wait: the end is told"
	check "killed in mid-wait: its records are valid" json_check "$records"
}

# one of each, the oldest and the newest among them
found=()
for each in 3.9 3.11 3.12 3.13 3.15; do
	python=$(pythons "$each" | head -n 1)
	[ -z "$python" ] || found+=("$python")
done
[ "${#found[@]}" -gt 0 ] || tap_need_failed python "no CPython 3.9 to 3.15"
python=${found[0]}
plan $((8 * ${#found[@]} + 26))
for each in "${found[@]}"; do
	test_hogs "$each" "$("$each" -I -c 'import platform; print(platform.python_version())')"
done
for each in "${found[0]}" "${found[-1]}"; do
	test_contention "$each" "$(python_version "$each")"
	test_healthy "$each" "$(python_version "$each")"
done
test_many
test_sources
test_lives
