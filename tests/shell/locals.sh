#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
# parallel: yes
#
# Local variables are shown as Python itself writes them, on each interpreter of this machine, and
# what looks like a secret is not.

. "$(dirname "$0")/../lib/tap.sh"
need_root
need_tool jq

# launch PYTHON: the target, until all its variables are in place; $truth
launch()
{
	truth=$tmp/truth
	rm -f "$truth"
	: >"$tmp/ready"
	start "$1" "$top/tests/targets/locals.py" "$truth" >"$tmp/ready" 2>"$tmp/target.err"
	wait_for 30 grep -q ready "$tmp/ready" || diag "not ready: $(tail -n 3 "$tmp/target.err")"
}

# look OPTION...: one dump of the target, in $tmp/dump
look()
{
	"$loader" dump --json "$@" "$started" >"$tmp/dump" 2>"$tmp/dump.err" ||
		diag "$(cat "$tmp/dump.err")"
}

# variables: as the target tells them, a line each
variables()
{
	jq -c '.dump.threads[].frames[] | (.name | split(".") | last) as $function |
		select($function != "many" and $function != "seventy") |
		.locals[] | [$function, .name, .value]' "$tmp/dump" | LC_ALL=C sort
}

# frames FILTER: how many frames have locals for which the jq expression holds
frames()
{
	jq "[.dump.threads[].frames[] | select($1)] | length" "$tmp/dump"
}

test_values()
{
	local version=$2

	launch "$1"
	look --locals
	variables >"$tmp/seen"
	LC_ALL=C sort "$truth" >"$tmp/told"
	if [ "$(wc -l <"$tmp/told")" -ge 100 ] && cmp -s "$tmp/told" "$tmp/seen"; then
		ok "$version: $(wc -l <"$tmp/told") variables are as Python writes them"
	else
		not_ok "$version: all variables are as Python writes them" \
			"$(diff "$tmp/told" "$tmp/seen" | cut -c 1-200 | head -n 20)"
	fi
	is "$(grep -c hunter2 "$tmp/dump")" 0 "$version: no secret is shown"
	check "$version: the record is valid" json_check "$tmp/dump"
	is "$(jq -c '.dump.threads[].frames[] | select(.name == "seventy") |
		[(.locals | length), .locals_cut, .locals[63].value]' "$tmp/dump")" '[64,6,"63"]' \
		"$version: of seventy variables six are only counted"
	stop "$started"
}

test_options()
{
	launch "$1"
	look
	is "$(frames '.locals != null')" 0 "dump shows none unless it is told to"
	look --print-locals
	is "$(frames '.locals == null')" 0 "--print-locals is another name for --locals"
	look --locals --redact '^(empty|scope)$' --redact 'SLOT'
	is "$(jq -r '[.dump.threads[].frames[].locals[] | select(.name == "empty" or .name == "slotted")
		| .value] | unique | join(" ")' "$tmp/dump")" "<hidden>" "--redact hides by name"
	look --locals --show-secrets
	is "$(jq -r '[.dump.threads[].frames[].locals[] | select(.name == "password" or .name == "settings")
		| .value] | join(" ")' "$tmp/dump")" \
		"'hunter2' {'password': 'hunter2', 'user': 'me', b'cookie': 'hunter2'}" \
		"--show-secrets shows them"
	"$loader" dump --locals "$started" >"$tmp/text"
	is "$(grep -c "^            \(half = 0\.5\|never = ?\|password = <hidden>\)$" "$tmp/text")" 4 \
		"the text has a line for each, and ? where nothing is bound"
	is "$(LC_ALL=C grep -c "$(printf '[\001-\011\013-\037\177]')" "$tmp/text")" 0 \
		"and nothing that acts on a terminal"
	stop "$started"
}

test_mistakes()
{
	check_status 2 "a pattern that is none is refused" "$loader" dump --locals --redact '(' 1
	is "$(grep -c "'('" "$tmp/stderr")" 1 "and quoted"
}

mapfile -t known < <(pythons 3.9 3.10 3.11 3.12 3.13 3.13t 3.14 3.14t 3.15)
[ ${#known[@]} -gt 0 ] || skip_all "no CPython"
plan $((${#known[@]} * 4 + 8))
for candidate in "${known[@]}"; do
	test_values "$candidate" "$(python_version "$candidate")"
done
test_options "${known[0]}"
test_mistakes
