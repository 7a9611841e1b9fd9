#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 180
# sanitize: yes
#
# Threads that wait for locks: which, who holds it, and deadlocks by name, for each CPython.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_extension

# watch_locks PYTHON STEP...: all of it
watch_locks()
{
	local python=$1

	shift
	PYTHONPATH=${package:-$build/python} start_target "$python" "$top/tests/targets/why.py" "$@"
	start_watch --alert-interval 60ms --sources slot --no-print-locals
	go
	finish
}

# says NAME KIND PATTERN WHAT: the detected record of a tracker
says()
{
	local got

	got=$(first ".additional_info.name == \"$1\" and $detected" '.stall.why | .kind + ": " + .verdict')
	if [[ "$got" =~ ^$2:\ .*$3 ]]; then ok "$4"; else not_ok "$4" "got '$got'"; fi
}

test_locks()
{
	watch_locks "$1" lock bare rlock notified join mutex deadlock
	says lock lock 'for a threading\.Lock that holder \(tid [0-9]+\) holds' "$2: a Lock that a with block holds"
	is "$(first ".additional_info.name == \"lock\" and $detected" '.stall.why.lock_holder_tid != null')" true \
		"$2: with the thread"
	says bare lock 'for a threading\.Lock, in ' "$2: a Lock of which nobody knows"
	says rlock lock 'for a threading\.RLock that holder \(tid [0-9]+\) holds' "$2: an RLock"
	says notified lock 'for the notification of a threading\.Condition' "$2: a Condition"
	says join lock 'for the end of a thread' "$2: the end of a thread"
	says mutex lock 'for a C mutex that holder \(tid [0-9]+\) holds' "$2: a mutex of the C library"
	says deadlock deadlock 'MainThread waits for a threading\.Lock that other .* holds, other waits for a threading\.RLock that MainThread .* holds' \
		"$2: a deadlock, with its members"
}

# One extension serves all that have a GIL.
found=()
for version in 3.9 3.10 3.11 3.12 3.13 3.14 3.15; do
	while read -r each; do
		PYTHONPATH=$build/python "$each" -c 'import perpetuo, ctypes' 2>/dev/null || continue
		found+=("$each")
		break
	done < <(pythons "$version")
done
plan $((8 * ${#found[@]}))
for each in "${found[@]}"; do
	version=$("$each" -I -c 'import platform; print(platform.python_version())')
	test_locks "$each" "$version"
done
