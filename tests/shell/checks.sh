#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# parallel: yes
#
# The checks of scripts/ on a small tree: silent when all is well, and each names a planted fault.

. "$(dirname "$0")/../lib/tap.sh"

tree=$tmp/tree
mkdir -p "$tree/user/base" "$tree/user/py" "$tree/user/sink" "$tree/bpf" "$tree/pyext/src"
cp -r "$top/scripts" "$top/.clang-format" "$top/.shellcheckrc" "$tree"
rm -rf "$tree/scripts/demo"

# c_file FILE INCLUDE...: a well-formed source file
c_file()
{
	local file=$1 include

	shift
	{
		echo "// SPDX-License-Identifier: MIT OR Apache-2.0"
		for include; do echo "#include \"$include\""; done
	} >"$tree/$file"
}

# finds CHECK PATTERN NAME: the check fails and its output matches, then the fault is taken back
finds()
{
	local output status=0

	output=$("$tree/scripts/$1" 2>&1) || status=$?
	if [ $status != 0 ] && [ $status != 4 ] && grep -q "$2" <<<"$output"; then
		ok "$3"
	else
		not_ok "$3" "exit status $status, nothing matches '$2': $output"
	fi
	c_file user/base/log.c base/log.h
	c_file user/py/walk.c py/walk.h proc/mem.h base/log.h
	c_file user/sink/text.c sink/text.h stall/report.h
	c_file user/main.c session.h options.h base/log.h
	c_file pyext/src/page.c bpf/slot_abi.h
	rm -f "$tree"/scripts/planted.sh "$tree"/bpf/*.c
}

plan 16
finds check-includes.sh "no include was seen" "includes: a tree in which it sees nothing"
check "includes: all well" "$tree/scripts/check-includes.sh"
check "spdx: all well" "$tree/scripts/check-spdx.sh"

c_file user/base/log.c base/log.h py/walk.h
finds check-includes.sh "user/base/log.c:3: .*py/walk.h" "includes: base -> py"
c_file user/sink/text.c sink/text.h stall/stall.h
finds check-includes.sh "user/sink/text.c:3: .*stall/stall.h" "includes: sink -> stall other than the report"
c_file user/py/walk.c bpf/maps.h
finds check-includes.sh "user/py/walk.c:2: .*bpf/maps.h" "includes: user -> a header of the BPF programs"
c_file user/py/walk.c session.h
finds check-includes.sh "user/py/walk.c:2: .*session.h" "includes: py -> session"
c_file user/main.c base/../py/walk.h
finds check-includes.sh "user/main.c:2: .*dots" "includes: a path with dots"
c_file pyext/src/page.c base/log.h
finds check-includes.sh "pyext/src/page.c:2: .*base/log.h" "includes: pyext -> user"
c_file bpf/slots.bpf.c user/base/log.h
finds check-includes.sh "bpf/slots.bpf.c:2: .*user/base/log.h" "includes: bpf -> user"

c_file bpf/slots.bpf.c
finds check-spdx.sh "bpf/slots.bpf.c:1: .*GPL-2.0-only OR MIT" "spdx: the licence of another folder"

if command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2016  # not to be expanded here
	printf '#!/bin/sh\nrm $1/*\n' >"$tree/scripts/planted.sh"
	finds check-shell.sh "planted.sh line 2" "shell: an unquoted expansion"
else
	skip "shell" "no shellcheck here"
fi
printf '// SPDX-License-Identifier: MIT OR Apache-2.0\nint  a;\n' >"$tree/user/main.c"
if (cd "$tree" && scripts/check-format.sh >/dev/null 2>&1) || [ $? != 4 ]; then
	finds check-format.sh "user/main.c:2" "format: two blanks"
else
	skip "format" "not the clang-format that decides"
fi

# A checkout that belongs to another user, as under sudo; its git history is not of the tree.
if [ "$(id -u)" = 0 ] && command -v git >/dev/null; then
	c_file user/main.c base/log.h
	git -C "$tree" init -q
	git -C "$tree" add .
	echo "no licence" >"$tree/user/untracked.c"
	chown -R 65534:65534 "$tree"
	check "spdx: the tree of another user, what git tracks of it" "$tree/scripts/check-spdx.sh"
	rm "$tree/.git/HEAD"
	finds check-spdx.sh "user/untracked.c:1: no" "spdx: without git, all files"
	check "spdx: but not git's own" sh -c "! '$tree/scripts/check-spdx.sh' | grep -F .git/"
else
	for part in 1 2 3; do skip "another user's tree $part" "neither root nor git"; done
fi
