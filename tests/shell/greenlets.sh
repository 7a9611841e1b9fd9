#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
# parallel: yes
#
# The suspended greenlets that a dump shows are those that Python itself sees, by their gr_frame: on each
# interpreter for which greenlet could be had.

. "$(dirname "$0")/../lib/tap.sh"
need_root
need_tool jq

target=$top/tests/targets/greenlets.py

# launch PACKAGES ARGUMENT...: a target, until it says that it is ready
launch()
{
	: >"$tmp/ready"
	PYTHONPATH=$1 start "${@:2}" >"$tmp/ready" 2>"$tmp/target.err"
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $*: $(tail -n 3 "$tmp/target.err")"
}

dump()
{
	timeout 20 "$loader" dump --json "$started" >"$tmp/dump" 2>"$tmp/dump.err" || diag "$(cat "$tmp/dump.err")"
}

# test_greenlets VERSION PYTHON PACKAGES LIBRARY MODE
test_greenlets()
{
	launch "$3" "$2" "$target" "$4" "$5" "$tmp/truth"
	dump
	if /usr/bin/python3 "$top/tests/lib/greenlets-check.py" "$tmp/truth" "$tmp/dump" >"$tmp/differences" 2>&1; then
		ok "$1: $4, $5: $(tail -n 1 "$tmp/differences") are those that Python sees"
	else
		not_ok "$1: $4, $5: the greenlets are those that Python sees" "$(head -c 4000 "$tmp/differences")"
	fi
	check "$1: $4, $5: the schema allows the dump" json_check "$tmp/dump"
	stop "$started" KILL
}

# test_crowd VERSION PYTHON PACKAGES
test_crowd()
{
	launch "$3" "$2" "$target" greenlet block "$tmp/truth" 2000
	dump
	is "$(jq -c '.dump | [.greenlets[0].count >= 2000, ([.greenlets[].count] | add) == .greenlets_found]' \
		"$tmp/dump")" '[true,true]' "$1: 2000 greenlets with the same stack are one, and none is lost"
	timeout 20 "$loader" dump "$started" >"$tmp/text" 2>/dev/null
	check "$1: the text says how many" grep -Eq '^    greenlet\.greenlet and [0-9]+ more \(in only\)$' "$tmp/text"
	stop "$started" KILL
}

# test_none VERSION PYTHON PACKAGES: greenlet is imported, and none is suspended
test_none()
{
	launch "$3" "$2" -c 'import greenlet, time; greenlet.getcurrent(); print("ready", flush=True); time.sleep(1000)'
	dump
	is "$(jq -c '.dump | [.greenlets, .greenlets_found, .greenlets_note]' "$tmp/dump")" '[[],0,""]' \
		"$1: where none is suspended nothing is said"
	stop "$started" KILL
}

interpreters=()
planned=0
declare -A folder=()
for version in 3.9 3.10 3.11 3.12 3.13 3.14 3.15; do
	folder[$version]=$(packages "$version")
	mapfile -t known < <(pythons "$version")
	if [ -z "${folder[$version]}" ] || [ ${#known[@]} = 0 ]; then continue; fi
	interpreters+=("$version ${known[0]}")
	planned=$((planned + 3))
	if [ -d "${folder[$version]}/gevent" ]; then planned=$((planned + 4)); fi
done
[ ${#interpreters[@]} -gt 0 ] || skip_all "no greenlet for any interpreter (scripts/install-deps.sh test)"
plan $((planned + 2 + 7))
for interpreter in "${interpreters[@]}"; do
	read -r version python <<<"$interpreter"
	test_greenlets "$version" "$python" "${folder[$version]}" greenlet block
	test_none "$version" "$python" "${folder[$version]}"
	if [ -d "${folder[$version]}/gevent" ]; then
		test_greenlets "$version" "$python" "${folder[$version]}" gevent block
		test_greenlets "$version" "$python" "${folder[$version]}" gevent idle
	fi
done
test_crowd "$version" "$python" "${folder[$version]}"
for version in 3.9 3.10 3.11 3.12 3.13 3.14 3.15; do
	case " ${interpreters[*]} " in
	*" $version "*) ok "there is a greenlet for CPython $version" ;;
	*) skip "there is a greenlet for CPython $version" "no interpreter, or no package (install-deps.sh test)" ;;
	esac
done
