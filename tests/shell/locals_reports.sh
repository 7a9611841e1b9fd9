#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 60
# sanitize: yes
# Local variables in the records of stalls: there unless they are not wanted.
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_root
need_tool jq
need_extension

# all FILTER: how many frames of all stacks there are for which the jq expression holds
all()
{
	jq -s "[.[] | .stall_details // empty | (.relevant_traces, .other_traces)[][] |
		select($1)] | length" "$records"
}

plan 4
watch_steps "--backend poll --alert-interval 100ms" sleep:0.6
is "$(first "$detected" '.stall_details.relevant_traces[0][] | select(.name == "stuck_in_sleep")
	| .locals | tojson')" '[{"name":"seconds","value":"0.6"}]' "a record has the local variables"
watch_steps "--backend poll --alert-interval 100ms --redact ^sec" sleep:0.6
is "$(first "$detected" '.stall_details.relevant_traces[0][] | select(.name == "stuck_in_sleep")
	| .locals[0].value')" '<hidden>' "--redact holds for it"
watch_steps "--backend poll --alert-interval 100ms --no-print-locals" sleep:0.6
check "a record without them has stacks" test "$(all true)" -gt 1
is "$(all '.locals != null')" 0 "and --no-print-locals leaves them out"
