#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
# parallel: yes
#
# perpetuo-bpf dump of a program that hangs: in what each thread is blocked, and on what.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_root
need_tool jq

# launch COMMAND...: until it says that it is ready; pid in $target, what it says in $tmp/said
launch()
{
	: >"$tmp/said"
	start "$@" >"$tmp/said" 2>"$tmp/target-stderr"
	target=$started
	wait_for 30 grep -q ready "$tmp/said" || diag "not ready: $*: $(tail -n 3 "$tmp/target-stderr")"
}

waits()
{
	mkdir -p "$tmp/folder"
	rm -f "$tmp/folder/"*
	launch "$PYTHON" "$top/tests/targets/waits.py" "$tmp/folder" "$@"
}

# said NAME N: the Nth word that the thread said of itself
said()
{
	awk -v name="$1" -v n="$2" '$1 == name { print $(n + 1) }' "$tmp/said"
}

# line NAME: the line of the text for that thread, without what stands around it
line()
{
	sed -n "s/^    $1 (tid [0-9]*, \(.*\))\$/\1/p" "$tmp/text"
}

# like NAME PATTERN DESCRIPTION: that line is as the extended regular expression says
like()
{
	if line "$1" | grep -Eq "$2"; then ok "$3"; else not_ok "$3" "$1: '$(line "$1")', want $2"; fi
}

# field NAME FILTER: of the thread in the record
field()
{
	jq -r --arg name "$1" ".dump.threads[] | select(.name == \$name) | $2" "$tmp/json"
}

look()
{
	"$loader" dump "$target" >"$tmp/text" 2>"$tmp/stderr" || diag "dump: $(cat "$tmp/stderr")"
	"$loader" dump --json "$target" >"$tmp/json" 2>"$tmp/stderr" || diag "dump: $(cat "$tmp/stderr")"
}

test_waits()
{
	local ways=(pipe_read pipe_own pipe_dead fifo_open regular_lock tcp_accept tcp_read tcp_timeout udp unix epoll
		many selected child lock sleep) fd

	if "$PYTHON" -c 'import os; os.pidfd_open' 2>/dev/null; then ways+=(pidfd); fi
	waits "${ways[@]}"
	look
	check "the record is as the schema says" json_check "$tmp/json"
	is "$(line pipe_read)" \
		"blocked in read(fd $(said pipe_read 1): pipe from pid $(said pipe_read 2) (sleep))" "a pipe from a child"
	is "$(line pipe_own)" "blocked in write(fd $(said pipe_own 1): pipe to this process)" "a pipe to itself"
	is "$(line pipe_dead)" "blocked in poll(fd $(said pipe_dead 1): pipe from this process)" "poll of one file"
	is "$(line fifo_open)" "blocked in openat($tmp/folder/fifo)" "a FIFO that nobody writes to"
	is "$(line regular_lock)" "blocked in flock(fd $(said regular_lock 1): $tmp/folder/lock)" "a locked file"
	is "$(line tcp_accept)" \
		"blocked in accept4(fd $(said tcp_accept 1): TCP 127.0.0.1:$(said tcp_accept 2), listening)" "a listener"
	is "$(line tcp_read)" "blocked in recvfrom(fd $(said tcp_read 1): TCP 127.0.0.1:$(said tcp_read 2) -> $(
		)127.0.0.1:$(said tcp_read 3), established)" "a connection: both addresses and its state"
	is "$(line tcp_timeout)" "blocked in poll(fd $(said tcp_timeout 1): TCP 127.0.0.1:$(said tcp_timeout 2) -> $(
		)127.0.0.1:$(said tcp_timeout 3), established)" "a connection with a timeout"
	is "$(line udp)" "blocked in recvfrom(fd $(said udp 1): UDP 127.0.0.1:$(said udp 2))" "UDP"
	is "$(line unix)" "blocked in accept4(fd $(said unix 1): Unix socket $tmp/folder/a\\x1b[2Jsocket, listening)" \
		"a Unix socket with a name of ill will"
	is "$(line epoll)" "blocked in epoll_wait(fd $(said epoll 1): epoll of 1 file)" "an epoll"
	is "$(line many)" "blocked in poll(fd $(said many 1): TCP 127.0.0.1:$(said many 2), listening, and 1 more)" \
		"several files"
	like selected "^blocked in p?select6?\\(fd $(said selected 1): TCP 127.0.0.1:$(said selected 2), listening\\)\$" \
		"select of one file"
	is "$(line child)" "blocked in wait4(pid $(said child 1) (sleep))" "a child"
	like lock '^blocked in futex 0x[0-9a-f]+$' "a lock"
	like sleep '^blocked in (clock_nanosleep|p?select6?)$' "asleep"
	if [ -n "$(said pidfd 1)" ]; then
		is "$(line pidfd)" "blocked in waitid(fd $(said pidfd 1): process pid $(said pidfd 2) (sleep))" "a pidfd"
	else
		skip "a pidfd" "$PYTHON has no os.pidfd_open"
	fi

	fd=$(said pipe_read 1)
	is "$(field pipe_read '[.state, .syscall, .fd, .file, .futex] | map(tostring) | join(";")')" \
		"blocked;read;$fd;pipe from pid $(said pipe_read 2) (sleep);null" "the same as fields"
	is "$(field lock '[.syscall, .fd, .file, (.futex | startswith("0x"))] | map(tostring) | join(";")')" \
		"futex;null;null;true" "a lock as fields"
	kill -STOP "$target"
	# each thread stops when it runs next
	wait_for 10 eval "[ \"\$(cat /proc/$target/task/*/status | grep -c '^State:.[^T]')\" = 0 ]" ||
		diag "not all of it is stopped"
	look
	is "$(line tcp_read),$(field tcp_read '[.state, .syscall] | map(tostring) | join(";")')" "stopped,stopped;null" \
		"a stopped program"
	# shellcheck disable=SC2046  # one of them may not be there
	kill -KILL $(said pipe_read 2) $(said child 1) $(said pidfd 2)
	stop "$target" KILL
}

