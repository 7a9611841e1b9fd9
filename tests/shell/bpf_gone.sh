#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# sanitize: yes
#
# Whatever ends the loader, nothing of it stays in the kernel.

. "$(dirname "$0")/../lib/tap.sh"
need_bpf
need_tool bpftool

# programs_of PID: the ids of the BPF programs that it holds, one a line. Names would be those of
# another loader on this machine, too.
programs_of()
{
	cat /proc/"$1"/fdinfo/* 2>/dev/null | sed -n 's/^prog_id:[[:space:]]*//p' | sort -un
}

is_watching() { grep -q 'has no perpetuo trackers yet' "$tmp/out"; }

# The kernel frees programs and timers after a grace period.
are_gone()
{
	local id

	for id in $programs; do
		! bpftool prog show id "$id" || return 1
	done
}

test_end()
{
	local target

	start /usr/bin/python3 -c 'import time; time.sleep(1000)'
	target=$started
	start "$loader" --backend=bpf --pid "$target" >"$tmp/out" 2>"$tmp/err"
	wait_for 20 is_watching || diag "not watching: $(tail -n 5 "$tmp/err")"
	programs=$(programs_of "$started")
	if [ -n "$programs" ] && ! are_gone >/dev/null 2>&1; then ok "$1: the programs are there"; else
		not_ok "$1: the programs are there" "$(tail -n 5 "$tmp/err")"
	fi
	stop "$started" "$1"
	is "$status" "$2" "$1: the loader's exit status"
	if wait_for 10 are_gone; then ok "$1: the programs are gone"; else
		not_ok "$1: the programs are gone" "of these some are left: $programs"
	fi
	stop "$target"
}

plan 9
test_end KILL 137
test_end TERM 0
test_end INT 0
