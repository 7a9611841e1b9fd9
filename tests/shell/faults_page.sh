#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
#
# Pages that lie: no crash, no hang, nothing that acts on a terminal, valid records, and who is
# watched beside the liar is watched as ever.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_root
need_tool jq
need_extension

liar=

start_liar()
{
	start "$build/tests/targets/faults_page" "$1" >"$tmp/liar"
	liar=$started
	wait_for 20 grep -q ready "$tmp/liar" || diag "no target"
}

# beside BACKEND MODE [OPTION...]: the liar and an honest program watched at once
beside()
{
	local backend=$1 mode=$2

	shift 2
	start_liar "$mode"
	start_stalls idle:0.1 sleep:0.4:honest idle:0.1
	rm -f "$records"
	watched_since=$SECONDS
	start "$loader" "$@" --backend "$backend" --alert-interval 100ms --output "$records" --pid "$liar" \
		--pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 grep -q "Successfully monitoring pid $target" "$records" || diag "it does not watch: $(cat "$said")"
	kill -USR1 "$liar"
	go
	wait_for 60 grep -q '^done' "$truth" || diag "the honest program hangs"
	reap "$target"
	# What is told of a liar comes after what was told before it, and there is a lot of it.
	wait_for 30 grep -q "Process $target has exited" "$records" || diag "the exit is not told"
}

# leave NAME: the loader goes at once when it is told to
leave()
{
	kill -TERM "$watcher"
	wait_for 10 process_over "$watcher" || diag "the loader hangs"
	stop "$watcher"
	is "$status" 0 "$1: the loader leaves when it is told to"
	stop "$liar" KILL
}

# harmless NAME: nothing but text in what was written
harmless()
{
	is "$(LC_ALL=C grep -c -a "$(printf '[\001-\010\013-\037\177]')" "$records" "$said" | paste -sd ' ')" \
		"$records:0 $said:0" "$1: nothing that acts on a terminal"
}

# refreshes NAME: how often the facts of the pages were read again; 50 ms apart at least, however
# long a busy machine took for all of it
refreshes()
{
	local n limit=$((20 * (SECONDS - watched_since + 2)))

	n=$(awk '$1 == "session.refreshes" { print $2 }' "$said")
	check "$1: its facts were read $n times again, not each time that they changed" test "$n" -lt $limit
}

lying()
{
	local name="$1 $2"

	beside "$1" "$2" --json --stats
	leave "$name"
	check "$name: every record is valid" json_check "$records"
	harmless "$name"
	is "$(count "$detected and .additional_info.name == \"honest\"")" 1 \
		"$name: the stall of the program beside it is told"
	# "running" hides its own stalls; nobody else's
	if [ "$2" = running ]; then
		refreshes "$name"
	else
		check "$name: its own stalls are told" test "$(count "$detected and .stall.pid == $liar")" -gt 50
	fi
}

lying_in_text()
{
	beside poll "$1"
	leave "text of $1"
	harmless "text of $1"
	check "text of $1: its names are told" grep -q 'owned' "$records"
}

# not_a_page MODE PATTERN: it has no page that can be believed
not_a_page()
{
	start_liar "$1"
	check_status 1 "$1: refused" timeout -s KILL 30 "$loader" --pid "$liar"
	check "$1: $2" grep -Eq "$2" "$tmp/stdout" "$tmp/stderr"
	is "$(wc -l <"$tmp/stderr")" 1 "$1: with one line"
	stop "$liar" KILL
}

plan 55
not_a_page version 'perpetuo format version mismatch \(target is v7; we support v0 and v1\)'
for mode in elsewhere metas; do not_a_page "$mode" 'has no perpetuo trackers'; done
lying_in_text v0
lying_in_text v1
for backend in poll bpf; do
	if [ "$backend" = bpf ] && [ ! -r /sys/kernel/btf/vmlinux ]; then
		for part in {1..20}; do skip "bpf $part" "the kernel has no BTF"; done
		continue
	fi
	for mode in v0 v1 running turning; do lying "$backend" "$mode"; done
done