# Without root, and without BPF, on one's own process.
test_own()
{
	local nobody=(setpriv --reuid nobody --regid nogroup --clear-groups) python=/usr/bin/python3

	# a place that nobody can read
	chmod 755 "$tmp"
	cp "$loader" "$tmp/loader"
	if ! "${nobody[@]}" "$python" -c '' 2>/dev/null || ! "${nobody[@]}" "$tmp/loader" --version >/dev/null; then
		skip "without root: a pipe" "nobody cannot run $python or the loader"
		skip "without root: nothing is said on stderr" "likewise"
		return
	fi
	launch "${nobody[@]}" "$python" -c 'import os, threading
r, w = os.pipe()
print("pipe", r, "ready", flush=True)
os.read(r, 1)'
	"${nobody[@]}" "$tmp/loader" dump "$target" >"$tmp/text" 2>"$tmp/stderr"
	is "$(line MainThread)" "blocked in read(fd $(said pipe 1): pipe from this process)" "without root: a pipe"
	is "$(cat "$tmp/stderr")" "" "without root: nothing is said on stderr"
	stop "$target" KILL
}

test_gil()
{
	waits gil wants_gil wants_gil sleep
	wait_for 20 grep -q '^gil' "$tmp/said" || diag "nobody holds the GIL"
	sleep 0.3
	look
	like gil '^blocked in .*, holds the GIL$' "who holds the GIL"
	is "$(line wants_gil | sort -u)" "waiting for the GIL" "who waits for the GIL"
	is "$(field gil '[.holds_gil, .waits_gil] | map(tostring) | join(";")')" "true;false" "the holder as fields"
	is "$(field wants_gil '[.holds_gil, .waits_gil] | map(tostring) | join(";")' | sort -u)" "false;true" \
		"those that wait as fields"
	is "$(field sleep .waits_gil)" false "who is asleep does not wait for it"
	stop "$target" KILL
}

test_uninterruptible()
{
	waits uninterruptible sleep
	wait_for 20 grep -q '^uninterruptible' "$tmp/said" || diag "did not begin"
	sleep 0.3
	look
	like uninterruptible '^in uninterruptible sleep in (clone3?|vfork)' "uninterruptible sleep"
	is "$(field uninterruptible '[.state, .uninterruptible] | map(tostring) | join(";")')" "blocked;true" \
		"uninterruptible sleep as fields"
	# its child waits for somebody who opens the other end
	timeout 10 "$PYTHON" -c 'import os, sys; os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)' "$tmp/folder/spawn"
	stop "$target" KILL
}

# Columns are those of co_positions().
test_foreign()
{
	waits foreign
	look
	is "$(jq .dump.other_threads "$tmp/json")" 1 "a thread that runs no Python is counted"
	check "and so the text says" grep -qx '    and 1 thread that runs no Python' "$tmp/text"
	stop "$target" KILL
}

test_columns()
{
	local python version

	for version in 3.11 3.12 3.13 3.14 3.15; do
		python=$(pythons "$version" | head -n 1)
		if [ -z "$python" ]; then
			skip "columns of $version" "no CPython $version"
			continue
		fi
		launch "$python" "$top/tests/targets/places.py" columns
		"$loader" dump --json "$target" >"$tmp/json" 2>"$tmp/stderr"
		is "$(jq -c '[.dump.threads[0].frames[] | [(.name | split(".") | last), .line, .end_line, .column, .end_column]][:-1]' \
			"$tmp/json")" "$(head -n 1 "$tmp/said" | jq -c .)" "columns of $version"
		stop "$target" KILL
	done
}

