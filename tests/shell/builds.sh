#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 180
# sanitize: yes
# parallel: yes
#
# CPython in every form in which it is met: stripped, embedded in another program, deleted or
# replaced while it runs, in a chroot, out of a venv, with subinterpreters.

. "$(dirname "$0")/../lib/tap.sh"
need_root
need_tool strip

reader=$build/tests/unit/test_walk
cache=${XDG_CACHE_HOME:-$HOME/.cache}/perpetuo-bpf-tests
program='import time, threading
def worker(): time.sleep(1000)
threading.Thread(target=worker, name="worker", daemon=True).start()
print("ready", flush=True)
time.sleep(1000)'

# launch COMMAND...: a target, until it says that it is ready
launch()
{
	: >"$tmp/ready"
	start "$@" >"$tmp/ready" 2>"$tmp/target.err"
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $*: $(tail -n 3 "$tmp/target.err")"
}

look()
{
	"$reader" print "$1" >"$tmp/walk" 2>&1 || true
}

# whole NAME: both threads of `program` are there, exact, and the worker is in its function
whole()
{
	look "$started"
	is "$(awk -F'\t' '$1 == "thread" && $7 { printf "%s ", $4 }
		$1 == "frame" && $3 == "worker" && $4 == 0 { printf "%s ", $5 }' "$tmp/walk" | tr ' ' '\n' | sort |
		paste -sd ' ')" "MainThread worker worker" "$1: $(head -n 1 "$tmp/walk" | cut -f 2)"
	stop "$started" KILL
}

# home PYTHON: what a copy of it needs in its environment
home()
{
	echo "PYTHONHOME=$("$1" -I -c 'import sys; print(sys.prefix)')"
}

# copy PYTHON DIR: the executable, its libpython and what else is needed to start it there
copy()
{
	local lib

	mkdir -p "$2"
	cp "$(readlink -f "$1")" "$2/interpreter"
	lib=$(ldd "$2/interpreter" | awk '/libpython/ { print $3 }')
	if [ -n "$lib" ]; then cp "$lib" "$2/"; fi
}

test_stripped()
{
	copy "$1" "$tmp/stripped"
	strip "$tmp/stripped/"*
	launch env "$(home "$1")" LD_LIBRARY_PATH="$tmp/stripped" "$tmp/stripped/interpreter" -c "$program"
	whole "$2: stripped"
	rm -r "$tmp/stripped"
}

# As a package manager does it: the new file takes the old one's name.
test_replaced()
{
	copy "$1" "$tmp/old"
	copy "$1" "$tmp/new"
	launch env "$(home "$1")" LD_LIBRARY_PATH="$tmp/old" "$tmp/old/interpreter" -c "$program"
	for file in "$tmp/new/"*; do mv "$file" "$tmp/old/"; done
	whole "$2: replaced while it runs"
	rm -r "$tmp/old" "$tmp/new"
}

test_venv()
{
	"$(readlink -f "$1")" -m venv --without-pip "$tmp/venv" 2>/dev/null
	launch "$tmp/venv/bin/python" -c "$program"
	whole "$2: of a venv"
	rm -r "$tmp/venv"
}

