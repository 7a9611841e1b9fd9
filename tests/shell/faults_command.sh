#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
# shellcheck disable=SC2016  # the children expand what stands in single quotes
#
# perpetuo-bpf -- COMMAND: status, streams, signals and user of the command are the command's own.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_root
need_tool jq setpriv
need_extension

unset SUDO_UID SUDO_GID SUDO_USER
run=("$loader" --backend poll --alert-interval 100ms)

test_status()
{
	check_status 7 "exit status: the command's" "${run[@]}" -- sh -c 'exit 7'
	is "$(sed -E 's/[0-9]+/N/' "$tmp/stderr" | grep -c '^.Info. Process N has exited; it had no perpetuo trackers')" 1 \
		"exit status: and that nothing could be watched is said"
	is "$(wc -l <"$tmp/stderr")" 1 "exit status: in one line"
	check_status 0 "exit status: 0" "${run[@]}" -- true
	check_status 143 "exit status: 128 + signal" "${run[@]}" -- sh -c 'kill -TERM $$'
	check_status 137 "exit status: killed" "${run[@]}" -- sh -c 'kill -KILL $$'
	check_status 127 "a command that is not there" "${run[@]}" -- no-such-command-of-ours
	is "$(cat "$tmp/stderr")" \
		"perpetuo-bpf: error: cannot execute no-such-command-of-ours: No such file or directory" \
		"a command that is not there: one line says so"
	echo data >"$tmp/data"
	check_status 126 "a command that cannot be executed" "${run[@]}" -- "$tmp/data"
	is "$(cat "$tmp/stderr")" "perpetuo-bpf: error: cannot execute $tmp/data: Permission denied" \
		"a command that cannot be executed: one line says so"
	check_status 126 "a directory as command" "${run[@]}" -- /
	check_status 125 "an output that cannot be opened" "${run[@]}" --output "$tmp/no/such" -- touch "$tmp/ran"
	check_status 125 "a user who is not there" "${run[@]}" --user no-such-user -- touch "$tmp/ran"
	check "and the command does not run" test ! -e "$tmp/ran"
	check_status 3 "a command that forks and exits" "${run[@]}" -- sh -c 'sleep 2 & exit 3'
}

test_streams()
{
	printf 'one\ntwo' | "${run[@]}" -- cat >"$tmp/out" 2>"$tmp/err"
	is "$(cat "$tmp/out")" "one
two" "standard input and output are the command's"
	is "$(wc -l <"$tmp/err")" 1 "and all that we say goes to standard error"
	"${run[@]}" -- sh -c 'echo out; echo err >&2' >"$tmp/out" 2>"$tmp/err" <&-
	is "$(cat "$tmp/out"),$(head -n 1 "$tmp/err")" "out,err" "with standard input closed, too"
	"${run[@]}" -- sh -c 'ls -l /proc/self/fd | sed -n "s/.* -> //p" | grep -Ev "/fd$|null|pipe|/(out|err)$"' \
		>"$tmp/out" 2>"$tmp/err" </dev/null
	is "$(cat "$tmp/out")" "" "no descriptor of ours is open in the command"
	"${run[@]}" -- sh -c 'ulimit -f >/dev/null; nice; grep SigBlk /proc/self/status' >"$tmp/out" 2>/dev/null </dev/null
	is "$(paste -sd ' ' "$tmp/out")" "$(nice) SigBlk:	0000000000000000" "neither our priority nor our signal mask"
	"${run[@]}" -- sh -c 'grep NoNewPrivs /proc/self/status' >"$tmp/out" 2>/dev/null </dev/null
	is "$(cat "$tmp/out")" "NoNewPrivs:	0" "nor that it may gain no privileges"
}