test_depth()
{
	launch "$PYTHON" "$top/tests/targets/places.py" depth 5000
	look
	is "$(field deep '[.exact, .cut_at, (.frames | length), .frames[0].name, .frames[-1].name] | map(tostring) | join(";")')" \
		"true;256;1024;$(field deep '.frames[0].name');stop" "5,000 frames: both ends are kept"
	is "$(field deep '.cut + (.frames | length)')" 5005 "5,000 frames: all are counted"
	is "$(sed -n '/^    deep /,/^    [^ ]/s/^ *\.\.\. //p' "$tmp/text" | sed -E 's/[0-9]+/N/' | tail -n 3 | paste -sd ';')" \
		"the same frame N more times;N frames are not shown;the same frame N more times" "5,000 frames: a few lines of text"
	stop "$target" KILL
}

test_folding()
{
	launch "$PYTHON" "$top/tests/targets/places.py" pool
	look
	is "$(grep -cE '^    pool_[0-9] ' "$tmp/text")" 1 "a pool: one thread stands for all"
	is "$(grep -oE 'and 4 more threads in the same place: .*' "$tmp/text" | grep -oE 'pool_[0-9] \([0-9]+\)' | wc -l)" 4 \
		"a pool: the others are named"
	is "$(sed -n '/^    pool_/,/^      >/s/^ *\.\.\. //p' "$tmp/text")" "3 frames of threading" "its library is folded"
	is "$(sed -n '/^    MainThread/,$p' "$tmp/text" | sed -nE 's/^ *(> )?([^ ]*) \(.*places.py:[0-9]+\)$/\2/p' | tail -n 2 | paste -sd ' ')" \
		"$(field MainThread '.frames[-2:] | map(.name) | join(" ")')" "frames of the program are shown"
	is "$(sed -n '/> .*stop /{n;s/^ *//;p}' "$tmp/text")" "time.sleep(1000)" "with their source lines"
	is "$(grep -n '^    [^ ]* (tid' "$tmp/text" | head -n 1 | grep -c MainThread)" 1 "who runs the program comes first"
	"$loader" --full dump "$target" >"$tmp/text"
	is "$(grep -cE '^    pool_[0-9] ' "$tmp/text"),$(grep -c '_bootstrap_inner' "$tmp/text")" 5,5 "--full: all is shown"
	stop "$target" KILL
}

# named FILE: the line of source that a dump shows of code that says it is of FILE
named()
{
	launch "${as[@]}" /usr/bin/python3 "$tmp/places.py" named "$1"
	timeout -s KILL 20 "$loader" dump --json "$target" >"$tmp/json"
	jq -r '.dump.threads[0].frames[] | select(.name == "<module>" and (.filename | test("places.py$") | not)) | .source' \
		"$tmp/json"
	stop "$target" KILL
}

test_source()
{
	local as=(setpriv --reuid nobody --regid nogroup --clear-groups) hidden

	chmod 755 "$tmp"
	cp "$top/tests/targets/places.py" "$tmp/places.py"
	printf 'visible()\n' >"$tmp/open.py"
	printf 'hidden()\n' >"$tmp/closed.py"
	printf 'later()\n' >"$tmp/later.py"
	touch -d '1 hour ago' "$tmp/open.py" "$tmp/closed.py" "$tmp/places.py"
	touch -d 'next year' "$tmp/later.py"
	chmod 600 "$tmp/closed.py"
	chmod 644 "$tmp/open.py" "$tmp/later.py"
	mkfifo -m 666 "$tmp/fifo.py"
	if ! "${as[@]}" /usr/bin/python3 -c '' 2>/dev/null; then
		for hidden in 1 2 3 4 5 6; do skip "source $hidden" "nobody cannot run /usr/bin/python3"; done
		return
	fi
	is "$(named "$tmp/open.py")" "visible()" "source: a file that the user can read"
	is "$(named "$tmp/closed.py")" null "source: one that the user cannot read is not shown to root"
	is "$(named "$tmp/later.py")" null "source: one that is newer than the process"
	is "$(named "$tmp/fifo.py")" null "source: a FIFO holds up nobody"
	is "$(named /dev/zero)" null "source: a device is not opened"
	is "$(cd "$tmp" && named open.py)" "visible()" "source: a relative path"
}

# Ids, files and processes are those of the container; what is told are ours.
test_container()
{
	local outer

	mkdir -p "$tmp/inside"
	: >"$tmp/said"
	# shellcheck disable=SC2016  # for the inner shell
	start unshare --pid --mount --fork --kill-child sh -c '
		mount -t tmpfs none "$1" && cp -p "$2" "$1/places.py" && exec "$3" "$1/places.py" pool' \
		sh "$tmp/inside" "$top/tests/targets/places.py" "$PYTHON" >"$tmp/said" 2>"$tmp/target-stderr"
	outer=$started
	wait_for 30 grep -q ready "$tmp/said" || diag "not ready: $(cat "$tmp/target-stderr")"
	target=$(pgrep -P "$outer")
	sleep 0.1
	look
	check "a container: the ids are ours" test -d "/proc/$target/task/$(field MainThread .tid)"
	is "$(field MainThread '.frames[-1].source')" "time.sleep(1000)" "a container: the source is that of its own root"
	stop "$outer" KILL
}

plan 55
test_waits
test_own
test_gil
test_uninterruptible
test_foreign
test_columns
test_depth
test_folding
test_source
test_container
