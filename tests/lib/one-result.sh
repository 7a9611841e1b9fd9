#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# one-result.sh NAME COMMAND...: a command that knows nothing of TAP as a test of one result.
# Exit status 4 is a skip, its reason the last line that the command printed.

name=$1
shift
echo 1..1
output=$("$@" 2>&1)
status=$?
[ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/# /'
case $status in
0) echo "ok 1 - $name" ;;
4) echo "ok 1 - $name # SKIP ${output##*$'\n'}" ;;
*)
	echo "not ok 1 - $name (exit status $status)"
	exit 1
	;;
esac
