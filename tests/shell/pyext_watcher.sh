#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# parallel: yes
#
# start_watcher(), stop_watcher() and dwim() with a script in the place of the loader.
. "$(dirname "$0")/../lib/tap.sh"
. "$top/tests/lib/pyext.sh"

need_extension
# An old one and a new one.
mapfile -t interpreters < <(pythons 3.9 3.10 3.11 | head -n 1; pythons 3.13 3.14 | tail -n 1)
[ "${#interpreters[@]}" -gt 0 ] || skip_all "no Python from 3.9 on"
plan "${#interpreters[@]}"

for python in "${interpreters[@]}"; do
	run_target "$python" pyext_watcher "$top/tests/targets/pyext_loader.sh"
done
