# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash disable=SC2154,SC2034  # variables come from and go to the other files
#
# Watching tests/targets/stalls.py: a target with a known truth, the loader, the records. Sourced
# after tap.sh by tests that need both.
#
# $truth: what the target says; $records: JSON lines of the loader; $said: its stderr.

truth=$tmp/truth
records=$tmp/records.json
said=$tmp/said
: "${PYTHON:=python3}"

need_extension()
{
	PYTHONPATH=$build/python "$PYTHON" -c 'import perpetuo' 2>/dev/null ||
		tap_need_failed extension "the extension is not built for $PYTHON"
}

# start_target COMMAND...: a program that says "ready" and waits at its start; pid in $target
start_target()
{
	rm -f "$tmp/go"
	STALLS_GO=$tmp/go start "$@" >"$truth" 2>"$tmp/target-stderr"
	target=$started
	wait_for 20 grep -q '^ready' "$truth" || {
		diag "the target did not start: $(cat "$tmp/target-stderr")"
		exit 1
	}
}

# start_stalls STEP...: likewise
start_stalls()
{
	PYTHONPATH=${package:-$build/python} start_target "$PYTHON" "$top/tests/targets/stalls.py" "$@"
}

# go: lets the target take its steps
go()
{
	: >"$tmp/go"
}

# start_watch OPTION...: the loader on $target, when it watches; pid in $watcher
start_watch()
{
	rm -f "$records"
	start "$loader" --json --output "$records" "$@" --pid "$target" 2>"$said"
	watcher=$started
	wait_for 30 grep -q 'Successfully monitoring' "$records" || {
		diag "the loader does not watch: $(cat "$said" "$records" 2>/dev/null)"
		exit 1
	}
}

# finish: until the target has taken its steps and the loader has left; statuses in $target_status, $watch_status
finish()
{
	wait_for 60 grep -q '^done' "$truth" || diag "the target hangs"
	reap "$target"
	target_status=$status
	wait_for 20 process_over "$watcher" || diag "the loader did not leave with its target"
	reap "$watcher"
	watch_status=$status
	# whatever a test is about, no record of it may be invalid
	json_check "$records" >"$tmp/invalid" 2>&1 || {
		diag "a record does not fit the schema: $(cat "$tmp/invalid")"
		exit 1
	}
}

# watch_steps "OPTION..." STEP...: all of it
watch_steps()
{
	local options

	read -ra options <<<"$1"
	shift
	start_stalls "$@"
	start_watch "${options[@]}"
	go
	finish
}

# count FILTER: records of which the jq expression holds
count()
{
	jq -s "map(select($1)) | length" "$records"
}

detected='.stall.event == "detected"'
ended='.stall.event == "ended"'

# first FILTER WHAT: jq expression WHAT of the first record that FILTER selects
first()
{
	jq -rs "map(select($1)) | .[0] | $2" "$records"
}

# all FILTER WHAT: jq expression WHAT of each record that FILTER selects, in one line
all()
{
	jq -rs "map(select($1) | $2) | join(\" \")" "$records"
}

# truth_ns NAME FIELD: start (2) or end (3) as the target says
truth_ns()
{
	awk -v name="$1" -v field="$2" '$1 == name { print $field; exit }' "$truth"
}

# near GOT WANT SLACK NAME: one result, |GOT - WANT| <= SLACK (numbers with fractions)
near()
{
	if awk -v a="$1" -v b="$2" -v s="$3" 'BEGIN { d = a - b; exit !(d <= s && -d <= s) }'; then
		ok "$4"
	else
		not_ok "$4" "got $1, want $2 +- $3"
	fi
}
