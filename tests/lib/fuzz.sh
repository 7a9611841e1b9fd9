#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# fuzz.sh BUILD NAME: runs one fuzz target for FUZZ_SECONDS (10). New inputs are kept in the build
# directory; the tree's own (tests/fuzz/corpus/NAME, if there is one) are only read.

build=$1
name=$2
seconds=${FUZZ_SECONDS:-10}
seeds=$(cd "$(dirname "$0")/.." && pwd)/fuzz/corpus/$name
corpus=$build/fuzz/corpus/$name

mkdir -p "$corpus" || exit 1
set -- "$corpus"
if [ -d "$seeds" ]; then set -- "$corpus" "$seeds"; fi
"$build/fuzz/$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
	-artifact_prefix="$build/fuzz/$name-" "$@" 2>&1 | tail -n 40
[ "${PIPESTATUS[0]}" = 0 ]
