#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
# parallel: yes
#
# The tasks of asyncio, uvloop and Trio that a dump shows are those that Python itself sees: names,
# states, await chains with their lines, who waits for whom, the current one.

. "$(dirname "$0")/../lib/tap.sh"
need_root

reader=$build/tests/unit/test_tasks
target=$top/tests/targets/tasks.py
series=(3.9 3.10 3.11 3.12 3.13 3.13t 3.14 3.14t 3.15)
site=$("$(venv_python)" -I -c 'import trio, os; print(os.path.dirname(os.path.dirname(trio.__file__)))' 2>/dev/null)

# launch COMMAND...: a target, until it says that it is ready
launch()
{
	: >"$tmp/ready"
	start "$@" >"$tmp/ready" 2>"$tmp/target.err"
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $*: $(tail -n 3 "$tmp/target.err")"
}

# dump PID: as JSON, in $tmp/dump
dump()
{
	timeout 20 "$loader" dump --json "$1" >"$tmp/dump" 2>"$tmp/dump.err" || diag "$(cat "$tmp/dump.err")"
}

# A case is a target in a known state: "VERSION LIBRARY MODE PYTHON [PACKAGES]". Those of one
# interpreter are started together, since most of their time they wait.
cases=()

# test_cases: three results for each case in which a loop is blocked, two for each other
test_cases()
{
	local i version library mode python path pids=()

	for i in "${!cases[@]}"; do
		read -r version library mode python path <<<"${cases[i]}"
		: >"$tmp/ready.$i"
		PYTHONPATH=$path start "$python" "$target" "$library" "$mode" "$tmp/truth.$i" \
			>"$tmp/ready.$i" 2>"$tmp/target.err.$i"
		pids+=("$started")
	done
	for i in "${!cases[@]}"; do
		read -r version library mode python path <<<"${cases[i]}"
		wait_for 30 grep -q ready "$tmp/ready.$i" || diag "not ready: $(tail -n 3 "$tmp/target.err.$i")"
		test_case "$version: $library, $mode" "${pids[i]}" "$tmp/truth.$i"
		if [ "$mode" = block ]; then test_running "$version: $library" "${pids[i]}" "$tmp/truth.$i"; fi
		stop "${pids[i]}" KILL
	done
	cases=()
}

# test_case NAME PID TRUTH
test_case()
{
	dump "$2"
	if /usr/bin/python3 "$top/tests/lib/tasks-check.py" "$3" "$tmp/dump" >"$tmp/differences" 2>&1; then
		ok "$1: $(tail -n 1 "$tmp/differences") are those that Python sees"
	else
		not_ok "$1: the tasks are those that Python sees" "$(head -c 4000 "$tmp/differences")"
	fi
	check "$1: the schema allows the dump" json_check "$tmp/dump"
}

# test_running NAME PID TRUTH: what a report of a stall reads
test_running()
{
	is "$("$reader" running "$2" | cut -f 1,3,4 | sort)" \
		"$(jq -r '.[] | select(.current) | "\(.thread)\t\(.name)\t1"' "$3" | sort)" \
		"$1: the running tasks alone are found, too"
}

# test_crowd NAME LIBRARY PYTHON: what looks the same is one, with a count
test_crowd()
{
	PYTHONPATH=$site launch "$3" "$target" "$2" block "$tmp/truth" 2000
	dump "$started"
	is "$(jq '[.dump.tasks[] | select(.count >= 1000) | .count] | add >= 2000' "$tmp/dump")" true \
		"$1: $2: 2000 tasks that look the same are one or two"
	is "$(jq '([.dump.tasks[].count] | add) == .dump.tasks_found' "$tmp/dump")" true \
		"$1: $2: and none is lost"
	timeout 20 "$loader" dump "$started" >"$tmp/text" 2>/dev/null
	check "$1: $2: the text says how many" grep -Eq '^ +(0/)?crowd-[0-9]+ and [0-9]+ more \(' "$tmp/text"
	check "$1: $2: and is short" test "$(wc -l <"$tmp/text")" -lt 200
	stop "$started" KILL
}

