#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 300
# sanitize: yes
# parallel: yes
#
# A healthy program for SOAK_MINUTES (2), watched by both backends at once: no alarm, no growth; then
# a stall, which both must see. A longer soak is run without the runner and its time limit:
#	SOAK_MINUTES=60 bash tests/shell/soak.sh
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_extension

seconds=$(awk -v m="${SOAK_MINUTES:-2}" 'BEGIN { print int(m * 60) }')
# Sections of this program take milliseconds. A busy machine may make some longer: the program says
# so of those that come half as far as the threshold.
threshold=1
stall=2
# What a loader may grow by once it has seen every kind of thing that the program does; the
# allocator and the caches of code and names have their steps.
growth_kb=1024

soak_python=$PYTHON
PYTHONPATH=$build/python "$(venv_python)" -c 'import perpetuo, trio' 2>/dev/null && soak_python=$(venv_python)

watch_with()
{
	start "$loader" --json --stats --backend "$1" --alert-interval ${threshold}s --output "$tmp/$1.json" \
		--pid "$target" 2>"$tmp/$1.said"
	wait_for 30 grep -q 'Successfully monitoring' "$tmp/$1.json" ||
		diag "$1 does not watch: $(cat "$tmp/$1.said")"
}

rss_kb()
{
	sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}

# unexplained BACKEND: alarms that are neither the stall at the end nor a section that was long
unexplained()
{
	jq -rs '.[] | select(.stall.event == "detected" and .additional_info.name != "real")
		| "\(.stall.start_monotonic_ns) \(.additional_info.name)"' "$tmp/$1.json" |
		awk -v slack=100000000 '
			FNR == NR { if ($1 == "long") { from[n++] = $3; to[n - 1] = $4 }; next }
			{
				for (i = 0; i < n; i++)
					if ($1 >= from[i] - slack && $1 <= to[i] + slack) next
				print
			}' "$truth" -
}

judge()
{
	local found

	records=$tmp/$1.json
	reap "$2"
	is "$status" 0 "$1: the loader leaves with its target"
	found=$(unexplained "$1")
	is "$found" "" "$1: no alarm while the program was healthy"
	is "$(count "$detected and .additional_info.name == \"real\"")" 1 "$1: the stall at the end is detected"
	near "$(first "$ended and .additional_info.name == \"real\"" .stall.duration_ms)" \
		"$(awk '$1 == "stall" { print ($3 - $2) / 1e6 }' "$truth")" 5 "$1: with its true length"
	is "$(awk '$1 == "session.events_lost" { print $2 }' "$tmp/$1.said")" 0 "$1: nothing was lost"
	if sanitized; then
		skip "$1: its memory does not grow" "a sanitised loader's does"
	elif [ "$4" -le $(($3 + growth_kb)) ]; then
		ok "$1: its memory does not grow"
	else
		not_ok "$1: its memory does not grow" "$3 kB at first, $4 kB at the end"
	fi
	diag "$1: resident $3 kB at first, $4 kB at the end"
	check "$1: its records are valid" json_check "$records"
}

plan 16
SOAK_GO=$tmp/go PYTHONPATH=$build/python start "$soak_python" "$top/tests/targets/soak.py" "$seconds" $stall \
	>"$truth" 2>"$tmp/target-stderr"
target=$started
wait_for 20 grep -q '^ready' "$truth" || diag "the target did not start: $(cat "$tmp/target-stderr")"
watch_with bpf
bpf=$started
watch_with poll
poll=$started
: >"$tmp/go"
sleep $((seconds / 4))
bpf_before=$(rss_kb "$bpf")
poll_before=$(rss_kb "$poll")
wait_for $((seconds + 60)) grep -q '^sections' "$truth" || diag "the target hangs: $(cat "$tmp/target-stderr")"
bpf_after=$(rss_kb "$bpf")
poll_after=$(rss_kb "$poll")
wait_for 30 grep -q '^done' "$truth" || diag "the target hangs in its stall"
reap "$target"
is "$status" 0 "the target ends well"
diag "$(grep -c ^long "$truth") long sections; $(grep -E '^(sections|kinds)' "$truth" | tr '\n' ' ')"
sections=$(awk '$1 == "sections" { print $2 }' "$truth")
check "it took many sections" [ "${sections:-0}" -ge $((seconds * 100)) ]
judge bpf "$bpf" "$bpf_before" "$bpf_after"
judge poll "$poll" "$poll_before" "$poll_after"
