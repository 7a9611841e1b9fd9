#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
#
# Outputs that fail during a watch: it goes on, what was written stays whole, what is lost is counted;
# and a reader that has gone ends it.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_root
need_tool jq
need_extension

# Steps that make many records with stacks.
steps=()
for i in {1..12}; do steps+=("sleep:0.15:section-$i" idle:0.05); done

# finish_without_records: as finish, where there are none, or others have written among them
finish_without_records()
{
	wait_for 60 grep -q '^done' "$truth" || diag "the target hangs"
	reap "$target"
	wait_for 20 process_over "$watcher" || diag "the loader did not leave with its target"
	reap "$watcher"
	watch_status=$status
}

# lost AT_LEAST: so many records were lost, by --stats
lost()
{
	awk -v least="$1" '$1 == "session.records_lost" { n = $2 } END { exit !(n >= least) }' "$said"
}

test_full_device()
{
	start_stalls sleep:0.3 idle:0.1
	start "$loader" --backend poll --alert-interval 100ms --stats --output /dev/full --pid "$target" 2>"$said"
	watcher=$started
	wait_for 20 grep -q 'cannot write' "$said" || diag "nothing is said"
	go
	finish_without_records
	is "$watch_status" 0 "a full device: the watch goes on"
	check "a full device: said, with the place and the reason" \
		grep -q 'cannot write a record to /dev/full: No space left on device (1 records lost so far)' "$said"
	check "a full device: what is lost is counted" lost 4
}

test_full_disk()
{
	mkdir "$tmp/disk"
	if ! mount -t tmpfs -o size=16k none "$tmp/disk" 2>/dev/null; then
		for part in 1 2 3 4 5; do skip "a full disk $part" "cannot mount a tmpfs"; done
		return
	fi
	start_stalls "${steps[@]}"
	head -c 6000 /dev/zero >"$tmp/disk/other"
	records=$tmp/disk/records
	start_watch --backend poll --alert-interval 50ms --stats
	go
	finish
	cp "$records" "$tmp/kept"
	umount "$tmp/disk"
	is "$watch_status" 0 "a full disk: the watch goes on"
	check "a full disk: said" grep -q "cannot write a record to $tmp/disk/records: No space left" "$said"
	check "a full disk: what is lost is counted" lost 1
	check "a full disk: what was written is whole" json_check "$tmp/kept"
	check "a full disk: records of stalls among it" grep -q '"detected"' "$tmp/kept"
}

test_room_again()
{
	mkdir "$tmp/room"
	if ! mount -t tmpfs -o size=16k none "$tmp/room" 2>/dev/null; then
		for part in 1 2; do skip "room again $part" "cannot mount a tmpfs"; done
		return
	fi
	start_stalls sleep:0.3:lost idle:0.5 sleep:0.3:kept idle:0.1
	records=$tmp/room/records
	start_watch --backend poll --alert-interval 100ms
	dd if=/dev/zero of="$tmp/room/other" bs=4k 2>/dev/null
	# what is left of the file's last block
	dd if=/dev/zero of="$tmp/room/records" oflag=append conv=notrunc bs=1 count=4096 2>/dev/null
	go
	wait_for 20 grep -q 'cannot write' "$said" || diag "it is not full"
	wait_for 20 grep -q '^lost' "$truth"
	rm "$tmp/room/other"
	finish_without_records
	check "room again: later records are written" grep -aq '"kept"' "$tmp/room/records"
	is "$watch_status" 0 "room again: the loader leaves with its target"
	umount "$tmp/room"
}

test_closed_pipe()
{
	start_stalls sleep:30
	go
	rm -f "$tmp/statuses"
	# shellcheck disable=SC2016  # the child expands it
	start bash -c '"$@" | head -n 1; echo "${PIPESTATUS[0]}" >"$0"' "$tmp/statuses" \
		"$loader" --backend poll --alert-interval 100ms --pid "$target" >"$tmp/head" 2>"$said"
	wait_for 30 test -s "$tmp/statuses" || diag "the loader hangs"
	is "$(cat "$tmp/statuses")" 1 "a closed pipe: exit status 1"
	is "$(wc -l <"$tmp/head")" 1 "a closed pipe: the reader got its line"
	is "$(cat "$said")" "perpetuo-bpf: error: cannot write a record to standard output: Broken pipe" \
		"a closed pipe: one line says so"
	check "a closed pipe: the target goes on" kill -0 "$target"
	stop "$target"
}

# A reader that has gone before the first record.
test_no_reader()
{
	start_stalls idle:30
	# shellcheck disable=SC2016  # the child expands it
	start bash -c '"$@" > >(exec true); echo $? >"$0"' "$tmp/early" \
		sh -c 'sleep 0.3; exec "$0" "$@"' "$loader" --backend poll --pid "$target" 2>"$said"
	wait_for 30 test -s "$tmp/early" || diag "the loader hangs"
	is "$(cat "$tmp/early")" 1 "nobody reads from the beginning: exit status 1"
	is "$(cat "$said")" "perpetuo-bpf: error: cannot write a record to standard output: Broken pipe" \
		"nobody reads from the beginning: one line says so"
	stop "$target"
}

# Its file was removed: nobody sees what is written, and nothing breaks.
test_removed()
{
	records=$tmp/removed
	start_stalls sleep:0.3 idle:0.1
	start_watch --backend poll --alert-interval 100ms
	rm "$records"
	go
	finish_without_records
	is "$watch_status,$(wc -l <"$said")" 0,0 "an output that was removed: the watch goes on"
}

plan 17
test_full_device
test_full_disk
test_room_again
test_closed_pipe
test_no_reader
test_removed
