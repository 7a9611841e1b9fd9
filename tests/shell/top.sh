#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# sanitize: yes
#
# perpetuo-bpf top on live processes: its figures against what the targets say themselves.

. "$(dirname "$0")/../lib/tap.sh"
need_bpf
need_tool jq

# start_top gil|loop SECONDS: the target; its pid in $target, what it says in $tmp/truth
start_top()
{
	start /usr/bin/python3 "$top/tests/targets/top.py" "$@" >"$tmp/truth"
	target=$started
	wait_for 10 grep -q '^ready' "$tmp/truth" || diag "the target did not start"
}

# query FILTER: of the last record
query()
{
	tail -n 1 "$tmp/records" | jq -r "$1"
}

# within KEY NAME: one result. The victim sees also that others have its CPU, so 20 %
within()
{
	local off

	off=$(awk -v key="$1" '$1 == key { print $4 }' "$tmp/result")
	if [ "${off:-999}" -le 20 ]; then ok "$2"; else not_ok "$2" "$(cat "$tmp/result")"; fi
}

plan 18

start_top gil 30
check_status 0 "--once --json" timeout 20 "$loader" top --once --json "$target"
cp "$tmp/stdout" "$tmp/records"
is "$(wc -l <"$tmp/records")" 1 "one record"
check "which fits the schema" json_check "$tmp/records"
# hog has it for two thirds of the time, and the call of a refresh may fall anywhere in that
is "$(query '[.top.threads[] | select(.thread == "hog")][0] | .held_ms > 300 and .held_ms < 950')" true \
	"it names the hog, and what it held"

start "$loader" top --json --alert-interval 50ms "$target" >"$tmp/records"
watcher=$started
wait_for 20 sh -c "[ \$(wc -l <'$tmp/records') -ge 4 ]"
kill -INT "$watcher"
reap "$watcher"
sleep 0.3 # for the call in which the last record fell
stop "$target"
check "all records fit the schema" json_check "$tmp/records"
/usr/bin/python3 "$top/tests/lib/top-check.py" "$tmp/truth" "$tmp/records" >"$tmp/result"
within held "the hog held the GIL for as long as it says"
within waited "the victim waited for it for as long as it says"
is "$(jq -s 'map(.top.stalls | length) | add > 0' "$tmp/records")" true "stalls come as they happen"

start_top loop 30
check_status 0 "a loop" timeout 20 "$loader" top --once --json "$target"
cp "$tmp/stdout" "$tmp/records"
loop='[.top.threads[].loop | select(.)][0]'
# it is found within some ms of the attach; 45 sleeps of 10 ms at most go beside a long step
is "$(query "$loop | .steps >= 10 and .steps < 250")" true "its steps are counted"
is "$(query "$loop | .worst_ms >= 290 and .worst_ms < 600")" true "and the long one measured"

check_status 0 "a page to a pipe" timeout 20 "$loader" top --once "$target"
is "$(awk 'length > 80 || /\033/' "$tmp/stdout")" "" "is plain, in 80 columns"
check_status 0 "on a terminal q ends it" timeout 20 /usr/bin/python3 "$top/tests/lib/press-q.py" "$loader" top "$target"
is "$(tr '\n' ' ' <"$tmp/stdout")" "raw restored " "and the terminal is as it was"
stop "$target"

# A child that runs no Python, and is looked at all the same for some seconds. It ends with its parent.
start /usr/bin/python3 -c '
import subprocess, time
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
print("ready", flush=True)
time.sleep(30)' >"$tmp/truth"
wait_for 10 grep -q '^ready' "$tmp/truth" || diag "the target did not start"
check_status 0 "followed children may run no Python" timeout 20 "$loader" top --once --follow --json "$started"
stop "$started"

start_top loop 30
timeout 20 "$loader" top --once --backend poll "$target" >"$tmp/stdout" 2>"$tmp/stderr"
is "$? $(wc -l <"$tmp/stderr")" "1 1" "without BPF it says so in one line"
stop "$target"
check_status 2 "--once is for top" "$loader" --once --pid 1
