#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
#
# perpetuo-bpf dump, and watches, of programs that are not as they should be: stopped, ending, with
# many threads, of a Python that is not known, in namespaces.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_root
need_tool jq
need_extension

# launch COMMAND...: until it says that it is ready; pid in $target
launch()
{
	: >"$tmp/ready"
	start "$@" >"$tmp/ready" 2>"$tmp/target-stderr"
	target=$started
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $*: $(tail -n 3 "$tmp/target-stderr")"
}

sleeper='import time
def stuck():
    time.sleep(1000)
print("ready", flush=True)
stuck()'

test_dump()
{
	local one two other

	launch "$PYTHON" -c "$sleeper"
	one=$target
	launch "$PYTHON" -c "$sleeper"
	two=$target
	start sleep 100
	other=$started
	check_status 0 "two programs" "$loader" dump "$one" "$two"
	is "$(grep -c 'stuck (.*:[0-9]*)' "$tmp/stdout")" 2 "two programs: both are shown"
	check_status 1 "a bad one among good ones: exit status 1" "$loader" dump "$one" "$other" "$two"
	is "$(grep -c 'stuck (.*:[0-9]*)' "$tmp/stdout")" 2 "a bad one among good ones: the good ones are shown"
	is "$(wc -l <"$tmp/stderr")" 1 "a bad one among good ones: one line for the bad one"
	check "a bad one among good ones: which says why" grep -q "there is no Python in process $other" "$tmp/stderr"
	kill -STOP "$one"
	check_status 0 "a stopped program" timeout -s KILL 30 "$loader" dump "$one"
	check "a stopped program: its stack" grep -q stuck "$tmp/stdout"
	check_status 0 "as JSON" "$loader" dump --json "$one" "$two"
	check "as JSON: valid records" json_check "$tmp/stdout"
	stop "$one" KILL
	check_status 1 "a program that has gone" "$loader" dump "$one"
	is "$(cat "$tmp/stderr")" "perpetuo-bpf: error: there is no process $one" "a program that has gone: one line"
	stop "$two" KILL
}

test_threads()
{
	launch "$PYTHON" -c 'import threading, time
def worker():
    time.sleep(1000)
for i in range(200):
    threading.Thread(target=worker, daemon=True).start()
print("ready", flush=True)
time.sleep(1000)'
	check_status 0 "200 threads" timeout -s KILL 60 "$loader" dump --json "$target"
	is "$(jq '[.. | objects | select(.name? == "worker" and has("line"))] | length' "$tmp/stdout")" 200 \
		"200 threads: each is shown"
	stop "$target" KILL
}

# Programs that end while they are looked at: shown, or said to have gone.
test_ending()
{
	local failed='' status i

	for i in {1..15}; do
		start "$PYTHON" -c 'import time; time.sleep(0.15)'
		sleep "0.$((i % 5 + 10))"
		status=0
		timeout -s KILL 30 "$loader" --backend poll dump "$started" >"$tmp/out" 2>"$tmp/err" || status=$?
		[ $status -le 1 ] && [ "$(wc -l <"$tmp/err")" = $status ] || failed+="$status: $(cat "$tmp/err") "
		reap "$started"
	done
	is "$failed" "" "programs that end meanwhile: shown, or one line"
}

# unknown PYTHON VERSION: refused by name
unknown()
{
	launch "$1" -c "$sleeper"
	check_status 1 "Python $2: a dump is refused" "$loader" dump "$target"
	check "Python $2: by name: $(cat "$tmp/stderr")" grep -Eq "CPython .*${2%t}.* is not known yet; known are 3" "$tmp/stderr"
	is "$(wc -l <"$tmp/stderr")" 1 "Python $2: in one line"
	stop "$target" KILL
}

# lying PYTHON: one that says of itself what cannot be, as one of a future version may
lying()
{
	local PYTHON=$1 package=$tmp/lie:$build/python

	mkdir "$tmp/lie"
	cat >"$tmp/lie/sitecustomize.py" <<-'EOF'
		import ctypes

		offsets = (ctypes.c_uint64 * 3).in_dll(ctypes.pythonapi, "_PyRuntime")
		offsets[1] = 0x03630000
	EOF
	start_stalls sleep:0.4 idle:0.1
	start_watch --backend poll --alert-interval 100ms
	go
	finish
	is "$(count "$detected"),$(count "$ended")" 1,1 "an unknown Python: its stalls are told"
	is "$(first "$detected" '.stall.note | test("no stacks: CPython .* is not known yet")')" true \
		"an unknown Python: and why there are no stacks"
}

