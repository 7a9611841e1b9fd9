#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
# parallel: yes
#
# Bad input: each ends at once with one line that names what failed, exit status 1 (2 for usage).

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_root
need_tool jq setpriv
need_extension

# refused STATUS PATTERN NAME OPTION...: exit status, and one line on stderr that says PATTERN
refused()
{
	local want=$1 pattern=$2 name=$3 got lines

	shift 3
	got=0
	timeout -s KILL 30 "$@" >"$tmp/stdout" 2>"$tmp/stderr" </dev/null || got=$?
	lines=$(grep -vc '^perpetuo-bpf: .*--help' "$tmp/stderr")
	if [ "$got" = "$want" ] && [ "$lines" = 1 ] && grep -Eq -- "$pattern" "$tmp/stderr"; then
		ok "$name"
	else
		not_ok "$name" "status $got, want $want; want one line with '$pattern'; stderr: $(cat "$tmp/stderr")"
	fi
}

# ---- who is watched ----------------------------------------------------------------------------------

test_pids()
{
	local over

	start true
	over=$started
	reap "$over"
	start sleep 100
	refused 1 "no process $over" "a pid that is nobody's" "$loader" --pid "$over"
	refused 1 "there is no Python in process $started" "a program that is not Python" "$loader" --pid "$started"
	refused 1 "process 2 is a kernel thread" "a kernel thread" "$loader" --pid 2
	refused 1 "no process $over" "one bad pid among good ones" "$loader" --pid "$target" --pid "$over"
	refused 1 "[0-9]+ is a thread, not a process" "a thread" "$loader" --pid "$(helper_thread)"
	# shellcheck disable=SC2016  # the child expands it
	refused 2 'is perpetuo-bpf itself' "our own pid" sh -c 'exec "$0" --pid $$' "$loader"
}

