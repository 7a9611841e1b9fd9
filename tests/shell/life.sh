#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
#
# What is told of a stall from its beginning to its end, and what not.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_extension

continues='.stall.event == "continues"'

# Its second function begins at 0.5 s.
test_continues()
{
	local is_move='.additional_info.name == "move"'

	watch_steps "--backend $1 --alert-interval 100ms" idle:0.1 move:0.5
	is "$(all "$is_move" .stall.event)" "detected continues continues continues ended" \
		"$1: told at 1, 2, 4 and 8 times the threshold, and when it ends"
	is "$(all "$is_move" .stall.id | tr ' ' '\n' | sort -u | wc -l)" 1 "$1: with one id"
	# a report is written late where CPUs are short, but never early
	is "$(all "$continues" '(.stall.duration_ms / 100 | floor | if . >= 8 then 8 elif . >= 4 then 4 else 2 end)')" \
		"2 4 8" "$1: not before their time"
	is "$(all "$is_move and .stall.event != \"ended\"" '(.stall.threads[] | select(.responsible).same)')" \
		"false true true false" "$1: a stack that did not move is said to be the same"
	is "$(all "$is_move and .stall.event != \"ended\"" '.stall_details.relevant_traces[0][-1].name')" \
		"stuck_in_sleep stuck_in_sleep stuck_in_sleep stuck_elsewhere" "$1: one that moved is shown"
	is "$(all "$continues" '(.stall_details.relevant_traces[0] | length == 1)')" "true true false" \
		"$1: only that one, in whole"
}

test_gil_continues()
{
	local is_gil='.stall.source == "gil"'

	STALLS_GO=$tmp/go start python3 "$top/tests/targets/gil.py" hog:0.9 >"$truth" 2>"$tmp/target-stderr"
	target=$started
	rm -f "$tmp/go"
	wait_for 20 grep -q '^ready' "$truth" || diag "no target: $(cat "$tmp/target-stderr")"
	start_watch --sources gil --alert-interval 100ms
	go
	finish
	# the hog has it three times; where CPUs are short there may be other waits
	is "$(jq -s "map(select($is_gil)) | group_by(.stall.id) | map(map(.stall.event) | join(\" \")) |
		map(select(test(\"^detected continues continues (continues )?ended\"))) | length >= 2" "$records")" true \
		"a wait for the GIL continues, too"
	is "$(first "$is_gil and $continues" '.stall.note | test("waited [2-9][0-9]{2} ms for it while hog held it")')" true \
		"and says for how long by now"
	is "$(first "$is_gil and $continues" '.stall.threads[] | select(.responsible) | "\(.name) \(.same)"')" "hog true" \
		"with the thread that has not moved"
}

# Due at 200 ms, and stopped before.
test_stopped()
{
	start_stalls idle:0.1 sleep:1
	start_watch --backend "$1" --alert-interval 500ms
	go
	wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
	kill -STOP "$target"
	sleep 1.5
	is "$(count "$continues")" 0 "$1: a stall of a stopped target does not continue"
	kill -CONT "$target"
	finish
	is "$(count "$ended")" 1 "$1: its end is told"
}

# Names come and go in the same slot, without a word to the loader.
test_thresholds()
{
	watch_steps "--backend $1 --sources slot --alert-interval 300ms --threshold fast*=50ms --threshold slow=600ms" \
		idle:0.1 sleep:0.2:other sleep:0.2:fast-1 sleep:0.5:slow sleep:0.2:other sleep:0.2:fast-2 sleep:0.5:plain \
		sleep:0.9:slow idle:0.1
	is "$(all "$detected" .additional_info.name)" "fast-1 fast-2 plain slow" "$1: each tracker has its threshold"
	is "$(all "$ended" .additional_info.name)" "fast-1 fast-2 plain slow" "$1: only what was told has an end"
	is "$(all "$detected" '(.stall.duration_ms >= (if .additional_info.name == "slow" then 600 else 50 end))')" \
		"true true true true" "$1: none is told too early"
	is "$(all "$detected" '(.stall.threads[] | select(.responsible).exact)')" "true true true true" \
		"$1: with its stack"
}

# The loader does not run when the stall crosses its threshold, nor when it ends.
test_late()
{
	start_stalls sleep:0.8:slow idle:1.5
	start_watch --backend bpf --sources slot --alert-interval 100ms --threshold slow=600ms
	go
	sleep 0.4
	kill -STOP "$watcher"
	sleep 1
	kill -CONT "$watcher"
	finish
	is "$(all '.stall' .stall.event)" "detected ended" "who is looked at too late is told all the same"
	near "$(first "$ended" .stall.duration_ms)" 800 50 "with its total"
}

test_gil_threshold()
{
	STALLS_GO=$tmp/go start python3 "$top/tests/targets/gil.py" hog:0.4 >"$truth" 2>"$tmp/target-stderr"
	target=$started
	rm -f "$tmp/go"
	wait_for 20 grep -q '^ready' "$truth" || diag "no target: $(cat "$tmp/target-stderr")"
	start_watch --sources gil --alert-interval 50ms --gil-threshold 10s
	go
	finish
	is "$(count "$detected")" 0 "waits for the GIL have a threshold of their own"
}

# 130 stalls of 12 ms, 20 of another tracker's on the way. Told of the first: 100, and 10 a second.
test_rate()
{
	local told

	watch_steps "--backend bpf --sources slot --alert-interval 10ms --poll-interval 1ms" burst:0.012:flood idle:1 \
		sleep:0.1:flood idle:0.1
	told=$(count "$detected and .additional_info.name == \"flood\"")
	check "a tracker that stalls all the time is not told all the time" test "$told" -ge 100 -a "$told" -lt 160
	is "$(all "$ended" .stall.id | wc -w)" "$(all "$detected" .stall.id | wc -w)" "what was told has an end"
	is "$(first ".message == \"Summary\"" '.summary.trackers[0] | .stalls == .untold + '"$told")" true \
		"what was not told is in the summary"
	is "$(jq -s "map(select($detected) | .stall.untold) | add == $(first '.message == "Summary"' \
		'.summary.trackers[0].untold')" "$records")" true "and in the record of the next stall"
}

test_summary()
{
	start_stalls sleep:0.3:a sleep:0.2:b sleep:0.4:a sleep:2:open
	start_watch --sources slot --alert-interval 100ms
	go
	wait_for 20 grep -q '"name":"open"' "$records" || diag "the last step is not told"
	kill -USR1 "$watcher"
	wait_for 10 grep -q '"Summary"' "$records" || diag "no summary"
	is "$(first '.message == "Summary"' \
		'.summary | "\(.stalls) \([.trackers[] | "\(.name) \(.stalls) \(.open)"] | sort | join(", "))"')" \
		"4 a 2 0, b 1 0, open 1 1" "SIGUSR1: a summary by tracker"
	near "$(first '.message == "Summary"' '.summary.trackers[] | select(.name == "a") | .total_ms')" 700 60 \
		"SIGUSR1: with the total"
	finish
	is "$(jq -rs 'map(select(.message == "Summary")) | .[-1].summary.trackers[0] | "\(.name) \(.open)"' "$records")" \
		"open 0" "and one at the end, the worst first"
	is "$(jq -rs '.[-1].message' "$records")" Summary "which is the last word"
	watch_steps "--alert-interval 100ms" idle:0.3
	is "$(count '.message == "Summary"')" 0 "nothing stalled: no summary"
}

plan 39
test_rate
test_summary
test_thresholds bpf
test_thresholds poll
test_late
test_gil_threshold
test_continues bpf
test_continues poll
test_gil_continues
test_stopped bpf
test_stopped poll
