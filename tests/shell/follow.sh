#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
#
# --follow: children however they are made, each with its own identity, and what is left of them.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_extension

# start_family STEP...: the target, waiting at its start; pid in $target
start_family()
{
	rm -f "$tmp/again"
	STALLS_AGAIN=$tmp/again PYTHONPATH=$build/python start_target "$PYTHON" "$top/tests/targets/family.py" "$@"
}

# follow BACKEND OPTION...: as start_watch, with what these tests have in common
follow()
{
	start_watch --backend "$1" --follow --stats --no-print-locals --traceback-suppress 0 --alert-interval 150ms "${@:2}"
}

# stat NAME: a counter that the loader told at its end
stat()
{
	awk -v name="$1" '$1 == name { print $2 }' "$said"
}

# fds PID, resident PID: what it holds now
fds()
{
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

resident()
{
	sed -n 's/^VmRSS:\s*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}

# at_most GOT LIMIT NAME
at_most()
{
	if [ "${1:-}" -le "$2" ]; then ok "$3"; else not_ok "$3" "got ${1:-nothing}, at most $2 is allowed"; fi
}

# truth_of STEP FIELD: pid (2), start (3) or end (4) of the first child of that step, as it says itself
truth_of()
{
	awk -v step="$1" -v field="$2" '$1 == step { print $field; exit }' "$truth"
}

# told STEP BACKEND: four results; the stall of that child, with its pid, start and length
told()
{
	local pid which

	pid=$(truth_of "$1" 2)
	which=".stall.pid == ${pid:-0} and .additional_info.name == \"$1\""
	is "$(count "$detected and $which")" 1 "$2, $1: the child's stall is told once, as the child's"
	is "$(first "$detected and $which" '.stall_details.relevant_traces[0][-1].name')" stuck_in_child \
		"$2, $1: with its own stack"
	near "$(first "$ended and $which" '.stall.start_monotonic_ns / 1e6')" \
		"$(awk -v ns="$(truth_of "$1" 3)" 'BEGIN { printf "%.3f", ns / 1e6 }')" 2 "$2, $1: its true start"
	# the child may be gone before its end is read: then it is known to a tick
	near "$(first "$ended and $which" .stall.duration_ms)" \
		"$(awk -v a="$(truth_of "$1" 3)" -v b="$(truth_of "$1" 4)" 'BEGIN { print (b - a) / 1e6 }')" 60 \
		"$2, $1: and its length"
}

# test_kinds BACKEND STEP...
test_kinds()
{
	local step backend=$1 steps

	shift
	steps=(before "$@")
	start_family "${steps[@]/%/:0.35}"
	follow "$backend"
	wait_for 20 grep -q 'Following pid' "$records" || diag "the child that was there is not followed"
	go
	finish
	is "$target_status,$watch_status" 0,0 "$backend: all end well"
	for step in "${steps[@]%%:*}"; do told "$step" "$backend"; done
	is "$(first '.message | test("^Following pid")' .message)" \
		"Following pid $(truth_of before 2) (child of $target)" "$backend: it is said whose children they are"
	is "$(jq -s '[.[] | select(.message | test("^Following pid")) | .additional_info.pid] | length == (unique | length)' "$records")" true \
		"$backend: of each once"
	is "$(jq -s "[.[] | select(.severity == \"INFO\" and (.message | test(\"^Following\") | not)) | .additional_info.pid // empty] | unique == [\"$target\"]" "$records")" \
		true "$backend: nothing else is said of children"
	is "$(stat children.left_out),$(stat session.events_lost)" 0,0 "$backend: none was left out, nothing was lost"
}

test_gil()
{
	local which

	start_family gil:0.4
	follow bpf
	go
	finish
	which=".stall.source == \"gil\" and .stall.pid == $(truth_of gil 2)"
	is "$(count "$detected and $which")" 1 "gil: a wait in a child is told"
	near "$(first "$ended and $which" .stall.duration_ms)" \
		"$(awk -v a="$(truth_of gil 3)" -v b="$(truth_of gil 4)" 'BEGIN { print (b - a) / 1e6 }')" 60 "gil: with its length"
	is "$(count ".stall.source == \"gil\" and .stall.pid == $target")" 0 "gil: and is none of the parent"
}

# idle COUNT: the target has come to its idle step number COUNT
idle()
{
	[ "$(grep -c '^idle' "$truth")" -ge "$1" ]
}

# Workers that are replaced all the time, and a storm: what is left is what was there before.
test_recycling()
{
	local fds_before kb_before

	start_family recycle:0:20 storm:0.5:600 idle:0 recycle:0:80 prefork:0.4:2 commands:0:12 storm:0.5:600 idle:1.5
	follow bpf
	go
	wait_for 60 idle 1 || diag "the target does not come to rest"
	sleep 0.3
	fds_before=$(fds "$watcher")
	kb_before=$(resident "$watcher")
	: >"$tmp/again"
	wait_for 100 idle 2 || diag "the target does not come to rest again"
	sleep 0.3
	at_most "$(fds "$watcher")" "$fds_before" "recycling: no file stays open"
	# the heap has seen a crowd before, of about this size
	if sanitized; then
		skip "recycling: no memory stays in use" "a sanitised loader keeps it"
	else
		at_most "$(resident "$watcher")" $((kb_before * 3 / 2)) "recycling: no memory stays in use"
	fi
	diag "$fds_before files, $kb_before kB before; $(resident "$watcher") kB after"
	finish
	diag "$(grep ^children "$said" | tr '\n' ' ')"
	is "$(count "$detected and .additional_info.name == \"storm\" and .stall.pid == $target")" 4 \
		"storm: the parent's own stalls are told"
	is "$(stat session.events_lost)" 0 "storm: nothing is lost"
	at_most "$(count '.message | test("^Following pid")')" 60 "storm: what is said of children is bounded"
	at_most 100 "$(stat children.followed)" "recycling: the others were followed, too"
	is "$(count "$detected and .additional_info.name == \"prefork\"")" 3 "prefork: who took others' places is seen"
}

