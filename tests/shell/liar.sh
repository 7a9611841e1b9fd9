#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 180
# sanitize: yes
#
# A program whose memory lies to whoever reads a CPython in it (tests/targets/liar.c), dumped and
# watched: no crash, no hang, bounded memory, and what could not be read is said.

. "$(dirname "$0")/../lib/tap.sh"
need_root

liar=$build/tests/targets/liar
mapfile -t modes < <("$liar")

# What must be said of each lie, in the text of a dump.
declare -A said=(
	[honest]='liar_0 .*:10'
	[frame-ring]='incomplete: the stack has no end'
	[thread-ring]='incomplete: the list of threads runs in a circle'
	[interpreter-ring]='incomplete: the list of interpreters runs in a circle'
	[lengths]='incomplete: a frame has no code object'
	[dicts]='liar_0 .*:10'
	[stack-sizes]='incomplete: the stack does not end where the thread began'
	[wild-pointers]='incomplete: the list of threads changed while it was read'
	[offsets]='CPython 3.13.0 .*damaged.* is not known yet; known are'
	[moving]=.
	[vanishing]=.
)

# bounded COMMAND...: its output in $tmp/out; prints status, seconds, MiB at its largest
bounded()
{
	/usr/bin/python3 -I - "$tmp/out" "$@" <<-'EOP'
		import resource, subprocess, sys, time

		start = time.monotonic()
		with open(sys.argv[1], "w") as out:
		    try:
		        status = subprocess.run(sys.argv[2:], stdout=out, stderr=out, timeout=60).returncode
		    except subprocess.TimeoutExpired:
		        status = "hangs"
		usage = resource.getrusage(resource.RUSAGE_CHILDREN)
		print(status, round(time.monotonic() - start), usage.ru_maxrss // 1024)
	EOP
}

# says MODE: what must be said is, and nothing is missing where nothing of a stack is a lie
says()
{
	grep -q "${said[$1]}" "$tmp/out" || return 1
	case $1 in honest | dicts) ! grep -q incomplete "$tmp/out" ;; esac
}

start_liar()
{
	start "$liar" "$1" >"$tmp/ready"
	wait_for 20 grep -q ready "$tmp/ready" || diag "no target"
	target=$started
}

# Twice the walk's deadline and the self-test, with room for a machine that is busy; sanitizers keep
# what was freed.
test_dump()
{
	local status seconds mib limit=64

	if sanitized; then limit=1024; fi
	start_liar "$1"
	read -r status seconds mib < <(bounded "$loader" dump --locals "$target")
	diag "$1: status $status, $seconds s, $mib MiB"
	check "$1: the dump ends ($status)" test "$status" = 0 -o "$status" = 1
	check "$1: in time and bounded memory" test "$seconds" -le 20 -a "$mib" -lt $limit
	check "$1: it says what it could not see" says "$1"
	is "$(LC_ALL=C grep -c -a "$(printf '[\001-\010\013-\037\177]')" "$tmp/out")" 0 \
		"$1: nothing that acts on a terminal"
	stop "$target" KILL
}

# The page of the liar has a section that never ends: its stacks are read again and again.
test_watch()
{
	start_liar "$1"
	start "$loader" --backend "$2" --alert-interval 100ms --pid "$target" >"$tmp/out" 2>&1
	wait_for 20 grep -q 'Stall detected' "$tmp/out" || diag "$(tail -n 3 "$tmp/out")"
	check "$1, $2: the stall is told" grep -q 'Stall detected' "$tmp/out"
	stop "$started"
	is "$status" 0 "$1, $2: the loader leaves when it is told to"
	stop "$target" KILL
}

backends=(poll)
[ ! -r /sys/kernel/btf/vmlinux ] || backends+=(bpf)
plan $((${#modes[@]} * (4 + 2 * ${#backends[@]})))
for mode in "${modes[@]}"; do
	test_dump "$mode"
	for backend in "${backends[@]}"; do test_watch "$mode" "$backend"; done
done
