#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
# parallel: yes
# shellcheck disable=SC2016  # the dollars are awk's
#
# The stacks that the reader sees from outside are those that Python itself sees, on each known
# interpreter of this machine; and what cannot be read is refused by name.

. "$(dirname "$0")/../lib/tap.sh"
need_root

reader=$build/tests/unit/test_walk
targets=$top/tests/targets

# launch COMMAND...: a target, until it says that it is ready
launch()
{
	: >"$tmp/ready"
	start "$@" >"$tmp/ready" 2>"$tmp/target.err"
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $*: $(tail -n 3 "$tmp/target.err")"
}

# look PID: the walk, in $tmp/walk
look()
{
	"$reader" print "$1" >"$tmp/walk" 2>"$tmp/walk.err" || true
}

threads()
{
	awk -F'\t' "\$1 == \"thread\" && ($1)" "$tmp/walk"
}

# build_name PYTHON: 3.14.4t, 3.15.2d
build_name()
{
	"$1" -I -c 'import sys, sysconfig
print("%d.%d.%d" % sys.version_info[:3] + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    + "d" * hasattr(sys, "gettotalrefcount"))'
}

# cells VERSION: of each case how many frames are right, "N WRONG" if some are not; to $tmp/cells
cells()
{
	awk -F'\t' -v OFS='\t' -v version="$1" '
	$1 != "frame" { next }
	NR == FNR { told[$0]; frames[$3]++; next }
	{ if ($0 in told) delete told[$0]; else wrong[$3]++ }
	END {
		for (line in told) { split(line, f); wrong[f[3]]++ }
		for (name in frames) {
			short = name
			sub(/.* /, "", short)
			print short, version, name in wrong ? wrong[name] " WRONG" : frames[name]
		}
	}' "$tmp/told" "$tmp/seen" >>"$tmp/cells"
}

# The table of all versions and cases: frames compared, each with function, file, line and columns.
table()
{
	awk -F'\t' '
	!($1 in known) { known[$1]; row[++rows] = $1 }
	!($2 in column) { column[$2]; version[++versions] = $2 }
	{ cell[$1, $2] = $3; right += $3; wrong += $3 ~ /WRONG/ }
	END {
		printf "%-22s", "frames compared"
		for (v = 1; v <= versions; v++) printf "%10s", version[v]
		for (r = 1; r <= rows; r++) {
			printf "\n%-22s", row[r]
			for (v = 1; v <= versions; v++) printf "%10s", cell[row[r], version[v]]
		}
		printf "\n%d cases, %d versions, %d wrong\n", rows, versions, wrong
	}' < <(sort -s -t "$(printf '\t')" -k 1,1 "$tmp/cells")
}

test_shapes()
{
	local version=$2

	launch "$1" "$targets/walk_shapes.py" "$tmp/truth"
	look "$started"
	awk -F'\t' -v OFS='\t' '$1 == "frame" && $3 != "MainThread"
		$1 == "thread" && $4 != "MainThread" { print $1, $2, $4, $3 }' "$tmp/walk" | sort >"$tmp/seen"
	sort "$tmp/truth" >"$tmp/told"
	cells "$(build_name "$1")"
	if [ -s "$tmp/told" ] && cmp -s "$tmp/told" "$tmp/seen"; then
		ok "$version: $(grep -c ^frame "$tmp/told") frames, and names and tids of threads, are those that Python sees"
	else
		not_ok "$version: all frames are those that Python sees" \
			"$(diff "$tmp/told" "$tmp/seen" | head -n 20; tail -n 3 "$tmp/walk.err")"
	fi
	is "$(threads '$7 != 1 || $5 != 2' | cut -f 4,10)" "" "$version: every thread sleeps, its stack is exact"
	is "$(threads '$6 == 1')" "" "$version: nobody holds the GIL while all sleep"
	stop "$started"
}

test_deep()
{
	launch "$1" "$targets/walk_deep.py" 5000
	look "$started"
	is "$(threads '$4 == "deep"' | cut -f 7-10)" "1	1024	3980	" "$2: 5000 calls deep: the rest is counted"
	stop "$started"
}

# test_busy PYTHON VERSION KIND WALKS: no stack that is called exact may be wrong
test_busy()
{
	local counts

	launch "$1" "$targets/walk_busy.py" "$3"
	counts=$("$reader" count "$started" "$4" | tail -n 1)
	diag "$2 $3: $counts"
	if [ "$3" = nap ]; then
		check "$2 $3: most threads that sleep are exact" test "$(cut -f 2 <<<"$counts")" -gt "$4"
	fi
	is "$(cut -f 3,4 <<<"$counts")" "wrong	0" "$2 $3: no exact stack is wrong"
	stop "$started"
}

# Code objects are cached by address: what lies there now must be what is shown.
test_reuse()
{
	local counts target pid busy=()

	launch "$1" "$targets/walk_reuse.py"
	target=$started
	counts=$("$reader" reuse "$target" 500 | tail -n 1)
	diag "$2 reuse: $counts"
	check "$2: cells that come and go are seen" test "$(cut -f 2 <<<"$counts")" -gt 100
	is "$(cut -f 3,4 <<<"$counts")" "wrong	0" "$2: and never one in the other's place"
	# who looks waits for a CPU, too: the first look takes longer than a cell
	for _ in 1 2; do
		start sh -c 'while :; do :; done'
		busy+=("$started")
	done
	counts=$("$reader" reuse-anew "$target" 60 | tail -n 1)
	for pid in "${busy[@]}"; do stop "$pid"; done
	diag "$2 reuse, each at first sight: $counts"
	check "$2: cells are seen at first sight, too" test "$(cut -f 2 <<<"$counts")" -gt 12
	is "$(cut -f 3,4 <<<"$counts")" "wrong	0" "$2: and right then"
	stop "$target"
}

