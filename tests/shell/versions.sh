#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
# parallel: yes
#
# The main job on every interpreter of this machine: a stall of a thread that sleeps and one of a
# thread that computes are told with the function in which it is stuck, exactly.

. "$(dirname "$0")/../lib/tap.sh"
. "$top/tests/lib/pyext.sh"
. "$top/tests/lib/watch.sh"
need_bpf
need_tool jq
need_extension

# innermost NAME: function of the responsible stack, of a stall that was detected; how sure it is
innermost()
{
	first "$detected and .additional_info.name == \"$1\"" \
		'"\(.stall_details.relevant_traces[0][-1].name) \(.stall.threads[] | select(.responsible).exact)"'
}

# build_name PYTHON VERSION: 3.15d for a debug build
build_name()
{
	echo "$2$("$1" -I -c 'import sys; print("d" * hasattr(sys, "gettotalrefcount"))')"
}

# shellcheck disable=SC2119  # all of them
mapfile -t interpreters < <(
	pythons
	debug_pythons
)
series=(3.9 3.10 3.11 3.12 3.13 3.13d 3.13t 3.14 3.14d 3.14t 3.15 3.15d)
plan $((3 * ${#interpreters[@]} + ${#series[@]}))
found=" "
for PYTHON in "${interpreters[@]}"; do
	version=$(build_name "$PYTHON" "$(python_version "$PYTHON")")
	found+="$version "
	# shellcheck disable=SC2034  # for watch.sh
	package=$(package_for "$PYTHON")
	watch_steps "--backend bpf --alert-interval 100ms" idle:0.1 sleep:0.4 idle:0.1 spin:0.4 idle:0.1
	is "$(count "$detected") $(count "$ended")" "2 2" "$version: two stalls ($PYTHON)"
	is "$(innermost sleep)" "stuck_in_sleep true" "$version: asleep"
	is "$(innermost spin)" "stuck_in_spin true" "$version: computing"
done
for version in "${series[@]}"; do
	case "$found" in
	*" $version "*) ok "there is a CPython $version" ;;
	*) skip "there is a CPython $version" "none on this machine (scripts/fetch-pythons.sh, pyenv)" ;;
	esac
done
