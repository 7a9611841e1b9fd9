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

# all FILTER WHAT: jq expression WHAT of each record that FILTER selects, in one line
all()
{
	jq -rs "map(select($1) | $2) | join(\" \")" "$records"
}

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

plan 28
test_thresholds bpf
test_thresholds poll
test_gil_threshold
test_continues bpf
test_continues poll
test_gil_continues
test_stopped bpf
test_stopped poll
