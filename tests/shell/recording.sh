#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 60
# sanitize: yes
# parallel: yes
#
# scripts/record keeps of a living process what a dump reads, and the dump can be made again when the
# process is gone.

. "$(dirname "$0")/../lib/tap.sh"
need_root

again=$build/tests/unit/test_recording
export BUILD=$build
plan 5
start /usr/bin/python3 "$top/tests/targets/recorded.py" "$tmp/truth" >"$tmp/ready"
wait_for 30 grep -q ready "$tmp/ready" || diag "no target"
check "a process is recorded" "$top/scripts/record" --pid "$started" "$tmp/kept.rec"
stop "$started" KILL
"$again" print "$tmp/kept.rec" 2>"$tmp/about" | sort >"$tmp/seen"
sort "$tmp/truth" >"$tmp/told"
check "what Python said of it comes out of the file: $(cat "$tmp/about")" cmp "$tmp/told" "$tmp/seen"
check "the file is small" test "$(stat -c %s "$tmp/kept.rec")" -lt 300000
check_status 1 "a process that is gone" "$top/scripts/record" --pid "$started" "$tmp/none.rec"
head -c 20000 "$tmp/kept.rec" >"$tmp/cut.rec"
check_status 1 "a file that is cut" "$again" print "$tmp/cut.rec"
