#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# scripts/fuzz.sh [--seconds N] [NAME...]: builds the fuzz targets and runs each (all: fuzz_dump,
# fuzz_elf, ...) for ten minutes, one on each CPU. Of the inputs that it then has, those that are
# needed to reach everything, at most 64 of each, become the corpus in tests/fuzz/corpus, with which
# CI begins. The last line is what tests/run counts; exit status 0 when nothing was found.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

most=64
export FUZZ_SECONDS=600
if [ "${1:-}" = --seconds ]; then
	FUZZ_SECONDS=$2
	shift 2
fi
[ $# -gt 0 ] || set -- tests/fuzz/fuzz_*.c

# keep NAME: the corpus of the tree anew
keep()
{
	local merged=build/fuzz/merged corpus=tests/fuzz/corpus/$1 all

	rm -rf "$merged"
	mkdir -p "$merged" "$corpus"
	"build/fuzz/$1" -merge=1 -max_len=65536 "$merged" "build/fuzz/corpus/$1" "$corpus" >"build/fuzz/$1-merge.log" 2>&1 ||
		return
	rm -f "$corpus"/*
	# From small to large, evenly.
	all=$(find "$merged" -type f -printf '%s %p\n' | sort -n | cut -d ' ' -f 2-)
	echo "$all" | awk -v all="$(wc -l <<<"$all")" -v most=$most \
		'int(NR * most / all) != int((NR - 1) * most / all) || all <= most' | xargs -r cp -t "$corpus"
	say "$1: $(find "$corpus" -type f | wc -l) inputs of $(wc -l <<<"$all"), $(du -sb "$corpus" | cut -f 1) bytes"
}

make -s fuzz WERROR=1 || exit 1
status=0
for name; do
	name=$(basename "$name" .c)
	names+=("$name")
done
if [ ${#names[@]} = "$(find tests/fuzz -name 'fuzz_*.c' | wc -l)" ]; then
	tests/run -j "$(getconf _NPROCESSORS_ONLN)" fuzz || status=1
else
	for name in "${names[@]}"; do tests/run -k "$name" fuzz || status=1; done
fi
for name in "${names[@]}"; do keep "$name"; done
give_back build
exit $status
