#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The helpers of tests/lib/tap.sh: processes that were started end, however stubborn, and the exit
# status says what happened.
# timeout: 60
# parallel: yes

. "$(dirname "$0")/../lib/tap.sh"

# A test of its own in a child; output in $tmp/stdout. check_status gives the result.
inner()
{
	bash -c ". '$top/tests/lib/tap.sh'; $1"
}

ready()
{
	test -e "$tmp/ready"
}

plan 17
start sleep 100
stop "$started"
is "$status" 143 "stop: at once after start"

start bash -c "trap : TERM; touch '$tmp/ready'; while :; do sleep 0.1; done"
wait_for 10 ready
stop "$started"
is "$status" 137 "stop: what ignores SIGTERM is killed"

start sleep 100
kill -s STOP "$started"
stop "$started"
is "$status" 143 "stop: a stopped process"

start sh -c 'exit 5'
reap "$started"
is "$status" 5 "reap: the exit status"

check_status 3 "check_status: the status that is wanted" sh -c 'echo out; echo err >&2; exit 3'
check "check_status: output is kept" grep -qx out "$tmp/stdout"
check "check: it does not replace what is kept" grep -qx err "$tmp/stderr"
check_status 1 "wait_for: gives up" wait_for 1 false
check "process_over: a pid that does not exist" process_over 4194305

check_status 0 "exit status: all held" inner 'plan 1; ok a'
check_status 1 "exit status: one did not" inner 'plan 2; not_ok a; ok b'
check_status 1 "exit status: one is missing" inner 'plan 2; ok a'
check_status 4 "exit status: skip" inner 'skip_all "no reason"'
REQUIRE="root venv" PERPETUO_TEST_VENV=/nonexistent \
	check_status 1 "REQUIRE: what is required is no reason to skip" inner 'need_venv trio; plan 0'
PERPETUO_TEST_VENV=/nonexistent REQUIRE='' check_status 4 "need_venv: skips otherwise" \
	inner 'need_venv trio; plan 0'

# shellcheck disable=SC2016  # the child expands it
check_status 1 "clean-up: a test that ends with a child" \
	inner 'start sleep 100; echo "$started $tmp"; kill -s STOP $started; plan 1'
read -r child child_tmp <"$tmp/stdout"
if process_over "$child" && [ -n "$child_tmp" ] && [ ! -e "$child_tmp" ]; then
	ok "clean-up: child and directory are gone"
else
	not_ok "clean-up: child and directory are gone" "pid '$child', directory '$child_tmp'"
fi
