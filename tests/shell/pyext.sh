#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 300
# parallel: yes
#
# The extension on every interpreter of this machine: one binary for all that have a GIL, one each
# for the others.
. "$(dirname "$0")/../lib/tap.sh"
. "$top/tests/lib/pyext.sh"

need_extension
# shellcheck disable=SC2119  # all of them
mapfile -t interpreters < <(pythons)
plan $((5 * ${#interpreters[@]}))

# A program that embeds the system's Python, where there is a library for that.
embed=$tmp/embed
embed_for()
{
	local config=$1-config

	if [ "$1" = /usr/bin/python3 ] && [ -x "$config" ]; then
		# shellcheck disable=SC2046  # options
		cc "$top/tests/targets/pyext_embed.c" -o "$embed" \
			$("$config" --includes) $("$config" --embed --ldflags) 2>/dev/null
	fi
	if [ -x "$embed" ] && [ "$1" = /usr/bin/python3 ]; then echo "$embed"; else echo /nonexistent; fi
}

for python in "${interpreters[@]}"; do
	run_target "$python" pyext_api
	run_target "$python" pyext_threads
	run_target "$python" pyext_asyncio
	run_target "$python" pyext_fork
	run_target "$python" pyext_exit "$(embed_for "$python")"
done
