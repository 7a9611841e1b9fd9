# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034  # variables come from and go to the other files
#
# What must hold for slots with every backend: tests/shell/slots_*.sh say which one, in $backend.
# The slack in times is generous: these machines are shared. What is exact by design (start and total
# by the target's own stamps) has 5 ms; what is observed has a poll interval and more.

exact_ms=5

# one_stall NAME FUNCTION: the records of one section, against the truth
one_stall()
{
	local name=$1 function=$2 start end total

	is "$(count "$detected and .additional_info.name == \"$name\"")" 1 "$name: one record when it is detected"
	is "$(count "$ended and .additional_info.name == \"$name\"")" 1 "$name: one when it ends"
	start=$(truth_ns "$name" 2)
	end=$(truth_ns "$name" 3)
	total=$(awk -v a="$start" -v b="$end" 'BEGIN { print (b - a) / 1e6 }')
	near "$(first "$ended and .additional_info.name == \"$name\"" '.stall.start_monotonic_ns / 1e6')" \
		"$(awk -v a="$start" 'BEGIN { print a / 1e6 }')" $exact_ms "$name: its start is the target's"
	near "$(first "$ended and .additional_info.name == \"$name\"" .stall.duration_ms)" \
		"$total" $exact_ms "$name: its total is the target's"
	is "$(first "$ended and .additional_info.name == \"$name\"" .stall.end_exact)" true "$name: by its own stamp"
	is "$(jq -rs "map(select(.additional_info.name == \"$name\") | .stall.id) | unique | length" "$records")" 1 \
		"$name: both have the same id"
	is "$(first "$detected and .additional_info.name == \"$name\"" \
		'[.stall_details.relevant_traces[0][].name] | index("'"$function"'") != null')" true \
		"$name: the responsible stack shows $function"
}

test_kinds()
{
	watch_steps "--backend $backend --alert-interval 100ms" idle:0.2 sleep:0.5 idle:0.2 spin:0.5 idle:0.2 \
		native:0.5 idle:0.2 gil:0.5 idle:0.2 vfork:0.5 idle:0.2
	is "$watch_status" 0 "the loader leaves with its target"
	one_stall sleep stuck_in_sleep
	one_stall spin stuck_in_spin
	one_stall native stuck_in_native
	one_stall gil gil
	one_stall vfork stuck_in_vfork
	is "$(count "$detected")" 5 "nothing else is detected"
	is "$(count '.message | test("has exited")')" 1 "the exit is told"
	check "every record is valid" json_check "$records"
}

test_two()
{
	watch_steps "--backend $backend --alert-interval 100ms" two:0.6
	is "$(count "$detected")" 2 "two: both are detected"
	is "$(jq -rs "map(select($detected) | .stall.thread) | sort | join(\" \")" "$records")" "worker-1 worker-2" \
		"two: each with its thread"
	is "$(jq -rs "map(select($detected) | .stall_details.relevant_traces | length) | join(\" \")" "$records")" "1 1" \
		"two: and its own stack"
}

test_healthy()
{
	watch_steps "--backend $backend --alert-interval 100ms" short:2 toggle:1 idle:0.3
	is "$(count "$detected")" 0 "short sections are never reported"
}

test_attach_in_mid_stall()
{
	start_stalls sleep:2
	go
	sleep 0.5
	start_watch --backend "$backend" --alert-interval 100ms
	finish
	is "$(count "$detected")" 1 "attached in mid-stall: it is detected"
	near "$(first "$ended" .stall.duration_ms)" 2000 50 "attached in mid-stall: the total is from its true start"
}

test_stopped()
{
	start_stalls sleep:0.05 spin:0.15 idle:0.2
	start_watch --backend "$backend" --alert-interval 1s
	go
	sleep 0.1
	kill -STOP "$target"
	sleep 3
	is "$(count "$detected")" 0 "a stopped target raises nothing"
	kill -CONT "$target"
	finish
	is "$(count "$detected")" 0 "nor when it goes on"
}

test_ends_in_mid_stall()
{
	start_stalls sleep:60
	start_watch --backend "$backend" --alert-interval 100ms
	go
	wait_for 20 grep -q '"detected"' "$records" || diag "not detected"
	kill -KILL "$target"
	wait_for 20 process_over "$watcher" || diag "the loader did not leave"
	reap "$watcher"
	is "$status" 0 "killed in mid-stall: the loader leaves with 0"
	is "$(count "$ended")" 1 "killed in mid-stall: the end of the stall is told"
	check "killed in mid-stall: its records are valid" json_check "$records"
}

# What ends between two looks of the judge and the end of the process was read at the switches between.
test_ends_before_its_process()
{
	if [ "$backend" != bpf ]; then
		skip "ended just before its process: the end is the target's" "a poll sees nothing between two polls"
		return
	fi
	watch_steps "--backend $backend --alert-interval 100ms" sleep:0.4 idle:0.02
	near "$(first "$ended" .stall.duration_ms)" 400 10 "ended just before its process: the end is the target's"
}

test_many()
{
	watch_steps "--backend $backend --alert-interval 100ms" many:0.5
	is "$(count "$detected")" 1 "200 trackers: the one that stalls is detected"
	is "$(first "$detected" .additional_info.name)" many-199 "200 trackers: by its name"
	watch_steps "--backend $backend --alert-interval 100ms" pages:0.5 idle:0.3
	is "$(jq -rs "map(select($detected) | .additional_info.name) | join(\" \")" "$records")" pages-4999 \
		"5000 trackers: also on the second page"
}

test_odd_lives()
{
	watch_steps "--backend $backend --alert-interval 100ms" orphan:0.6 idle:0.2 close:0.4 idle:0.5 fork:0.5
	is "$(count "$detected and .additional_info.name == \"orphan\"")" 1 "a thread that ended while active is reported once"
	is "$(first "$detected and .additional_info.name == \"orphan\"" '.stall.note | test("has ended")')" true \
		"and the report says so"
	is "$(count "$detected and .additional_info.name == \"close\"")" 1 "a tracker closed while active stalls until then"
	is "$(count "$ended and .additional_info.name == \"close\"")" 1 "and no longer"
	is "$(count "$detected and .additional_info.name == \"fork\"")" 0 "the child's stall is not the parent's"
}

plan 59
test_kinds
test_two
test_healthy
test_attach_in_mid_stall
test_stopped
test_ends_in_mid_stall
test_ends_before_its_process
test_many
test_odd_lives
