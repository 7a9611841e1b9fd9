#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# bpf.sh [BUILD]: what the BPF backend costs, and how late it is (as root, on a machine with two CPUs
# or more; about a minute).

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
build=${1:-$top/build}
if [ "$(id -u)" != 0 ] || [ ! -r "$build/libperpetuo.a" ]; then
	echo "bpf.sh: needs root, and the library that make builds in $build" >&2
	exit 1
fi
mkdir -p "$build/tests/bench"
${CC:-gcc} -std=gnu11 -O2 -g -Wall -Wextra -D_GNU_SOURCE -I"$top" -I"$top/user" -o "$build/tests/bench/bpf" \
	"$top/tests/bench/bpf.c" "$build/libperpetuo.a" -lbpf -lelf -lz -ljansson -lpthread || exit 1
echo "# The BPF backend alone; baseline: an empty program (load $(cut -d' ' -f1 /proc/loadavg))"
exec "$build/tests/bench/bpf"
