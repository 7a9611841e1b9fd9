#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The runner on test files that crash, lie, hang and skip: each must be counted as what it is.
# timeout: 60

. "$(dirname "$0")/../lib/tap.sh"

tree=$tmp/tree
mkdir -p "$tree/tests/shell" "$tree/tests/unit"

# fixture NAME: a shell test from standard input
fixture()
{
	cat >"$tree/tests/shell/$1.sh"
}

# run_fixtures ARGUMENT...: output in $tmp/out, exit status in $status, last line in $last
run_fixtures()
{
	status=0
	"$top/tests/run" --tree "$tree" --build "$tmp/build" "$@" >"$tmp/out" 2>&1 || status=$?
	last=$(tail -n 1 "$tmp/out")
}

# verdict NAME STATUS LAST-LINE [PATTERN]: one result for one fixture run alone
verdict()
{
	local why=

	run_fixtures -k "shell/$1" shell
	[ "$status" = "$2" ] || why="exit status $status, want $2"
	[ "$last" = "$3" ] || why="$why; last line '$last', want '$3'"
	[ -z "${4:-}" ] || grep -q "$4" "$tmp/out" || why="$why; nothing matches '$4'"
	if [ -z "$why" ]; then ok "$1: $3"; else not_ok "$1" "${why#; }"$'\n'"$(cat "$tmp/out")"; fi
}

fixture good <<'END'
echo 1..2; echo ok 1 - a; echo ok 2 - b
END
fixture bad <<'END'
echo 1..2; echo ok 1 - a; echo not ok 2 - the second; echo '# because'; exit 1
END
fixture bad-exit0 <<'END'
echo 1..1; echo not ok 1 - a
END
fixture silent <<'END'
exit 0
END
fixture noplan <<'END'
echo ok 1 - a
END
fixture lateplan <<'END'
echo ok 1 - a; echo 1..1
END
fixture emptyplan <<'END'
echo 1..0
END
fixture short <<'END'
echo 1..5; for i in 1 2 3 4; do echo "ok $i - a"; done
END
fixture stops <<'END'
echo 1..5; echo ok 1 - a; exit 1
END
fixture long <<'END'
echo 1..1; echo ok 1 - a; echo ok 2 - unplanned
END
fixture twice <<'END'
echo 1..2; echo ok 1 - a; echo ok 1 - again
END
fixture crash <<'END'
echo 1..2; echo ok 1 - a; kill -SEGV $$
END
fixture crash-late <<'END'
echo 1..1; echo ok 1 - a; kill -ABRT $$
END
fixture status <<'END'
echo 1..1; echo ok 1 - a; exit 3
END
fixture hang <<'END'
# timeout: 1
echo 1..1; sleep 59
END
fixture skipall <<'END'
echo '1..0 # SKIP no such machine'; exit 4
END
fixture skipall-exit0 <<'END'
echo '1..0 # SKIP no such machine'
END
fixture skipone <<'END'
echo 1..2; echo ok 1 - a; echo 'ok 2 - b # SKIP not on Tuesdays'
END
fixture leftover <<END
sleep 58 & echo \$! >"$tmp/leftover-pid"; (set -m; sleep 57 & echo \$! >"$tmp/leftover-group")
echo 1..1; echo ok 1 - a
END

plan 26
verdict good 0 "2 passed, 0 failed, 0 skipped"
verdict bad 1 "1 passed, 1 failed, 0 skipped" "failed: not ok 2 - the second"
verdict bad-exit0 1 "0 passed, 1 failed, 0 skipped"
verdict silent 1 "0 passed, 1 failed, 0 skipped" "failed: no plan"
verdict noplan 1 "1 passed, 1 failed, 0 skipped" "failed: no plan"
verdict lateplan 1 "1 passed, 1 failed, 0 skipped" "failed: the plan came after"
verdict emptyplan 1 "0 passed, 1 failed, 0 skipped" "failed: an empty plan"
verdict short 1 "4 passed, 1 failed, 0 skipped" "failed: missing result 5 of 5"
verdict stops 1 "1 passed, 4 failed, 0 skipped" "failed: missing result 2 to 5 of 5"
verdict long 1 "1 passed, 1 failed, 0 skipped" "failed: more results than planned"
verdict twice 1 "1 passed, 1 failed, 0 skipped" "failed: out of order"
verdict crash 1 "1 passed, 2 failed, 0 skipped" "failed: killed by signal 11"
verdict crash-late 1 "1 passed, 1 failed, 0 skipped" "failed: killed by signal 6"
verdict status 1 "1 passed, 1 failed, 0 skipped" "failed: exit status 3"
verdict hang 1 "0 passed, 2 failed, 0 skipped" "failed: timed out after 1 s"
verdict skipall 1 "0 passed, 0 failed, 1 skipped" "skipped: no such machine"
verdict skipall-exit0 1 "0 passed, 1 failed, 0 skipped" "exit status is 0, not 4"
verdict skipone 0 "1 passed, 0 failed, 1 skipped" "skipped: .*not on Tuesdays"
verdict leftover 0 "1 passed, 0 failed, 0 skipped" "left running, killed: sleep 58 .*sleep 57"

if process_over "$(cat "$tmp/leftover-pid")" && process_over "$(cat "$tmp/leftover-group")"; then
	ok "what a test left running is gone"
else
	not_ok "what a test left running is gone"
fi

verdict nothing-has-this-name 1 "0 passed, 0 failed, 0 skipped" "nothing was executed"

touch "$tree/tests/unit/test_unbuilt.c"
run_fixtures unit
is "$status/$last" "1/0 passed, 1 failed, 0 skipped" "a unit test that was not built is missed"

run_fixtures -j 3 -k good
is "$status/$last" "0/2 passed, 0 failed, 0 skipped" "-j"

run_fixtures -j 3 shell
is "$status/$last" "1/17 passed, 20 failed, 2 skipped" "all together"

# Each waits for the other; neither bears another beside it.
for name in "beside-1 2" "beside-2 1"; do
	fixture "${name% *}" <<-END
		# parallel: yes
		touch '$tmp/beside-${name% *}'; echo 1..1
		for ((i = 0; i < 100; i++)); do [ -e '$tmp/beside-beside-${name#* }' ] && break; sleep 0.1; done
		[ \$i -lt 100 ] && echo ok 1
	END
	fixture "alone-${name#* }" <<-END
		echo 1..1
		mkdir '$tmp/alone' && sleep 0.3 && rmdir '$tmp/alone' && echo ok 1
	END
done
run_fixtures -j 2 -k '[ab]*[12]'
is "$status/$last" "0/4 passed, 0 failed, 0 skipped" "-j: those that are marked side by side, the others alone"

run_fixtures --list -k 's*t'
is "$(sort "$tmp/out" | tr '\n' ' ')" "shell tests/shell/short.sh shell tests/shell/silent.sh " "--list and a glob"
