#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 180
# sanitize: yes
#
# What becomes of targets and of the loader: several at once, one ends, another program is executed,
# trackers come later, signals and kills in mid-stall.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq bpftool
need_extension

stalls=$top/tests/targets/stalls.py

# start_program CODE: python that runs CODE, pid in $target; its output in $truth
start_program()
{
	: >"$truth"
	rm -f "$tmp/go"
	STALLS_GO=$tmp/go PYTHONPATH=$build/python start "$PYTHON" -c "$1" >"$truth" 2>"$tmp/target-stderr"
	target=$started
	wait_for 20 grep -q '^start' "$truth" || diag "no program: $(cat "$tmp/target-stderr")"
}

# leave NAME [SIGNAL]: the loader goes when it is told to
leave()
{
	kill -s "${2:-TERM}" "$watcher"
	wait_for 10 process_over "$watcher" || diag "the loader hangs"
	stop "$watcher"
	is "$status" 0 "$1: the loader leaves with 0"
}

test_several()
{
	local first second

	start_stalls sleep:100
	first=$target
	start_stalls sleep:0.3:a idle:0.8 sleep:0.3:b idle:0.1
	second=$target
	start_watch --backend "$1" --alert-interval 100ms --pid "$first"
	go
	wait_for 20 grep -q '"ended"' "$records" || diag "the first stall did not end"
	kill -KILL "$first"
	wait_for 20 grep -q "Process $first has exited" "$records" || diag "the exit of $first is not told"
	finish
	is "$watch_status" 0 "$1, several: the loader leaves with the last of them"
	is "$(count "$detected and .stall.pid == $second")" 2 "$1, several: one has exited, the other is still watched"
	is "$(count '.message | test("has exited")')" 2 "$1, several: each exit is told"
	check "$1, several: records are valid" json_check "$records"
}

# A program without trackers that gets them when it is told to.
late='import os, sys, time
print("start", flush=True)
while not os.path.exists(os.environ["STALLS_GO"]):
    time.sleep(0.01)
sys.argv = ["stalls.py", "idle:1", "sleep:1", "idle:0.1"]
exec(compile(open(STALLS).read(), STALLS, "exec"))'

test_late()
{
	start_program "STALLS = '$stalls'
$late"
	rm -f "$records"
	start "$loader" --json --output "$records" --backend "$1" --alert-interval 100ms --pid "$target" 2>"$said"
	watcher=$started
	wait_for 20 grep -q 'no perpetuo trackers yet' "$records" || diag "it is not said"
	go
	wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
	finish
	is "$(count '.message | test("no perpetuo trackers yet")')" 1 "$1, trackers come later: said once that there are none"
	is "$(count '.message | test("Successfully monitoring")')" 1 "$1, trackers come later: then they are watched"
	is "$(count "$detected")" 1 "$1, trackers come later: the stall is told"
}

# exec of another program with trackers, in mid-stall, and then of one that is no Python
test_exec()
{
	start_program "import os, sys, threading, time
from perpetuo import StallTracker
t = StallTracker('before', threading.get_ident())
print('start', flush=True)
while not os.path.exists(os.environ['STALLS_GO']):
    time.sleep(0.01)
os.execv(sys.executable, [sys.executable, '$stalls', 'idle:0.5', 'sleep:1:after', 'idle:0.1'])"
	start_watch --backend "$1" --alert-interval 100ms
	wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
	go
	finish
	is "$(count "$ended and .additional_info.name == \"before\"")" 1 "$1, exec: the stall of the old program ends"
	is "$(first "$ended and .additional_info.name == \"before\"" .stall.note)" \
		"the process executes another program" "$1, exec: and why is said"
	is "$(count "$detected and .additional_info.name == \"after\"")" 1 "$1, exec: the new program is watched"
	is "$(first "$detected and .additional_info.name == \"after\"" \
		'[.stall_details.relevant_traces[0][].name] | index("stuck_in_sleep") != null')" true \
		"$1, exec: with its own stacks"
	is "$watch_status" 0 "$1, exec: the loader leaves with the process"
}

test_exec_no_python()
{
	start_program "import os, sys, threading, time
from perpetuo import StallTracker
t = StallTracker('before', threading.get_ident())
print('start', flush=True)
while not os.path.exists(os.environ['STALLS_GO']):
    time.sleep(0.01)
os.execvp('sleep', ['sleep', '1'])"
	start_watch --backend "$1" --alert-interval 100ms
	wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
	go
	wait_for 20 process_over "$watcher" || diag "the loader did not leave"
	reap "$watcher"
	is "$status" 0 "$1, exec of no Python: the loader leaves when that has exited"
	is "$(count "$ended"),$(wc -l <"$said")" 1,0 "$1, exec of no Python: the stall has ended, no complaint"
}

# kernel_things PID: "prog ID", "map ID", "link ID" of what the process holds open
kernel_things()
{
	sed -n 's/^\(prog\|map\|link\)_id:\s*/\1 /p' "/proc/$1/fdinfo/"* | sort -u
}

# gone FILE: none of these is in the kernel any more
gone()
{
	local kind id

	while read -r kind id; do
		! bpftool "$kind" show id "$id" || return 1
	done <"$1"
}

test_loader_killed()
{
	start_stalls sleep:30
	start_watch --backend bpf --alert-interval 100ms
	go
	wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
	kernel_things "$watcher" >"$tmp/things"
	check "killed: it had programs, maps and links in the kernel" \
		test "$(cut -d ' ' -f 1 "$tmp/things" | uniq | paste -sd ' ')" = "link map prog"
	check "killed: which can be looked up" bpftool prog show id "$(awk '$1 == "prog" { print $2; exit }' "$tmp/things")"
	kill -KILL "$watcher"
	reap "$watcher"
	# The kernel frees after a grace period.
	check "killed: nothing of it is left in the kernel" wait_for 20 gone "$tmp/things"
	check "killed: its target goes on" kill -0 "$target"
	check "killed: what it wrote is whole" json_check "$records"
	stop "$target"
}

# test_signals BACKEND SIGNAL...
test_signals()
{
	local backend=$1 signal

	shift
	for signal; do
		start_stalls sleep:30
		start_watch --backend "$backend" --alert-interval 100ms
		go
		wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
		leave "$backend, $signal in mid-stall" "$signal"
		check "$backend, $signal in mid-stall: records are whole" json_check "$records"
		stop "$target"
	done
}

plan 39
for backend in poll bpf; do
	test_several "$backend"
	test_late "$backend"
	test_exec "$backend"
	test_exec_no_python "$backend"
done
test_loader_killed
test_signals bpf TERM
test_signals poll INT HUP