test_holder()
{
	launch "$1" -c 'import threading, ctypes, time
def holder():
    print("ready", flush=True)
    ctypes.PyDLL(None).usleep(20000000)
threading.Thread(target=holder, name="holder", daemon=True).start()
time.sleep(10)'
	sleep 0.3
	look "$started"
	if [[ $2 == *t ]]; then
		is "$(threads '$6 == 1')" "" "$2: nobody holds the GIL where there is none"
	else
		is "$(threads '$6 == 1' | cut -f 4,7)" "holder	1" "$2: who holds the GIL is said, with an exact stack"
	fi
	stop "$started" KILL
}

program='import time, threading
def worker(): time.sleep(1000)
threading.Thread(target=worker, name="worker", daemon=True).start()
print("ready", flush=True)
time.sleep(1000)'

# whole NAME: both threads of `program` are there and exact
whole()
{
	is "$(threads 1 | cut -f 4,7 | sort | paste -sd ' ')" "MainThread	1 worker	1" "$1"
}

test_namespace()
{
	launch unshare --pid --fork --kill-child "$1" -c "$program"
	look "$(pgrep -P "$started")"
	whole "$2: in a pid namespace"
	stop "$started" KILL
}

test_deleted()
{
	local lib

	mkdir "$tmp/copy"
	cp "$(readlink -f "$python")" "$tmp/copy/interpreter"
	lib=$(ldd "$tmp/copy/interpreter" | awk '/libpython/ { print $3 }')
	if [ -n "$lib" ]; then cp "$lib" "$tmp/copy/"; fi
	launch env PYTHONHOME="$("$python" -c 'import sys; print(sys.prefix)')" LD_LIBRARY_PATH="$tmp/copy" \
		"$tmp/copy/interpreter" -c "$program"
	rm -r "$tmp/copy"
	look "$started"
	whole "with its files deleted and renamed"
	stop "$started"
}

test_stopped()
{
	launch "$python" -c "$program"
	kill -STOP "$started"
	wait_for 10 grep -q '^State:.T' "/proc/$started/status" || diag "not stopped"
	look "$started"
	is "$(threads '$5 != 3')" "" "a stopped process: its threads are said to be stopped"
	whole "and exact"
	stop "$started" KILL
}

test_leader_ended()
{
	launch "$python" -c "import ctypes, threading, time
def worker():
    time.sleep(0.2)
    print('ready', flush=True)
    time.sleep(1000)
threading.Thread(target=worker, name='worker').start()
ctypes.CDLL(None).pthread_exit(None)"
	look "$started"
	is "$(threads '$4 == "worker"' | cut -f 7,8)" "1	4" "the first thread has ended: the others are read"
	stop "$started" KILL
}

test_moves()
{
	launch "$python" "$targets/walk_busy.py" spin 1
	look "$started"
	is "$(threads '$4 == "busy" && $7 == 0 && $10 ~ /not stable/' | wc -l)" 1 \
		"a running thread is said to be running, not shown as exact"
	stop "$started" KILL
}

test_no_python()
{
	start sleep 1000
	look "$started"
	is "$(cut -f 1-2 "$tmp/walk")" "error	-2" "a program that is no Python"
	stop "$started"
}

# an interpreter of a version that is not known
test_refused()
{
	launch "$1" -c "$program"
	look "$started"
	is "$(sed -E 's/CPython [^ ]+( free-threaded)? /CPython X /' "$tmp/walk")" \
		"error	-95	CPython X is not known yet; known are 3.9, 3.10, 3.11, 3.12, 3.13, 3.13t, 3.14, 3.14t, 3.15, 3.15t" \
		"$2 is refused by name: $(cut -f 3 "$tmp/walk")"
	stop "$started"
}

# shellcheck disable=SC2119  # all of them
mapfile -t known < <(pythons)
mapfile -t debug < <(debug_pythons)
mapfile -t others < <(pythons 3.8)
[ ${#known[@]} -gt 0 ] || skip_all "no CPython from 3.9 on"
python=${known[0]}
plan $((${#known[@]} * 14 + ${#debug[@]} * 5 + 6 + ${#others[@]}))
for candidate in "${known[@]}"; do
	version=$(python_version "$candidate")
	test_shapes "$candidate" "$version"
	test_deep "$candidate" "$version"
	test_busy "$candidate" "$version" nap 200
	test_busy "$candidate" "$version" spin 1000
	test_busy "$candidate" "$version" gen 1000
	test_reuse "$candidate" "$version"
	test_holder "$candidate" "$version"
	test_namespace "$candidate" "$version"
done
for candidate in "${debug[@]}"; do
	version="$(python_version "$candidate")d"
	test_shapes "$candidate" "$version"
	test_deep "$candidate" "$version"
	test_busy "$candidate" "$version" spin 1000
done
diag "$(table)"
test_deleted
test_stopped
test_leader_ended
test_moves
test_no_python
for candidate in "${others[@]}"; do test_refused "$candidate" "$(python_version "$candidate")"; done