# A thread of the target that is not its first.
helper_thread()
{
	local tid

	for tid in "/proc/$threaded/task/"*; do
		tid=${tid##*/}
		if [ "$tid" != "$threaded" ]; then echo "$tid"; fi
	done | head -n 1
}

start_threaded()
{
	start "$PYTHON" -c 'import threading, time
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print("ready", flush=True)
time.sleep(1000)' >"$tmp/threaded"
	threaded=$started
	wait_for 20 grep -q ready "$tmp/threaded" || diag "no program with threads"
}

# An ordinary user may have no right to read the build directory.
ordinary=(setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/open/perpetuo-bpf")

test_ordinary_user()
{
	refused 1 "process $target belongs to uid 0: run perpetuo-bpf as root" \
		"another user's process, as an ordinary user" "${ordinary[@]}" --backend poll --pid "$target"
	refused 1 "backend bpf: needs CAP_BPF.*; --backend=poll" "BPF, as an ordinary user" \
		"${ordinary[@]}" --backend bpf --pid "$target"
	refused 1 "process $target belongs to uid 0" "a dump of another user's process" "${ordinary[@]}" dump "$target"
	start setpriv --reuid 65534 --regid 1 --clear-groups /usr/bin/python3 -c 'import time
print("ready", flush=True)
time.sleep(1000)' >"$tmp/other-group"
	wait_for 20 grep -q ready "$tmp/other-group" || diag "no program of another group"
	refused 1 "process $started has rights that its user has not" "a dump of a process with another group, by capability" \
		setpriv --inh-caps +sys_ptrace --ambient-caps +sys_ptrace "${ordinary[@]:1}" dump "$started"
}

# ---- how ---------------------------------------------------------------------------------------------

# A time in hexadecimal, an exponent and so on are what strtod() takes.
test_values()
{
	local option value

	for option in --alert-interval --poll-interval; do
		for value in nan NaN inf -1 0 1e300 1e-300 0x10 "" 5x; do
			refused 2 "$option wants a time from" "$option='$value'" \
				"$loader" "$option=$value" --pid "$target"
		done
	done
	for value in nan -1 1e300; do
		refused 2 "--traceback-suppress wants a time" "--traceback-suppress=$value" \
			"$loader" "--traceback-suppress=$value" --pid "$target"
	done
	for value in 0 -5 99999999999999999999 12x ""; do
		refused 2 "--pid wants a process id" "--pid='$value'" "$loader" "--pid=$value"
	done
	refused 2 "--backend wants auto, bpf or poll" "an unknown backend" "$loader" --backend=ebpf --pid "$target"
}

# shellcheck disable=SC2016  # the child expands it
to_full=(sh -c 'exec "$0" "$@" >/dev/full' "$loader")

test_outputs()
{
	refused 1 "cannot write to '$tmp/no/such'" "an output in no directory" \
		"$loader" --output "$tmp/no/such" --pid "$target"
	refused 1 "cannot write to '$tmp': Is a directory" "a directory as output" \
		"$loader" --output "$tmp" --pid "$target"
	mkfifo "$tmp/fifo"
	refused 1 "nobody reads this FIFO" "a FIFO that nobody reads" "$loader" --output "$tmp/fifo" --pid "$target"
	refused 1 "cannot write to '$tmp/no/such'" "a dump to no directory" \
		"$loader" dump --output "$tmp/no/such" "$target"
	refused 1 "cannot write a record to standard output: No space" "a dump to a full device" \
		"${to_full[@]}" dump "$target"
	refused 1 "cannot write to standard output" "--features to a full device" "${to_full[@]}" --features
	refused 1 "cannot write to standard output" "--help to a full device" "${to_full[@]}" --help
}

# ---- without BPF -------------------------------------------------------------------------------------

# Root whose bounding set lacks what BPF needs: a container.
lacking="-bpf,-perfmon,-sys_admin"
contained=(setpriv --bounding-set "$lacking" --inh-caps "$lacking" "$loader")

# A kernel that shows no BTF.
# shellcheck disable=SC2016  # the child expands it
no_btf=(unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf && exec "$0" "$@"' "$loader")

# falls_back PATTERN NAME COMMAND...: watches by polling, says why, and sees a stall
falls_back()
{
	local pattern=$1 name=$2

	shift 2
	start_stalls sleep:0.5 idle:0.2
	rm -f "$records"
	start "$@" --json --output "$records" --alert-interval 100ms --pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 grep -q 'Successfully monitoring' "$records" || diag "it does not watch"
	go
	finish
	check "$name: auto takes poll and says why" grep -Eq "backend poll, since bpf cannot be used: $pattern" "$said"
	is "$(wc -l <"$said") $(grep -Ev "$pattern" "$said")" "1 " "$name: in one line"
	is "$(count "$detected"),$watch_status" 1,0 "$name: stalls are seen"
	check "$name: by valid records" json_check "$records"
}

test_without_bpf()
{
	refused 1 "backend bpf: needs CAP_BPF.*--backend=poll" "--backend=bpf without CAP_BPF" \
		"${contained[@]}" --backend bpf --pid "$target"
	falls_back "needs CAP_BPF" "without CAP_BPF" "${contained[@]}"
	if ! unshare --mount sh -c 'mount -t tmpfs none /sys/kernel/btf' 2>/dev/null; then
		for part in 1 2 3 4 5; do skip "without BTF: $part" "cannot hide /sys/kernel/btf"; done
		return
	fi
	refused 1 "backend bpf: cannot read /sys/kernel/btf/vmlinux.*--backend=poll" "--backend=bpf without BTF" \
		"${no_btf[@]}" --backend bpf --pid "$target"
	falls_back "cannot read /sys/kernel/btf/vmlinux" "without BTF" "${no_btf[@]}"
}

plan 56
mkdir -m 755 "$tmp/open"
chmod 755 "$tmp"
install -m 755 "$loader" "$tmp/open/perpetuo-bpf"
start_threaded
start_stalls idle:100
test_pids
test_ordinary_user
test_values
test_outputs
test_without_bpf
