#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
# A program with the original extension from PyPI (v0 page) is watched unchanged, by both backends.
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_venv perpetuo

# The start of a v0 section is known by observation only: at most one tick late, here with slack.
observed_ms=80

with()
{
	rm -f "$tmp/go"
	STALLS_GO=$tmp/go start "$(venv_python)" "$top/tests/targets/original.py" >"$truth" 2>"$tmp/target-stderr"
	target=$started
	wait_for 20 grep -q '^ready' "$truth" || diag "$(cat "$tmp/target-stderr")"
	start_watch --backend "$@" --alert-interval 150ms
	go
	finish
	is "$(count "$detected")" 1 "$*: the stall is detected, and nothing else"
	is "$(first "$detected" .additional_info.name)" orig "$*: its name is read"
	is "$(first "$detected" '[.stall_details.relevant_traces[0][].name] | index("stuck_in_original") != null')" true \
		"$*: its stack is shown"
	is "$(first "$ended" .stall.start_exact)" false "$*: its start is said to be observed"
	near "$(first "$ended" .stall.duration_ms)" 500 $observed_ms "$*: its total is about right"
	check "$*: its records are valid" json_check "$records"
}

plan 19
with poll
with bpf
with bpf --follow
is "$(count '.message | test("^Following pid")')" 1 "its child is followed, and does not tell what its parent does"
