#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# walk.sh [BUILD [ROUNDS]]: how long a look at ten threads of 30 frames takes inside the loader, and
# how many reads, on every CPython that the tests find here.

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
build=${1:-$top/build}
rounds=${2:-1000}
BUILD=$build
. "$top/tests/lib/tap.sh"
mkdir -p "$build/tests/bench"
${CC:-gcc} -std=gnu11 -O2 -g -Wall -Wextra -D_GNU_SOURCE -I"$top" -I"$top/user" -o "$build/tests/bench/walk" \
	"$top/tests/bench/walk.c" "$build/libperpetuo.a" -lbpf -lelf -lz -ljansson -lpthread || exit 1

echo "# A walk; goals: cold (once the ELF file is known) at most 80 reads and 1 ms, warm 60 and 0.5 ms (load $(cut -d' ' -f1 /proc/loadavg))"
# shellcheck disable=SC2119  # all there are
while read -r python; do
	coproc TARGET { exec "$python" "$top/tests/bench/deep.py"; }
	pid=$TARGET_PID
	read -r -t 20 ready <&"${TARGET[0]}"
	if [ "$ready" = ready ]; then
		# the interpreters of another root run below a shell
		"$build/tests/bench/walk" "$pid" "$rounds" | awk -F '\t' '{
			split($2, f, " ")
			goal = f[5] <= 1 && f[6] <= 80 && f[8] <= 0.5 && f[9] <= 60 ? "" : "  MISSED"
			sub(/ \(.*/, "", $1)
			printf "%-18s elf %6.2f ms %4d reads   cold %5.2f ms %4d   warm %5.3f ms %3d%s\n",
				$1, f[2], f[3], f[5], f[6], f[8], f[9], goal
		}'
	else
		echo "# $python does not run the target"
	fi
	eval "exec ${TARGET[1]}>&-"
	wait "$pid" 2>/dev/null
done < <(pythons)