# A process that was started with another CLOCK_MONOTONIC.
test_time_namespace()
{
	local backend=$1 child

	if ! unshare --time --monotonic 100000 true 2>/dev/null; then
		for part in 1 2; do skip "$backend, time namespace $part" "no time namespaces"; done
		return
	fi
	rm -f "$tmp/go"
	STALLS_GO=$tmp/go PYTHONPATH=$build/python start unshare --time --monotonic 100000 --fork --kill-child \
		"$PYTHON" "$top/tests/targets/stalls.py" sleep:0.5 idle:0.1 >"$truth"
	wait_for 20 grep -q '^ready' "$truth" || diag "no target"
	child=$started
	target=$(awk '$1 == "ready" { print $2 }' "$truth")
	start_watch --backend "$backend" --alert-interval 100ms
	go
	target=$child finish
	near "$(first "$ended" '.stall.start_monotonic_ns / 1e6')" \
		"$(awk '$1 == "sleep" { print $2 / 1e6 - 100000e3 }' "$truth")" 5 "$backend, time namespace: the start on our clock"
	near "$(first "$ended" .stall.duration_ms)" "$(awk '$1 == "sleep" { print ($3 - $2) / 1e6 }' "$truth")" 5 \
		"$backend, time namespace: the total"
}

test_pid_namespace()
{
	local backend=$1 outer

	rm -f "$tmp/go"
	STALLS_GO=$tmp/go PYTHONPATH=$build/python start unshare --pid --fork --kill-child \
		"$PYTHON" "$top/tests/targets/stalls.py" two:0.5 idle:0.1 >"$truth"
	wait_for 20 grep -q '^ready' "$truth" || diag "no target"
	outer=$started
	target=$(pgrep -P "$outer")
	start_watch --backend "$backend" --alert-interval 100ms
	go
	wait_for 20 grep -q 'worker-2' "$records" || diag "not detected"
	for tid in "/proc/$target/task/"*; do echo "${tid##*/}"; done >"$tmp/tids"
	target=$outer finish
	is "$(jq -rs "map(select($detected) | .stall.thread) | sort | join(\" \")" "$records")" "worker-1 worker-2" \
		"$backend, pid namespace: the threads of the report are right"
	check "$backend, pid namespace: by their ids out here" test "$(jq -rs "map(select($detected) | .stall.tid) | .[]" \
		"$records" | grep -cxFf "$tmp/tids")" = 2
}

# The promise is 16 MiB; the assertion leaves room for other allocators and sanitizers' absence.
test_memory()
{
	local backend=$1 rss

	start_stalls sleep:0.3 idle:0.1 sleep:30
	start_watch --backend "$backend" --alert-interval 100ms
	go
	wait_for 20 grep -q '"ended"' "$records" || diag "no stall"
	rss=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$watcher/status")
	diag "$backend: resident memory of the loader: $rss KiB"
	if sanitized; then
		skip "$backend: the loader is small" "a sanitised loader is not"
	else
		check "$backend: the loader is small ($rss KiB)" test "$rss" -lt 32768
	fi
	stop "$watcher"
	stop "$target" KILL
}

mapfile -t unknown < <(pythons 3.8)
mapfile -t liars < <(pythons 3.13 3.14 3.15 | head -n 1)
backends=(poll)
[ ! -r /sys/kernel/btf/vmlinux ] || backends+=(bpf)
plan $((15 + 3 * ${#unknown[@]} + 2 * ${#liars[@]} + 5 * ${#backends[@]}))
test_dump
test_threads
test_ending
for candidate in "${unknown[@]}"; do unknown "$candidate" "$(python_version "$candidate")"; done
for candidate in "${liars[@]}"; do lying "$candidate"; done
for backend in "${backends[@]}"; do
	test_time_namespace "$backend"
	test_pid_namespace "$backend"
	test_memory "$backend"
done