# A circle of tasks has no way out: that is worth a word.
test_deadlock()
{
	launch "$1" -c 'import asyncio
async def wait(others, i):
    await asyncio.sleep(0.01)
    await others[i]
async def main():
    tasks = []
    tasks += [asyncio.create_task(wait(tasks, 1), name="a"), asyncio.create_task(wait(tasks, 0), name="b")]
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())'
	dump "$started"
	is "$(jq -c '[.dump.tasks[] | select(.note | startswith("deadlock")) | [.name, .waits_for]] | sort' \
		"$tmp/dump")" '[["a","task b"],["b","task a"]]' "$2: a deadlock of tasks is called one"
	stop "$started" KILL
}

# test_none PYTHON VERSION: asyncio is there, and nothing runs
test_none()
{
	launch "$1" -c 'import asyncio, time; print("ready", flush=True); time.sleep(1000)'
	dump "$started"
	is "$(jq -c '.dump | [.tasks, .tasks_found, .tasks_note]' "$tmp/dump")" '[[],0,""]' \
		"$2: without tasks nothing is said of them"
	stop "$started" KILL
}

# trio_for VERSION RANK: the folder of the Trio that it runs; the oldest one that is read runs on 3.9 to
# 3.12, today's on all but 3.9 and 3.10
trio_for()
{
	case $1/$2 in
	3.9/* | 3.10/* | 3.11/1 | 3.12/1) packages trio-0.22 ;;
	*) echo "$site" ;;
	esac
}

# choose VERSION PYTHON RANK: the cases of an interpreter; of a second one of its series only some
choose()
{
	local trio

	cases=()
	trio=$(trio_for "$1" "$3")
	if [ "$3" = 0 ]; then
		cases+=("$1 asyncio block $2")
		# eager tasks are new in 3.12
		case $1 in
		3.9 | 3.10 | 3.11) cases+=("$1 asyncio idle $2") ;;
		*) cases+=("$1 eager idle $2") ;;
		esac
		if [ -n "$trio" ]; then
			cases+=("$1 trio block $2 $trio" "$1 trio idle $2 $trio" "$1 guest idle $2 $trio")
		fi
		if [ -d "$(packages "$1")/uvloop" ]; then cases+=("$1 uvloop block $2 $(packages "$1")"); fi
	else
		cases+=("$1 asyncio idle $2")
		if [ -n "$trio" ]; then cases+=("$1 trio block $2 $trio"); fi
	fi
}

count_cases()
{
	local case

	for case in "${cases[@]}"; do
		case $case in
		*" block "*) planned=$((planned + 3)) ;;
		*) planned=$((planned + 2)) ;;
		esac
	done
}

# test_interpreter VERSION PYTHON RANK
test_interpreter()
{
	choose "$@"
	test_cases
	[ "$3" = 0 ] || return
	test_crowd "$1" asyncio "$2"
	test_deadlock "$2" "$1"
	test_none "$2" "$1"
}

need_tool jq
interpreters=()
missing=()
planned=10
for version in "${series[@]}"; do
	mapfile -t known < <(pythons "$version")
	[ ${#known[@]} -gt 0 ] || missing+=("$version")
	for rank in "${!known[@]}"; do
		interpreters+=("$version ${known[rank]} $rank")
		choose "$version" "${known[rank]}" "$rank"
		count_cases
		if [ "$rank" = 0 ]; then planned=$((planned + 6)); fi
	done
done
plan $((planned + ${#missing[@]}))
for version in "${missing[@]}"; do
	skip "tasks of CPython $version" "none on this machine (scripts/fetch-pythons.sh, pyenv)"
done
if [ -n "$(packages trio-0.22)" ]; then
	ok "there is a Trio 0.22"
else
	skip "there is a Trio 0.22" "install-deps.sh test could not install it"
fi
for interpreter in "${interpreters[@]}"; do
	# shellcheck disable=SC2086  # three words
	test_interpreter $interpreter
done
if [ -n "$site" ]; then
	test_crowd venv trio "$(venv_python)"
else
	for i in 1 2 3 4; do skip "trio: a crowd ($i)" "no trio in $(venv_python)"; done
fi
if (cd / && "$(venv_python)" -I -c 'import uvloop') 2>/dev/null; then
	cases=("venv uvloop block $(venv_python)" "venv uvloop idle $(venv_python)")
	test_cases
else
	for i in 1 2 3 4 5; do skip "uvloop ($i)" "no uvloop in $(venv_python)"; done
fi