test_command()
{
	rm -f "$records"
	STALLS_GO='' PYTHONPATH=$build/python timeout 60 "$loader" --json --output "$records" --follow --stats \
		--alert-interval 150ms -- "$PYTHON" "$top/tests/targets/family.py" own >"$truth" 2>"$said"
	is "$?" 0 "a command: its status is passed on"
	is "$(count "$detected and .stall.pid == $(truth_of own 2)")" 1 "a command: its children are watched"
	SECONDS=0
	# shellcheck disable=SC2016  # the command expands it
	timeout 60 "$loader" --output "$records" --follow -- sh -c 'sleep 30 & echo $! >"$0"; exit 7' "$tmp/orphan" 2>"$said"
	is "$?,$((SECONDS < 20))" 7,1 "a command: its orphans are not waited for"
	kill "$(cat "$tmp/orphan")"
}

# free_port: a port of the loopback that nobody has at the moment
free_port()
{
	/usr/bin/python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# slow_request: asks for one until it is told, in the worker whose pid is left in $worker
slow_request()
{
	worker=$(get "$port" /stall)
	# the section of a worker that has just begun may be over before its page is found
	wait_for 2 grep -q "\"pid\":${worker:-none},.*\"requests\".*\"detected\"\|\"detected\".*\"pid\":${worker:-none}," "$records"
}

# test_server NAME COMMAND...: a real one with its workers; "PORT" stands for the port
test_server()
{
	local name=$1 port worker before each

	shift
	port=$(free_port)
	PYTHONPATH=$build/python:$top/tests/targets start "${@//PORT/$port}" >"$tmp/server" 2>&1
	target=$started
	rm -f "$records"
	start "$loader" --json --output "$records" --follow --no-print-locals --alert-interval 150ms --pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 get "$port" / || diag "$name does not serve: $(tail -n 3 "$tmp/server")"
	wait_for 30 slow_request
	is "$(first "$detected and .stall.source == \"slot\" and .stall.pid == ${worker:-0}" \
		'.additional_info.name + " " + .stall_details.relevant_traces[0][-1].name')" "requests slow" \
		"$name: a slow request is told, with the pid of its worker and its line"
	mapfile -t before < <(pgrep -P "$target")
	for each in "${before[@]}"; do kill -KILL "$each"; done
	wait_for 30 get "$port" /
	wait_for 30 slow_request
	case " ${before[*]} " in
	*" ${worker:-none} "*) not_ok "$name: so is one of the worker in its place" "none took it" ;;
	*) is "$(count "$detected and .stall.pid == ${worker:-0}" | awk '{ print ($1 > 0) }')" 1 \
		"$name: so is one of the worker in its place" ;;
	esac
	stop "$target"
	wait_for 20 process_over "$watcher" || diag "the loader did not leave with the server"
	reap "$watcher"
	is "$status" 0 "$name: the loader leaves with the last of them"
}

# get PORT PATH: what the server says
get()
{
	/usr/bin/python3 -c 'import sys, urllib.request as u
print(u.urlopen(f"http://127.0.0.1:{sys.argv[1]}{sys.argv[2]}", timeout=10).read().decode())' "$@"
}

plan 77
test_kinds bpf fork own double run shell mp-fork mp-spawn mp-forkserver
test_kinds poll own mp-spawn
test_gil
test_recycling
test_command
if (cd / && "$(venv_python)" -I -c 'import gunicorn, uvicorn') 2>/dev/null; then
	test_server gunicorn "$(venv_python)" -m gunicorn -w 1 -b 127.0.0.1:PORT family_web:wsgi
	test_server uvicorn "$(venv_python)" -m uvicorn --workers 2 --host 127.0.0.1 --port PORT family_web:asgi
else
	for each in {1..6}; do skip "a real server ($each)" "no gunicorn and uvicorn in $(venv_python)"; done
fi
