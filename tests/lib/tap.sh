# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# TAP and helpers for shell tests. A test sources this file, says its plan, then gives results:
#
#	#!/usr/bin/env bash
#	# SPDX-License-Identifier: MIT OR Apache-2.0
#	# timeout: 60		(seconds; 120 when not said)
#	# sanitize: yes		(run with the sanitised loader, too)
#	# parallel: yes		(measures no time: may run beside others)
#	. "$(dirname "$0")/../lib/tap.sh"
#	need_root
#	plan 2
#	check "the loader says its version" "$loader" --version
#	check_status 2 "a pid must be a number" "$loader" --pid x
#
# Given to a test: $top (the tree), $build, $loader, $tmp (removed at the end), and by the calls
# below $started, $status. What start() started ends with the test. The exit status is set here.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "${BUILD:-$top/build}" && pwd) || exit 1
# shellcheck disable=SC2034  # for the tests
loader=$build/perpetuo-bpf
tmp=$(mktemp -d "${TMPDIR:-/tmp}/perpetuo-test.XXXXXX") || exit 1

tap_main=$BASHPID
tap_planned=0
tap_run=0
tap_failed=0
tap_pids=()

tap_exit()
{
	# Not "status": stop_all sets that one.
	local tap_status=$?

	# A job of this shell has its traps for a moment.
	[ "$BASHPID" = "$tap_main" ] || exit "$tap_status"
	# The second of two signals must not end the clean-up half way.
	trap '' INT TERM HUP
	stop_all
	rm -rf -- "$tmp"
	if [ "$tap_status" = 0 ] && { [ "$tap_failed" != 0 ] || [ "$tap_run" != "$tap_planned" ]; }; then
		tap_status=1
	fi
	exit "$tap_status"
}

tap_traps()
{
	trap tap_exit EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}
tap_traps

# sanitized: what runs is the sanitised loader, which keeps what was freed
sanitized()
{
	nm "$loader" 2>/dev/null | grep -q __asan_init
}

# plan N: once, before the first result
plan()
{
	tap_planned=$1
	echo "1..$1"
}

# skip_all REASON: instead of a plan, where nothing of the file can run; does not return
skip_all()
{
	echo "1..0 # SKIP $*"
	tap_planned=0
	exit 4
}

# awk prints six digits of a number: ten thousand seconds after the machine has booted that is no time
# of its clock any more.
awk()
{
	command awk -v OFMT=%.15g -v CONVFMT=%.15g "$@"
}

diag()
{
	printf '%s\n' "$*" | sed 's/^/# /'
}

# ok NAME / not_ok NAME [EXPLANATION] / skip NAME REASON: one result
ok()
{
	tap_run=$((tap_run + 1))
	echo "ok $tap_run - $1"
}

