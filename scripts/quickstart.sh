#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# sudo scripts/quickstart.sh               builds all, watches the demo service, shows a real stall
# sudo scripts/quickstart.sh --pid PID     the same on a program of yours that runs
# sudo scripts/quickstart.sh -- COMMAND    the same on a program that is started for it
#
# Works on a fresh Debian 12 or 13, from any directory, and again at once.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"

python=/usr/bin/python3
build=$top/build
loader=$build/perpetuo-bpf
# The demo stalls for the first time 1.5 s after its start, then every 5 s.
watch_s=5
world=

finish()
{
	status=$?
	trap '' INT TERM HUP
	if [ -n "$world" ]; then
		kill "$world" 2>/dev/null
		wait "$world"
	fi
	give_back "$build"
	exit "$status"
}

usage()
{
	sed -n 's/^# \(sudo.*\)/\1/p' "$top/scripts/quickstart.sh"
}

build_all()
{
	mkdir -p "$build" || exit 1
	"$top/scripts/install-deps.sh" demo || exit 1
	say "building, about half a minute the first time (output: $build/quickstart.log)"
	make -C "$top" -j "$(getconf _NPROCESSORS_ONLN)" PYTHON=$python all \
		>"$build/quickstart.log" 2>&1 || {
		tail -n 30 "$build/quickstart.log" >&2
		die "the build failed"
	}
	[ -x "$loader" ] || die "the build made no $loader"
	[ -d "$build/python/perpetuo" ] || die "the build made no Python extension for $python"
	give_back "$build"
}

world_says_pid()
{
	sed -n 's/^shop: pid \([0-9]*\),.*/\1/p' "$build/quickstart-demo.log"
}

# The demo may have been the first to end: it needs the loopback interface, for instance.
die_without_watch()
{
	if ! kill -0 $world 2>/dev/null; then
		tail -n 10 "$build/quickstart-demo.log" >&2
		die "the demo has ended, as said above"
	fi
	die "the watcher failed (exit status $1)"
}

watch_demo()
{
	say "starting the demo: a web shop on asyncio that asks a slow service (scripts/demo/shop.py)"
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$build/python $python "$top/scripts/demo/world.py" \
		>"$build/quickstart-demo.log" 2>&1 </dev/null &
	world=$!
	waited=0
	until [ -n "$(world_says_pid)" ]; do
		if ! kill -0 $world 2>/dev/null || [ $waited -ge 100 ]; then
			cat "$build/quickstart-demo.log" >&2
			die "the demo did not start"
		fi
		waited=$((waited + 1))
		sleep 0.1
	done

	# Local variables are a hundred lines more, and the stack alone tells this story.
	say "watching it for $watch_s s: perpetuo-bpf --no-print-locals --pid $(world_says_pid)"
	echo
	timeout --foreground --preserve-status -s INT -k 5 $watch_s \
		"$loader" --no-print-locals --pid "$(world_says_pid)" || die_without_watch $?
	cat <<-END

	Meanwhile in the shop:
	$(grep '^customers' "$build/quickstart-demo.log" | sed 's/^/  /')

	The customers who waited had asked for /stock. The report above names what held them up:
	exchange_rate() in shop.py, a blocking call below a coroutine. Without --no-print-locals
	each frame shows its local variables, too.
	END
}

# What can be seen of a program.
explain()
{
	cat <<-END
	What can be seen of it: long waits for the GIL, long steps of its event loops, stalls of the
	sections that it marks with perpetuo.StallTracker, and at any time, as now, one look at the
	stacks of all its Python threads. See README.md for what needs a few lines in the program.
	Ctrl-C ends the watch.

	END
}

watch_pid()
{
	say "one look at all its threads: perpetuo-bpf dump $1"
	"$loader" dump "$1" || say "no dump, for the reason above"
	explain
	say "watching: perpetuo-bpf --pid $1"
	"$loader" --pid "$1"
}

children()
{
	cat "/proc/$1/task/$1/children" 2>/dev/null
}

# The command is the loader's child, and the loader that of this shell.
dump_command()
{
	sleep 2
	for watcher in $(children $$); do
		[ "$(readlink "/proc/$watcher/exe")" = "$loader" ] || continue
		for pid in $(children "$watcher"); do
			say "one look at all its threads: perpetuo-bpf dump $pid"
			"$loader" dump "$pid"
			explain
		done
	done >&2
}

watch_command()
{
	say "starting and watching it: perpetuo-bpf -- $*"
	dump_command &
	dumper=$!
	command_status=0
	"$loader" -- "$@" || command_status=$?
	kill $dumper 2>/dev/null
	return $command_status
}

say_next()
{
	cat <<-END

	What to run next:
	  sudo $loader --pid PID
	      watch a program of yours
	  sudo $loader dump PID
	      look once at all its Python threads
	  sudo scripts/quickstart.sh --pid PID
	      both, explained
	  sudo make install
	      so that the shell finds perpetuo-bpf, and man its manual
	  sudo scripts/test.sh
	      run every test
	END
}

mode=demo
case "${1:-}" in
'') ;;
--pid)
	mode=pid
	shift
	;;
--pid=*)
	mode=pid
	set -- "${1#--pid=}"
	;;
--)
	mode="command"
	shift
	[ $# -gt 0 ] || die "no command after --"
	;;
-h | --help)
	usage
	exit 0
	;;
*)
	usage >&2
	exit 2
	;;
esac
if [ $mode = pid ]; then
	# Before the build, which takes its time.
	case "${1:-}" in '' | *[!0-9]*) die "a pid is a number, not '${1:-}'" ;; esac
	[ -d "/proc/$1" ] || die "there is no process $1"
fi
[ "$(id -u)" = 0 ] || die "BPF needs root: sudo scripts/quickstart.sh"

trap finish EXIT
trap 'exit 143' TERM HUP
# Ctrl-C is for the watcher, which ends well by it; this script then goes on.
trap : INT
build_all
case $mode in
demo) watch_demo ;;
pid) watch_pid "$@" ;;
command) watch_command "$@" ;;
esac || exit
# There standard output is the command's.
[ "$mode" != "command" ] || exec >&2
say_next