# embed PYTHON: a program that is no Python by its name, with that libpython; 1: there is none
embed()
{
	local config=${1%/*}/python3-config prefix

	prefix=$("$1" -I -c 'import sys; print(sys.prefix)')
	[ -x "$config" ] || return 1
	# shellcheck disable=SC2046  # flags
	cc "$top/tests/targets/walk_embed.c" -o "$tmp/service" -Wl,-rpath,"$prefix/lib" \
		$("$config" --includes) $("$config" --embed --ldflags) 2>/dev/null
}

test_embedded()
{
	if ! embed "$1"; then
		skip "$2: embedded in another program" "no libpython to link with"
		return
	fi
	launch env "$(home "$1")" "$tmp/service" "$program"
	whole "$2: embedded in another program"
	rm "$tmp/service"
}

# Threads of a subinterpreter, with a GIL of its own where the version can (3.12).
subinterpreters='import sys, threading, time
v = sys.version_info
own = sys.argv[1] == "own"
if v < (3, 13):
    import _xxsubinterpreters as sub
    new = sub.create(isolated=own) if v >= (3, 12) else sub.create()
else:
    import _interpreters as sub
    new = sub.create("isolated" if own else "legacy")
run = getattr(sub, "run_string")
code = """def inside():
    import time
    time.sleep(1000)
inside()
"""
threading.Thread(target=run, args=(new, code), name="sub", daemon=True).start()
time.sleep(0.3)
print("ready", flush=True)
time.sleep(1000)'

# test_sub PYTHON VERSION shared|own
test_sub()
{
	launch "$1" -c "$subinterpreters" "$3"
	look "$started"
	is "$(awk -F'\t' '$1 == "frame" && $5 == "inside" { print $5, $7 }' "$tmp/walk")" "inside 3" \
		"$2: a subinterpreter, $3 GIL: its thread is there"
	check "$2: a subinterpreter, $3 GIL: the main thread is exact" \
		grep -q "^thread.*	MainThread	[^	]*	[^	]*	1	" "$tmp/walk"
	stop "$started" KILL
}

# has_own PYTHON: subinterpreters can have a GIL of their own
has_own()
{
	"$1" -c 'import sys, sysconfig
sys.exit(sys.version_info < (3, 12) or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))'
}

# A fork of which Python was not told, as uWSGI does it: the thread state has the parent's tid.
test_forked()
{
	launch "$1" -c 'import ctypes, time
def child():
    print("ready", flush=True)
    time.sleep(1000)
def fork():
    if ctypes.PyDLL(None).fork() == 0:
        child()
    time.sleep(1000)
fork()'
	look "$(pgrep -P "$started")"
	is "$(awk -F'\t' '$1 == "thread" { print $7 }
		$1 == "frame" && $4 == 0 { print $5 }' "$tmp/walk" | paste -sd ' ')" "1 child" \
		"$2: forked behind its back"
	kill -s KILL "$(pgrep -P "$started")"
	stop "$started" KILL
}

test_chroot()
{
	local root=$cache/sid

	if [ ! -x "$root/usr/bin/python3.14" ]; then
		skip "in a chroot" "no root of another system (scripts/fetch-pythons.sh)"
		return
	fi
	launch unshare --mount --pid --fork --kill-child chroot "$root" /usr/bin/python3.14 -c "$program"
	look "$(pgrep -P "$started")"
	is "$(awk -F'\t' '$1 == "thread" && $7 { print $4 }' "$tmp/walk" | sort | paste -sd ' ')" "MainThread worker" \
		"in a chroot with a pid namespace of its own: $(head -n 1 "$tmp/walk" | cut -f 2)"
	stop "$started" KILL
}

# uWSGI out of the venv: the worker is a fork, its threads are made in C.
test_uwsgi()
{
	local uwsgi worker

	uwsgi=$(dirname "$(venv_python)")/uwsgi
	if [ ! -x "$uwsgi" ]; then
		for part in 1 2; do skip "uWSGI, part $part" "no uWSGI in the venv (it is built from source)"; done
		return
	fi
	cat >"$tmp/app.py" <<-'EOP'
		import time

		def handle():
		    print("handled", flush=True)
		    time.sleep(1000)

		def application(env, start_response):
		    handle()
	EOP
	start "$uwsgi" --master --processes 1 --threads 2 --enable-threads --chdir "$tmp" --module app \
		--http-socket "$tmp/socket" --die-on-term >"$tmp/uwsgi.log" 2>&1
	uwsgi=$started
	wait_for 30 grep -q 'spawned uWSGI worker 1' "$tmp/uwsgi.log" || diag "$(tail -n 3 "$tmp/uwsgi.log")"
	start "$(venv_python)" -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET / HTTP/1.0\r\n\r\n")
time.sleep(1000)' "$tmp/socket"
	wait_for 30 grep -q '^handled' "$tmp/uwsgi.log" || diag "$(tail -n 3 "$tmp/uwsgi.log")"
	worker=$(pgrep -P "$uwsgi" | head -n 1)
	look "$worker"
	is "$(awk -F'\t' '$1 == "frame" { print $5 }' "$tmp/walk" | paste -sd ' ')" "handle application" \
		"uWSGI: the request is there: $(head -n 1 "$tmp/walk" | cut -f 2)"
	is "$(awk -F'\t' '$1 == "thread" && !$7' "$tmp/walk")" "" "uWSGI: every thread is exact"
	stop "$started" KILL
	stop "$uwsgi" KILL
}

# program_of PYTHON: the file that runs, if it is one of this root and no script that enters another
program_of()
{
	if [ "$(head -c 4 "$1" | tail -c 3)" = ELF ] || ! grep -q unshare "$1"; then
		"$1" -I -c 'import os, sys; print(os.path.realpath(sys.executable))'
	fi
}

# shellcheck disable=SC2119  # all of them
mapfile -t known < <(pythons)
[ ${#known[@]} -gt 0 ] || skip_all "no CPython from 3.9 on"
tests=3 # in a chroot, uWSGI
for candidate in "${known[@]}"; do
	tests=$((tests + 3))
	if [ -n "$(program_of "$candidate")" ]; then tests=$((tests + 4)); fi
	if has_own "$candidate"; then tests=$((tests + 2)); fi
done
plan $tests
for candidate in "${known[@]}"; do
	version=$(python_version "$candidate")
	program_file=$(program_of "$candidate")
	if [ -n "$program_file" ]; then
		test_stripped "$program_file" "$version"
		test_replaced "$program_file" "$version"
		test_venv "$program_file" "$version"
		test_embedded "$program_file" "$version"
	fi
	test_forked "$candidate" "$version"
	test_sub "$candidate" "$version" shared
	if has_own "$candidate"; then test_sub "$candidate" "$version" own; fi
done
test_chroot
test_uwsgi