test_user()
{
	local who='id -u; id -g; id -G; echo "$HOME"; grep CapEff /proc/self/status | cut -f 2'
	local nobody

	nobody="$(id -u nobody) $(id -g nobody) $(id -G nobody) $(getent passwd nobody | cut -d : -f 6) 0000000000000000"
	"${run[@]}" --user nobody -- sh -c "$who" >"$tmp/out" 2>"$tmp/err" </dev/null
	is "$(paste -sd ' ' "$tmp/out")" "$nobody" "--user: the command runs as that user, with nothing of root"
	SUDO_UID=$(id -u nobody) SUDO_GID=$(id -g nobody) "${run[@]}" -- sh -c "$who" >"$tmp/out" 2>"$tmp/err" </dev/null
	is "$(paste -sd ' ' "$tmp/out")" "$nobody" "SUDO_UID: as the user who called sudo"
	SUDO_UID=$(id -u nobody) "${run[@]}" --user root -- id -u >"$tmp/out" 2>"$tmp/err" </dev/null
	is "$(cat "$tmp/out")" 0 "--user comes before SUDO_UID"
	SUDO_UID=54321 check_status 125 "SUDO_UID of nobody" "${run[@]}" -- true
	SUDO_UID=rubbish check_status 125 "SUDO_UID that is no number" "${run[@]}" -- id -u
	is "$(wc -l <"$tmp/stderr")" 1 "SUDO_UID that is no number: one line says so"
}

# start_run COMMAND...: it is running when this returns ("ready" in $tmp/out)
start_run()
{
	: >"$tmp/out"
	# a shell starts in the background what ignores SIGINT
	start env --default-signal=INT "${run[@]}" -- "$@" >"$tmp/out" 2>"$tmp/err"
	watcher=$started
	wait_for 20 grep -q ready "$tmp/out" || diag "it does not run: $(cat "$tmp/err")"
}

test_signals()
{
	local signal

	for signal in TERM HUP INT; do
		start_run sh -c "trap 'echo got $signal; exit 9' $signal; echo ready; while :; do sleep 0.05; done"
		kill -s "$signal" "$watcher"
		wait_for 10 process_over "$watcher" || diag "it hangs"
		stop "$watcher" KILL
		is "$status,$(tail -n 1 "$tmp/out")" "9,got $signal" "SIG$signal is passed on"
	done
	start_run sh -c 'echo ready; exec sleep 100'
	kill -TERM "$watcher"
	wait_for 10 process_over "$watcher" || diag "it hangs"
	stop "$watcher" KILL
	is "$status" 143 "SIGTERM: and the status tells of it"
	start_run sh -c 'echo ready $$; exec sleep 100'
	kill -KILL "$watcher"
	reap "$watcher"
	child=$(awk '{ print $2 }' "$tmp/out")
	check "killed with -9: the command goes on" kill -0 "$child"
	kill "$child"
}

# Ctrl-C at a terminal: the command gets one SIGINT, and decides.
test_terminal()
{
	cat >"$tmp/terminal.py" <<-'END'
	import os, pty, sys, time
	pid, fd = pty.fork()
	if pid == 0:
	    os.execvp(sys.argv[1], sys.argv[1:])
	seen = b""
	while b"ready" not in seen:
	    seen += os.read(fd, 1000)
	os.write(fd, b"\x03")
	try:
	    while True:
	        data = os.read(fd, 1000)
	        if not data:
	            break
	        seen += data
	except OSError:
	    pass
	print(seen.count(b"<int>"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	END
	timeout -s KILL 30 python3 "$tmp/terminal.py" "${run[@]}" -- python3 -c 'import os, signal, sys, time
n = 0
def hit(*args):
    global n
    n += 1
    os.write(1, b"<int>\n") # print() may be under way
signal.signal(signal.SIGINT, hit)
print("ready", flush=True)
end = time.monotonic() + 10
while not n and time.monotonic() < end:
    time.sleep(0.05)
time.sleep(0.3)
sys.exit(5)' >"$tmp/out" 2>"$tmp/err"
	is "$(cat "$tmp/out")" "1 5" "Ctrl-C: the command gets it once and decides"
}

test_python()
{
	local backends=(poll) backend

	[ ! -r /sys/kernel/btf/vmlinux ] || backends+=(bpf)
	for backend in "${backends[@]}"; do
		rm -f "$records"
		PYTHONPATH=$build/python "$loader" --backend "$backend" --alert-interval 100ms --json -- \
			"$PYTHON" "$top/tests/targets/stalls.py" idle:0.4 sleep:1 idle:0.1 >"$truth" 2>"$records" </dev/null
		is "$?,$(count "$detected"),$(count "$ended")" 0,1,1 "$backend, Python: its stall is told"
		is "$(tail -n 1 "$truth")" "done" "$backend, Python: reports go to standard error"
		check "$backend, Python: by valid records" json_check "$records"
	done
	[ ${#backends[@]} = 2 ] || for part in 1 2 3; do skip "bpf, Python $part" "the kernel has no BTF"; done
}

plan 39
test_status
test_streams
test_user
test_signals
test_terminal
test_python
