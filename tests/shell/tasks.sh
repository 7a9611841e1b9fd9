#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
#
# The tasks of asyncio, uvloop and Trio that a dump shows are those that Python itself sees: names,
# states, await chains with their lines, who waits for whom, the current one.

. "$(dirname "$0")/../lib/tap.sh"
need_root

target=$top/tests/targets/tasks.py
truth=$tmp/truth

# launch COMMAND...: a target, until it says that it is ready
launch()
{
	: >"$tmp/ready"
	start "$@" >"$tmp/ready" 2>"$tmp/target.err"
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $*: $(tail -n 3 "$tmp/target.err")"
}

# test_tasks NAME LIBRARY MODE COMMAND...
test_tasks()
{
	local name="$1: $2, $3" library=$2 mode=$3

	shift 3
	launch "$@" "$target" "$library" "$mode" "$truth"
	timeout 20 "$loader" dump --json "$started" >"$tmp/dump" 2>"$tmp/dump.err" || diag "$(cat "$tmp/dump.err")"
	if /usr/bin/python3 "$top/tests/lib/tasks-check.py" "$truth" "$tmp/dump" >"$tmp/differences" 2>&1; then
		ok "$name: $(tail -n 1 "$tmp/differences") are those that Python sees"
	else
		not_ok "$name: the tasks are those that Python sees" "$(head -c 4000 "$tmp/differences")"
	fi
	check "$name: the schema allows the dump" json_check "$tmp/dump"
	stop "$started" KILL
}

# test_crowd NAME LIBRARY COMMAND...: what looks the same is one, with a count
test_crowd()
{
	local name="$1: $2" library=$2

	shift 2
	launch "$@" "$target" "$library" block "$truth" 2000
	timeout 20 "$loader" dump --json "$started" >"$tmp/dump" 2>"$tmp/dump.err" || diag "$(cat "$tmp/dump.err")"
	is "$(jq '[.dump.tasks[] | select(.count >= 1000) | .count] | add >= 2000' "$tmp/dump")" true \
		"$name: 2000 tasks that look the same are one or two"
	is "$(jq '([.dump.tasks[].count] | add) == .dump.tasks_found' "$tmp/dump")" true \
		"$name: and none is lost"
	timeout 20 "$loader" dump "$started" >"$tmp/text" 2>/dev/null
	check "$name: the text says how many" grep -Eq '^ +(0/)?crowd-[0-9]+ and [0-9]+ more \(' "$tmp/text"
	check "$name: and is short" test "$(wc -l <"$tmp/text")" -lt 200
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
	timeout 20 "$loader" dump --json "$started" >"$tmp/dump" 2>/dev/null
	is "$(jq -c '[.dump.tasks[] | select(.note | startswith("deadlock")) | [.name, .waits_for]] | sort' \
		"$tmp/dump")" '[["a","task b"],["b","task a"]]' "$2: a deadlock of tasks is called one"
	stop "$started" KILL
}

# test_none PYTHON VERSION: asyncio is there, and nothing runs
test_none()
{
	launch "$1" -c 'import asyncio, time; print("ready", flush=True); time.sleep(1000)'
	timeout 20 "$loader" dump --json "$started" >"$tmp/dump" 2>/dev/null
	is "$(jq -c '.dump | [.tasks, .tasks_found, .tasks_note]' "$tmp/dump")" '[[],0,""]' \
		"$2: without tasks nothing is said of them"
	stop "$started" KILL
}

need_tool jq
mapfile -t known < <(pythons 3.11 3.12 3.13)
[ ${#known[@]} -gt 0 ] || skip_all "no CPython 3.11, 3.12 or 3.13"
packages=$("$(venv_python)" -I -c 'import trio, os; print(os.path.dirname(os.path.dirname(trio.__file__)))' 2>/dev/null)
plan $((${#known[@]} * 22 + 4))
for python in "${known[@]}"; do
	version=$(python_version "$python")
	for mode in block idle; do
		test_tasks "$version" asyncio "$mode" "$python"
		if [ "$version" = 3.11 ]; then
			skip "$version: eager, $mode" "eager tasks are new in 3.12"
			skip "$version: eager, $mode: the schema" "eager tasks are new in 3.12"
		else
			test_tasks "$version" eager "$mode" "$python"
		fi
		if [ -n "$packages" ]; then
			test_tasks "$version" trio "$mode" env PYTHONPATH="$packages" "$python"
		else
			skip "$version: trio, $mode" "no trio in $(venv_python)"
			skip "$version: trio, $mode: the schema" "no trio in $(venv_python)"
		fi
	done
	test_crowd "$version" asyncio "$python"
	if [ -n "$packages" ]; then
		test_crowd "$version" trio env PYTHONPATH="$packages" "$python"
	else
		for i in 1 2 3 4; do skip "$version: trio: a crowd ($i)" "no trio in $(venv_python)"; done
	fi
	test_deadlock "$python" "$version"
	test_none "$python" "$version"
done
for mode in block idle; do
	if (cd / && "$(venv_python)" -I -c 'import uvloop') 2>/dev/null; then
		test_tasks venv uvloop "$mode" "$(venv_python)"
	else
		skip "uvloop, $mode" "no uvloop in $(venv_python)"
		skip "uvloop, $mode: the schema" "no uvloop in $(venv_python)"
	fi
done