not_ok()
{
	tap_run=$((tap_run + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_run - $1"
	if [ -n "${2:-}" ]; then diag "$2"; fi
}

skip()
{
	tap_run=$((tap_run + 1))
	echo "ok $tap_run - $1 # SKIP $2"
}

# is GOT WANT NAME: one result, equal strings
is()
{
	if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3" "got '$1', want '$2'"; fi
}

# check NAME COMMAND...: one result, the command succeeds
check()
{
	local name=$1

	shift
	tap_command 0 "$name" "$@"
}

# check_status WANT NAME COMMAND...: one result, the command's exit status; output is left in
# $tmp/stdout and $tmp/stderr for the checks that follow
check_status()
{
	tap_command "$@"
	mv "$tmp/.stdout" "$tmp/stdout"
	mv "$tmp/.stderr" "$tmp/stderr"
}

# Shows the output of a command that did not end as wanted; its status is left in $status.
tap_command()
{
	local want=$1 name=$2

	shift 2
	status=0
	"$@" >"$tmp/.stdout" 2>"$tmp/.stderr" </dev/null || status=$?
	if [ "$status" = "$want" ]; then
		ok "$name"
		return
	fi
	not_ok "$name" "exit status $status, want $want: $*"
	sed 's/^/# stdout: /' "$tmp/.stdout" | tail -n 20
	sed 's/^/# stderr: /' "$tmp/.stderr" | tail -n 20
}

# wait_for SECONDS COMMAND...: until the command succeeds; 1 when it did not in that time.
# The bound is there so that a hang ends, not to measure: give it ten times what is normal.
wait_for()
{
	local deadline=$((SECONDS + $1 + 1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

# start COMMAND...: in the background, pid in $started; redirect at the call. It ends with the test.
start()
{
	# A signal that comes before the program runs must end it, not run the traps of a test in it.
	trap - EXIT INT TERM HUP
	"$@" </dev/null &
	started=$!
	tap_traps
	tap_pids+=("$started")
}

# reap PID: wait for what start() started, exit status in $status
reap()
{
	local pid kept=()

	status=0
	wait "$1" 2>/dev/null || status=$?
	for pid in "${tap_pids[@]}"; do
		[ "$pid" = "$1" ] || kept+=("$pid")
	done
	tap_pids=("${kept[@]}")
}

# stop PID [SIGNAL]: end what start() started (TERM), KILL after 6 s, exit status in $status
stop()
{
	kill -s "${2:-TERM}" "$1" 2>/dev/null
	# A stopped process does not see a TERM.
	kill -s CONT "$1" 2>/dev/null
	# bash itself may have taken it, between fork and exec of what start() started: say it twice.
	wait_for 1 process_over "$1" || kill -s "${2:-TERM}" "$1" 2>/dev/null
	wait_for 5 process_over "$1" || kill -s KILL "$1" 2>/dev/null
	reap "$1"
}

# process_over PID: gone, or a zombie that nobody has waited for yet
process_over()
{
	local stat

	{ stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
	stat=${stat##*) }
	[ "${stat%% *}" = Z ]
}

stop_all()
{
	local pid

	for pid in "${tap_pids[@]}"; do
		kill -s TERM "$pid" 2>/dev/null
		kill -s CONT "$pid" 2>/dev/null
	done
	for pid in "${tap_pids[@]}"; do
		stop "$pid"
	done
}

# Where a machine must be able to run everything (CI), REQUIRE names what may not be skipped for.
tap_need_failed()
{
	case " ${REQUIRE:-} " in
	*" $1 "*)
		plan 1
		not_ok "what this test needs is there" "$2 (REQUIRE=$REQUIRE)"
		exit 1
		;;
	esac
	skip_all "$2"
}

need_root()
{
	[ "$(id -u)" = 0 ] || tap_need_failed root "needs root"
}

# need_bpf: root, kernel BTF, and CAP_BPF, CAP_PERFMON in effect (a container's root may lack them)
need_bpf()
{
	local caps

	need_root
	[ -r /sys/kernel/btf/vmlinux ] || tap_need_failed bpf "the kernel has no BTF"
	caps=$(sed -n 's/^CapEff:\s*//p' /proc/self/status)
	[ $((0x$caps >> 38 & 3)) = 3 ] || tap_need_failed bpf "needs CAP_BPF and CAP_PERFMON"
}

# need_tool COMMAND...: each is found in PATH
need_tool()
{
	local tool

	for tool; do
		command -v "$tool" >/dev/null || tap_need_failed "$tool" "$tool is not installed"
	done
}

# The interpreter of the venv that 'scripts/install-deps.sh test' makes, with Trio and PyPI's perpetuo.
venv_python()
{
	echo "${PERPETUO_TEST_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/perpetuo-bpf-tests/venv}/bin/python"
}

# packages NAME: the folder of that name that 'scripts/install-deps.sh test' fills from PyPI; nothing
# where there is none
packages()
{
	local dir

	dir=$(dirname "$(venv_python)")/../../packages/$1
	if [ -d "$dir" ]; then (cd "$dir" && pwd); fi
}

# need_venv MODULE...: that interpreter imports these
need_venv()
{
	local module

	for module; do
		(cd / && "$(venv_python)" -I -c "import $module") 2>/dev/null ||
			tap_need_failed venv "no $module in $(venv_python)"
	done
}

# python_version INTERPRETER: 3.13, or 3.13t when it is free-threaded
python_version()
{
	"$1" -I -c 'import sys, sysconfig
print("%d.%d%s" % (*sys.version_info[:2], "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))'
}

# pythons [VERSION...]: the interpreters of this machine from 3.9 on, a path a line; with versions
# (3.12, 3.13t) only these
pythons()
{
	local home=$HOME candidate version

	if [ -n "${SUDO_USER:-}" ]; then home=$(getent passwd "$SUDO_USER" | cut -d: -f6); fi
	for candidate in /usr/bin/python3 "${PYENV_ROOT:-$home/.pyenv}"/versions/3.*/bin/python3 \
		/opt/py3.*t/bin/python3.*t "${XDG_CACHE_HOME:-$HOME/.cache}"/perpetuo-bpf-tests/bin/python3.*; do
		[ -x "$candidate" ] || continue
		version=$(python_version "$candidate" 2>/dev/null) || continue
		case "$version" in 3.[0-8]) [ $# -gt 0 ] || continue ;; esac
		case " ${*:-$version} " in *" $version "*) echo "$candidate" ;; esac
	done
}

# debug_pythons: the debug builds that not every test runs, a path a line (3.13, 3.14)
debug_pythons()
{
	local candidate

	for candidate in "${XDG_CACHE_HOME:-$HOME/.cache}"/perpetuo-bpf-tests/debug/python3.*-dbg; do
		if "$candidate" -I -c '' 2>/dev/null; then echo "$candidate"; fi
	done
}

# json_check FILE: every line is a record as tests/data/record.schema.json says, and there is one
json_check()
{
	/usr/bin/python3 "$top/tests/lib/json-check.py" "$top/tests/data/record.schema.json" "$1"
}
