#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 180
# sanitize: yes
#
# Why a stall lasted, against stalls of which the reason is known and the CPU time measured by the target.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_extension

# make_group: a group of its own for CPU quotas, as $group; none where that is not to be had
make_group()
{
	if [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ] || [ -e /sys/fs/cgroup/cpu/tasks ]; then
		group=/sys/fs/cgroup/cpu/perpetuo-test-$$
		mkdir "$group" 2>/dev/null && echo 20000 2>/dev/null >"$group/cpu.cfs_quota_us"
	else
		group=/sys/fs/cgroup/perpetuo-test-$$
		mkdir "$group" 2>/dev/null && echo "20000 100000" 2>/dev/null >"$group/cpu.max"
	fi || { rmdir "$group" 2>/dev/null; group=; }
	# those of runs that were aborted
	for stale in /sys/fs/cgroup/perpetuo-test-* /sys/fs/cgroup/cpu/perpetuo-test-*; do
		[ ! -d "$stale" ] || kill -0 "${stale##*-}" 2>/dev/null || rmdir "$stale"
	done
}

remove_group()
{
	[ -z "$group" ] || wait_for 10 rmdir "$group"
}

# start_why STEP...: the target, waiting at its start; pid in $target
start_why()
{
	WHY_CGROUP=$group PYTHONPATH=${package:-$build/python} start_target "$PYTHON" "$top/tests/targets/why.py" "$@"
}

# of NAME: jq filter of the records of a tracker
of()
{
	echo ".additional_info.name == \"$1\""
}

# kind NAME KIND[|KIND] WHAT: of its detected record; a loaded machine may starve any of them
kind()
{
	local got

	got=$(first "$(of "$1") and $detected" '.stall.why.kind')
	if [[ "|$2|" == *"|$got|"* ]]; then
		ok "$3"
	elif [ "$got" = run_queue ]; then
		skip "$3" "the machine was busy"
	else
		not_ok "$3" "got $got: $(first "$(of "$1") and $detected" '.stall.why.verdict')"
	fi
}

# says NAME PATTERN WHAT: its detected record, unless the machine was busy
says()
{
	local got

	got=$(first "$(of "$1") and $detected" '.stall.why.verdict')
	if [[ "$got" =~ $2 ]]; then
		ok "$3"
	elif [[ "$got" == "ready to run"* ]]; then
		skip "$3" "the machine was busy"
	else
		not_ok "$3" "it says '$got'"
	fi
}

# part NAME FIELD LEAST MOST WHAT: ms of its ended record
part()
{
	local got

	got=$(first "$(of "$1") and $ended" ".stall.why.$2")
	if awk -v a="$got" -v b="$3" -v c="$4" 'BEGIN { exit !(a != "null" && a >= b && a <= c) }'; then
		ok "$5"
	else
		not_ok "$5" "$2 is $got: $(first "$(of "$1") and $ended" '.stall.why | tojson')"
	fi
}

# cpu NAME: what is told to be CPU time is what the target measured
cpu()
{
	near "$(first "$(of "$1") and $ended" .stall.why.on_cpu_ms)" "$(awk -v n="$1" '$1 == n { print $4 }' "$truth")" \
		15 "$1: CPU time as the target measured it"
}

# shellcheck disable=SC2016 # $w and $r are jq's
sums='.stall.why as $w | [$w.on_cpu_ms, $w.run_queue_ms, $w.throttled_ms, $w.blocked_ms, $w.stopped_ms, $w.gil_wait_ms]
	| if any(. == null) then false else (add - $r.stall.duration_ms | fabs) <= 0.02 * $r.stall.duration_ms end'

steps=(spin sleep naps native collect pipe net child starve page hog_beside stop)
group=
make_group
[ -z "$group" ] || steps+=(quota)
plan 40
start_why "${steps[@]}"
start_watch --alert-interval 100ms --no-print-locals
go
finish
remove_group

is "$(jq -s "[.[] | select(.stall) | . as \$r | $sums] | all and length >= $((2 * ${#steps[@]}))" "$records")" true \
	"the parts of every record are known and add up to its duration"
kind spin python "spin: its own code"
says spin 'on CPU for [0-9.]+ of [0-9.]+ ms, in spin \(.*/why.py:[0-9]+\)' "spin: and where"
cpu spin
kind sleep system_call "sleep: a system call"
is "$(first "$(of sleep) and $detected" .stall.why.syscall)" "$(first "$(of sleep) and $detected" \
	'.stall.why.syscall | select(. == "clock_nanosleep" or . == "select" or . == "pselect6")')" "sleep: which"
part sleep blocked_ms 390 500 "sleep: all of it"
part naps blocked_ms 250 500 "naps: many short sleeps are one long one"
is "$(first "$(of naps) and $ended" '.stall.why.syscall != null')" true "naps: and the call is known"
kind native native "native: code of a library"
is "$(first "$(of native) and $detected" '.stall.why.library // "" | test("crypto|sha2|hashlib|^$")')" true "native: which"
cpu native
kind collect gc "collect: garbage"
is "$(first "$(of collect) and $detected" '.stall.why.gc')" true "collect: that is seen"
kind pipe system_call "pipe: a system call"
is "$(first "$(of pipe) and $detected" '.stall.why | [.syscall, .fd != null] | tojson')" '["read",true]' "pipe: of which file"
says pipe 'in read\(fd [0-9]+: pipe' "pipe: and what it is"
is "$(first "$(of pipe) and $ended" .stall.why.syscall)" read "pipe: its end still knows"
kind net system_call "net: a system call"
says net 'recvfrom\(fd [0-9]+: TCP 127\.0\.0\.1:.*127\.0\.0\.1:' "net: with both addresses"
kind child system_call "child: a system call"
says child 'wait4\(.*sleep' "child: and which child"
kind starve gil "starve: the GIL"
says starve 'GIL, which hog \(tid [0-9]+\) holds' "starve: and who has it"
is "$(first "$(of starve) and $detected" '.stall.why.gil_holder_tid != null')" true "starve: its id"
part starve gil_wait_ms 100 5000 "starve: that is counted"
is "$(first ".stall.source == \"gil\" and $detected" '.stall | .tid != null and .why.gil_holder_tid == .tid')" true \
	"starve: the wait for the GIL has the time of its holder"
is "$(first ".stall.source == \"gil\" and $detected" '.stall.why.verdict | test("^the holder of the GIL: ")')" true \
	"starve: and says so"
kind page page_faults "page: one that is not there"
part page page_fault_ms 250 500 "page: all of it"
is "$(first "$(of hog_beside) and $ended" .stall.why.kind)" run_queue "hog beside: starved"
is "$(first "$(of hog_beside) and $ended" '.stall.why.verdict | test("load [0-9.]+ on [0-9]+ CPU")')" true "hog beside: and the load"
part hog_beside run_queue_ms 120 400 "hog beside: for half of the time, or more"
cpu hog_beside
part stop stopped_ms 900 1300 "stop: the time in which it was stopped"
part stop on_cpu_ms 285 330 "stop: and that in which it ran"
if [ -n "$group" ]; then
	part quota throttled_ms 80 400 "quota: for the rest of each period"
	says quota 'on CPU|20 % of a CPU for .*perpetuo-test' "quota: and by what"
	cpu quota
else
	for what in kind group cpu; do skip "quota: $what" "no group for CPU quotas"; done
fi

start_why sleep
start_watch --backend poll --alert-interval 100ms
go
finish
is "$(first "$(of sleep) and $detected" '.stall.why | [.kind, .blocked_ms] | tojson')" '["system_call",null]' \
	"poll: what it does, without figures"
