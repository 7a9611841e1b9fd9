#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
#
# What follows from a stall: a command, an exit status; and which are known, and no reason for either.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_extension

test_allow()
{
	printf '# known\n*/stalls.py:stuck_in_sleep\n' >"$tmp/known"
	watch_steps "--sources slot --alert-interval 100ms --fail-on-stall --allow $tmp/known" sleep:0.5:known idle:0.1 \
		sleep:0.3:known idle:0.1
	is "$(count "$detected") $(count "$ended")" "0 0" "a stall in a known function is not told"
	is "$watch_status" 0 "it is no failure"
	is "$(first '.message == "Summary"' '.summary | "\(.stalls) \(.trackers[0].allowed)"')" "0 2" "it is counted"
	watch_steps "--sources slot --alert-interval 100ms --fail-on-stall --allow $tmp/known" move:0.5
	is "$(all '.stall' '(.stall.event + " " + .stall_details.relevant_traces[0][-1].name)' | cut -d' ' -f 1,2)" \
		"detected stuck_elsewhere" "one that goes on somewhere else is told then"
	is "$watch_status" 3 "--fail-on-stall: exit status 3"
	check_status 1 "a list that is not there is an error" "$loader" --allow "$tmp/none" --pid $$
}

test_command_fails()
{
	check_status 0 "--fail-on-stall: the command's own status" "$loader" --fail-on-stall -- true
	check_status 7 "--fail-on-stall: whatever it is" "$loader" --fail-on-stall -- sh -c 'exit 7'
	check_status 7 "--fail-on-stall: also where SIGCHLD was ignored" /usr/bin/python3 -c 'if True:
		import os, signal, sys
		signal.signal(signal.SIGCHLD, signal.SIG_IGN)
		os.execv(sys.argv[1], sys.argv[1:])' "$loader" --fail-on-stall -- sh -c 'exit 7'
	STALLS_GO='' PYTHONPATH=$build/python check_status 3 "--fail-on-stall: 3 if it was good and stalled" \
		"$loader" --alert-interval 100ms --fail-on-stall -- "$PYTHON" "$top/tests/targets/stalls.py" \
		idle:0.5 sleep:1 idle:0.3
}

test_hook()
{
	local hook="cat >>$tmp/hooked; id -u >$tmp/uid; grep CapEff /proc/self/status >$tmp/caps; ls /proc/self/fd >$tmp/fds"

	start_stalls sleep:0.3:one sleep:0.3:two idle:0.3
	start_watch --sources slot --alert-interval 100ms --on-stall "$hook"
	go
	finish
	is "$(jq -rs 'map(.additional_info.name + " " + .stall.event) | join(", ")' "$tmp/hooked")" \
		"one detected, two detected" "--on-stall: runs for each new stall, with its record"
	check "--on-stall: the record is whole" json_check "$tmp/hooked"
	is "$(cat "$tmp/uid") $(awk '{ print $2 }' "$tmp/caps")" "0 0000000000000000" "--on-stall: as we are, without capabilities"
	is "$(tr '\n' ' ' <"$tmp/fds")" "0 1 2 3 " "--on-stall: with no descriptor of ours" # 3: that of ls

	rm -f "$tmp/uid"
	start_stalls sleep:0.3 idle:0.3
	chmod 777 "$tmp"
	start_watch --sources slot --alert-interval 100ms --user nobody --on-stall "id -u >$tmp/uid; exit 5"
	go
	finish
	is "$(cat "$tmp/uid")" "$(id -u nobody)" "--on-stall: as --user says"
	is "$(count '.severity == "WARNING" and (.message | test("--on-stall failed: exit status 5"))')" 1 \
		"--on-stall: that it failed is said"

	start_stalls many:0.3 idle:0.1
	start_watch --sources slot --alert-interval 100ms --on-stall 'sleep 98765 & sleep 98765'
	go
	finish
	is "$(count '.message | test("was ended with the watch")')" 1 "--on-stall: it does not outlive the watch"
	is "$(pgrep -fc '^sleep 98765$')" 0 "--on-stall: nor does what it started"
}

plan 18
test_allow
test_command_fails
test_hook
