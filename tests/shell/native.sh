#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 120
# sanitize: yes
#
# Where a stalled thread is below its Python frames: the libraries, their functions, the kernel's.

. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_tool cc
need_tool nm
need_extension
[ "$(uname -m)" = x86_64 ] || skip_all "native stacks are unwound on x86_64 only"

# start_native STEP...: the target, waiting at its start; pid in $target
start_native()
{
	cc -O2 -fPIC -shared -Wl,--build-id -o "$tmp/libnative.so" "$top/tests/targets/native_lib.c" &&
		nm -S "$tmp/libnative.so" >"$tmp/symbols" || exit 1
	PYTHONPATH=$build/python start_target "$PYTHON" "$top/tests/targets/native.py" "$tmp/libnative.so" "$@"
}

# of NAME FILTER: of the responsible thread in the first record of that tracker
of()
{
	first ".additional_info.name == \"$1\" and $detected" "[.stall.threads[] | select(.responsible)][0] | $2"
}

# The native frames as "library function", innermost first.
frames='[.native // [] | reverse[] | "\(.library) \(.function)"] | join(" < ")'
kernel='[.kernel // [] | reverse[] | .function] | join(" < ")'

# leads NAME FRAMES WHAT: the innermost native frames are these
leads()
{
	local got

	got=$(of "$1" "$frames")
	if [[ "$got" == "$2"* ]]; then ok "$3"; else not_ok "$3" "got '$got' ($(of "$1" '[.state, .note, .native_note] | tojson'))"; fi
}

# kernel_has NAME PATTERN WHAT
kernel_has()
{
	local got

	got=$(of "$1" "$kernel")
	if [[ "$got" =~ $2 ]]; then ok "$3"; else not_ok "$3" "got '$got'"; fi
}

# within NAME FUNCTION WHAT: an offset in that function is less than its size by nm
within()
{
	local size offset

	size=$((16#$(awk -v f="$2" '$4 == f { print $2 }' "$tmp/symbols")))
	offset=$(of "$1" "[.native[] | select(.function == \"$2\").offset][0]")
	if [ "${offset:-null}" != null ] && [ "$offset" -gt 0 ] && [ "$offset" -le "$size" ]; then
		ok "$3"
	else
		not_ok "$3" "offset $offset of $size bytes"
	fi
}

test_watch()
{
	start_native spin_free spin_held sleep_held deep pipe python hog deleted
	start_watch --alert-interval 100ms --no-print-locals
	go
	finish

	leads spin_free "libnative.so burn < libnative.so lib_spin < libffi" "a library that computes without the GIL"
	within spin_free burn "the offset is one in the function"
	leads spin_held "libnative.so burn < libnative.so lib_spin < libffi" "one that computes with the GIL"
	is "$(of spin_held .holds_gil)" true "and it is that thread"
	is "$(of spin_held '[.native_note, (.native[0].function // "" | test("Eval"))] | tojson')" '["",false]' \
		"the stack is whole, up to the interpreter's loop"
	if [[ "$(of sleep_held "$frames")" =~ ^libc[^\ ]*\ [^\ ]*nanosleep.*\ \<\ libnative.so\ lib_sleep\ \<\ libffi ]]; then
		ok "one that sleeps with the GIL"
	else
		not_ok "one that sleeps with the GIL" "got '$(of sleep_held "$frames")'"
	fi
	kernel_has sleep_held nanosleep "and the kernel's functions"
	if [[ "$(of deep "$frames")" == *"libnative.so lib_sleep < libnative.so lib_deep < libffi"* ]]; then
		ok "a stack of which a piece is read at a time"
	else
		not_ok "a stack of which a piece is read at a time" "got '$(of deep "$frames")'"
	fi
	if [[ "$(of pipe "$frames")" =~ ^libc[^\ ]*\ (__)?(libc_)?read\ \<\  ]]; then
		ok "read() of a pipe"
	else
		not_ok "read() of a pipe" "got '$(of pipe "$frames")'"
	fi
	kernel_has pipe 'pipe_read.* < .*read' "and what the kernel does for it"
	is "$(of python '[.native != null, (.native | map(select(.library == "libnative.so")) | length)] | tojson')" '[true,0]' \
		"code in Python: nothing of a library"
	is "$(first ".stall.source == \"gil\" and .stall.event == \"detected\" and .additional_info.name == \"GIL\" and
		any(.stall.threads[]; .name == \"hog\" and .responsible)" \
		'[.stall.threads[] | select(.name == "hog").native[].function | select(. == "lib_spin" or . == "burn")] | tojson')" \
		'["lib_spin","burn"]' "a wait for the GIL: where its holder is"
	is "$(first ".additional_info.name == \"hog\" and $detected" \
		'[.stall.threads[] | select(.holds_gil and .native == null)] | length')" 0 "so in the report of its victim"
	is "$(of deleted '[.native[].library | select(startswith("libnative.so")) | startswith("libnative.so (deleted)")] | unique | tojson')" \
		'[true]' "a file that was replaced: the frame is found, by its offset"
	is "$(of deleted '[.native[] | select(.library // "" | startswith("libffi"))] | length > 0')" true "and those around it"
	is "$(jq -s '[.[] | select(.stall) | .stall.threads[] | select((.responsible or .holds_gil | not) and .native != null)] | length' \
		"$records")" 0 "nobody else is looked at"
}

test_dump()
{
	start_native stay
	go
	wait_for 20 grep -q '^stays' "$truth" || diag "it does not come so far"
	"$loader" dump "$target" >"$tmp/text" 2>"$said"
	is "$(grep -cE '^ +(native|kernel): ' "$tmp/text")" 0 "dump: not asked, not shown"
	"$loader" dump --native "$target" >"$tmp/text" 2>"$said" || diag "dump: $(cat "$said")"
	check "dump --native: the library" grep -qE '^      native: .*libnative\.so lib_sleep\+0x[0-9a-f]+ > libc' "$tmp/text"
	check "dump --native: the kernel" grep -qE '^      kernel: .*nanosleep\+0x[0-9a-f]+' "$tmp/text"
	"$loader" --backend poll dump --native --json "$target" >"$tmp/json" 2>"$said" || diag "dump: $(cat "$said")"
	is "$(jq -r '.dump.threads[0].native[] | select(.library == "libnative.so").function' "$tmp/json")" lib_sleep \
		"the same without BPF"
	is "$(jq -r '[.dump.threads[0].kernel[].function | select(test("nanosleep"))] | length > 0' "$tmp/json")" true \
		"and the kernel's, for root"
	json_check "$tmp/json" >"$tmp/invalid" 2>&1 || diag "a record does not fit the schema: $(cat "$tmp/invalid")"
	stop "$target"
}

plan 21
test_watch
test_dump
