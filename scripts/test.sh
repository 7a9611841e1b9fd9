#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# sudo scripts/test.sh: installs what the tests need and runs all of them, in stages with a time
# budget each and one for all together. The last line is 'N passed, N failed, N skipped'; exit status 0 when nothing failed.
# Works on a fresh Debian 12 or 13, from any directory, and again at once.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

# One interpreter whatever PATH says; the tests find the others themselves.
python=/usr/bin/python3
jobs=$(getconf _NPROCESSORS_ONLN)
build=build
logs=$build/test
# All of it: a stage gets what is left, if that is less than its own budget.
total=3300
# Of each fuzz target; scripts/fuzz.sh gives them ten minutes.
export FUZZ_SECONDS="${FUZZ_SECONDS:-60}"
began=$(date +%s)
passed=0
failed=0
skipped=0
running=

finish()
{
	status=$?
	trap '' INT TERM HUP
	# timeout hands the signal on to all that it started.
	[ -z "$running" ] || kill -s TERM "$running" 2>/dev/null
	give_back "$build"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# run_stage NAME BUDGET COMMAND...: output to the terminal and to the log, exit status in
# $stage_status, which is not 0 when the budget was used up
run_stage()
{
	stage=$1
	budget=$2
	log=$logs/$stage.log
	shift 2
	left=$((began + total - $(date +%s)))
	[ $left -ge "$budget" ] || budget=$((left > 1 ? left : 1))
	echo
	echo "== $stage (at most $budget s): $*"
	started=$(date +%s)
	: >"$log"
	timeout -k 10 "$budget" "$@" >"$log" 2>&1 </dev/null &
	running=$!
	tail -n +1 -s 0.3 -f --pid=$running "$log" &
	printer=$!
	stage_status=0
	wait "$running" || stage_status=$?
	running=
	wait "$printer"
	echo "== $stage: $(($(date +%s) - started)) s$([ $stage_status = 0 ] || echo ", FAILED")"
}

# one NAME BUDGET COMMAND...: a stage that is one result; 1 when it failed. Exit status 4 is a skip.
one()
{
	run_stage "$@"
	case $stage_status in
	0) passed=$((passed + 1)) ;;
	4) skipped=$((skipped + 1)) ;;
	*)
		failed=$((failed + 1))
		return 1
		;;
	esac
}

# many NAME BUDGET ARGUMENT...: a stage of tests/run, with the results that it counts
many()
{
	stage=$1
	budget=$2
	shift 2
	run_stage "$stage" "$budget" tests/run "$@"
	counts=$(tail -n 1 "$log" |
		sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
	if [ -z "$counts" ]; then
		echo "   the runner did not come to its end"
		failed=$((failed + 1))
		return
	fi
	# shellcheck disable=SC2086  # three numbers
	set -- $counts
	passed=$((passed + $1))
	failed=$((failed + $2))
	skipped=$((skipped + $3))
	# A runner that fails without a failure, for instance when nothing was executed.
	if [ $stage_status != 0 ] && [ "$2" = 0 ]; then failed=$((failed + 1)); fi
}

mkdir -p "$logs" || exit 1
give_back "$build"
one packages 300 scripts/install-deps.sh test
packages=$stage_status
one pythons 300 scripts/fetch-pythons.sh
# Where only something for the tests is missing (PyPI may be out of reach), the rest still runs.
if [ $packages = 0 ] || scripts/install-deps.sh build; then
	scripts/check-tree-clean.sh --print >"$logs/tree-before" || : >"$logs/tree-before"
	many static 120 --build $build -j "$jobs" static
	if one build-gcc 120 make -j "$jobs" O=$build CC=gcc PYTHON=$python WERROR=1 all tests; then
		many tests 1500 --build $build -j "$jobs" unit shell
	fi
	one build-clang 120 make -j "$jobs" O=$build/clang CC=clang PYTHON=$python WERROR=1 all tests
	if one build-sanitize 120 make -j "$jobs" O=$build/sanitize PYTHON=$python WERROR=1 \
		SANITIZE=address,undefined all tests; then
		many tests-sanitize 1200 --build $build/sanitize -j "$jobs" --marked sanitize unit shell
	fi
	if one build-fuzz 90 make -j "$jobs" O=$build fuzz WERROR=1 CC=gcc; then
		# All at once: what counts is that each has its time, not how much of the machine.
		many fuzz 400 --build $build -j "$(find tests/fuzz -name 'fuzz_*.c' | wc -l)" fuzz
	fi
	give_back "$build"
	one tree-clean 30 scripts/check-tree-clean.sh --since "$logs/tree-before"
fi
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
