#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# sanitize: yes
#
# dwim() with the loader itself: a program is told of its own stall, as root and as nobody.
. "$(dirname "$0")/../lib/tap.sh"
. "$top/tests/lib/pyext.sh"

need_extension
need_root
need_tool jq setpriv
[ -x "$loader" ] || skip_all "no loader in $build"
plan 8

# watch_itself NAME COMMAND...: four results
watch_itself()
{
	local name=$1 records=$tmp/$1/records

	shift
	install -d -m 777 "$tmp/$name"
	"$@" env PERPETUO_BPF="$tmp/bin/perpetuo-bpf" PYTHONPATH="$tmp/bin/python" /usr/bin/python3 \
		"$tmp/bin/pyext_dwim.py" "$records" >"$tmp/$name/did" 2>"$tmp/$name/err" ||
		diag "$(cat "$tmp/$name/err")"
	is "$(cat "$tmp/$name/did")" "['started out of process watcher']" "$name: it says what it did"
	check "$name: all records are as the schema says" json_check "$records"
	is "$(jq -r 'select(.stall.event == "detected") | .additional_info.name, .stall.source,
		.stall_details.relevant_traces[0][-1].name' "$records" | paste -sd ,)" \
		"request loop,slot,too_slow" "$name: one stall, with the function that is too slow"
	is "$(jq -r 'select(.stall.event == "ended") | .stall.duration_ms |
		. >= 499 and . < 600' "$records")" true "$name: its end, with the total"
}

# To where the user nobody can read it, whatever the rights of the tree.
chmod 711 "$tmp"
mkdir -m 755 "$tmp/bin"
cp -r "$build/python" "$loader" "$top/tests/targets/pyext_dwim.py" "$tmp/bin/"
chmod -R a+rX "$tmp/bin"
watch_itself root
watch_itself nobody setpriv --reuid 65534 --regid 65534 --clear-groups
