#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 180
# sanitize: yes
#
# The report of a stall shows the tasks of the event loops: what the others wait for while one does
# not let them go on.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_venv trio

reader=$build/tests/unit/test_tasks
venv=$(venv_python)
told="$detected and (.stall.tasks | length) > 0"

# watch_tasks UNTIL "OPTION..." COMMAND...: the loader on a target that says when it is ready, until there
# is such a record
watch_tasks()
{
	local until=$1 options

	read -ra options <<<"$2"
	shift 2
	: >"$tmp/ready"
	start "$@" >"$tmp/ready" 2>"$tmp/target-stderr"
	target=$started
	wait_for 60 grep -q ready "$tmp/ready" || diag "not ready: $(cat "$tmp/target-stderr")"
	rm -f "$records"
	start "$loader" --json --output "$records" "${options[@]}" --pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 grep -q "$until" "$records" || diag "no stall: $(cat "$said" "$records")"
	stop "$watcher" INT
	# A thread that moves is looked at once more: a few tries, for a pair without that.
	for _ in 1 2 3 4 5; do
		reads=$("$reader" reads "$target")
		[ "${reads%[[:space:]]*}" != "${reads#*[[:space:]]}" ] || break
	done
	stop "$target" KILL
	check "the schema allows the records" json_check "$records"
}

# waits_for TASK: for what it does, by the first record
waits_for()
{
	first "$told" ".stall.tasks[] | select(.name == \"$1\") | .waits_for"
}

# test_library LIBRARY CURRENT NAME=WAITS...: a small program
test_library()
{
	local library=$1 current=$2 each

	shift 2
	watch_tasks "Stall continues" "" "$venv" "$top/tests/targets/tasks.py" "$library" block "$tmp/truth"
	is "$(count "$told")" "$(count "$detected")" "$library: each new stall is told with the tasks"
	check "$library: one that goes on, too" test \
		"$(count '.stall.event == "continues" and (.stall.tasks | length) > 0')" -gt 0
	is "$(first "$told" "[.stall.tasks[] | select(.current) | .name | test(\"$current\")] | all")" true \
		"$library: the task that runs is marked"
	is "$(first "$told" '.stall.tasks_found == ([.stall.tasks[].count] | add)')" true "$library: none is lost"
	for each; do
		is "$(waits_for "${each%%=*}")" "${each#*=}" "$library: ${each%%=*} waits for ${each#*=}"
	done
}

# test_crowd LIBRARY: a record of 10,000 tasks is short, and says how many there are. There is a time for
# them: a machine that is kept busy may not read them all in it, and then the record says so.
test_crowd()
{
	watch_tasks "Stall continues" "" "$venv" "$top/tests/targets/tasks.py" "$1" block "$tmp/truth" 10000
	is "$(jq -s "map(select(.stall.tasks) | (.stall.tasks_found > 10000 and
		([.stall.tasks[] | select(.count > 4000)] | length) > 0) or (.stall.tasks_note | length) > 0) | all" \
		<(jq -c 'select(.stall.event == "detected" or .stall.event == "continues")' "$records"))" true \
		"$1: 10000 tasks are counted, and those that look the same are one"
	check "$1: in at most 64 groups" test "$(jq -s 'map(.stall.tasks // [] | length) | max' "$records")" -le 64
	check "$1: no record is long" test "$(wc -L <"$records")" -lt 200000
	is "$(first "$detected" '.stall.task | test("main")')" true "$1: the task that blocks is named"
}

# Of a program without event loops nothing is said.
test_none()
{
	watch_tasks "Stall continues" "--alert-interval 100ms" python3 -c '
import ctypes, threading, time
print("ready", flush=True)
def hold():
    while True:
        ctypes.PyDLL(None).usleep(1000000)
threading.Thread(target=hold, daemon=True).start()
while True:
    time.sleep(0.01)'
	is "$(jq -cs 'map(select(.stall) | .stall | [.tasks, .tasks_found, .tasks_note]) | unique' "$records")" \
		'[[[],0,""]]' "no loop: no tasks"
	check "no loop: and nothing is read for them" awk -v reads="$reads" \
		'BEGIN { split(reads, n); exit !(n[1] > 0 && n[1] == n[2]) }'
}

# A record without stacks has no tasks.
test_limited()
{
	watch_tasks '"rate_limited":true' "--alert-interval 100ms --traceback-suppress 1h" python3 -c '
import asyncio, time
async def main():
    others = [asyncio.create_task(asyncio.sleep(1000)) for _ in range(3)]
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.3)
        time.sleep(0.3)
asyncio.run(main())'
	is "$(first "$detected" .stall.tasks_found)" 4 "the first record has the tasks"
	is "$(first .stall_details.rate_limited '.stall | [.tasks, .tasks_found, .tasks_note] | tojson')" '[[],0,""]' \
		"one that is limited has none"
}

plan $((5 + 4 + 5 + 4 + 2 * 5 + 3 + 3))
test_library asyncio main "0/lock=Lock.acquire" "1/queue=Queue.get" "0/future=a future" "0/gathers=gather of 2"
test_library trio main "receives=MemoryReceiveChannel.receive" "sleeps=sleep" "nurses=the tasks of its nursery" \
	"called=sleep"
test_crowd asyncio
test_crowd trio
test_none
test_limited
