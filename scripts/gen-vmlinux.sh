#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# gen-vmlinux.sh FULL_HEADER > vmlinux/ARCH/vmlinux.h: the trimmed types header for the BPF programs,
# made of what vmlinux/types names. FULL_HEADER is what bpftool prints for a kernel of that
# architecture, or the vmlinux.h of Debian's package linux-bpf-dev:
#
#	bpftool btf dump file /sys/kernel/btf/vmlinux format c > /tmp/full.h
#	scripts/gen-vmlinux.sh /tmp/full.h > vmlinux/x86_64/vmlinux.h

set -u
top=$(cd "$(dirname "$0")/.." && pwd) || exit 1

if [ $# != 1 ] || [ ! -r "$1" ]; then
	echo "usage: gen-vmlinux.sh FULL_HEADER" >&2
	exit 2
fi

# The full header is read twice: first for where things are, then the list asks for them.
awk -v full="$1" '
function fail(text)
{
	print "gen-vmlinux.sh: " text " is not in " full > "/dev/stderr"
	failed = 1
}

# the block that begins at line i, up to and with its closing line
function block(i,   out)
{
	for (out = line[i]; line[i] !~ /^(}|typedef .*;)/ && i < n; )
		out = out "\n" line[++i]
	return out
}

# only the members of struct NAME whose names are in WORD[3..cnt]; nested ones are left out
function members(name, cnt,   i, k, text, found, out, depth)
{
	out = "struct " name " {"
	for (i = at["struct " name] + 1; line[i] !~ /^}/; i++) {
		text = line[i]
		if (text ~ /{$/)
			depth++
		if (text ~ /^\t+}/)
			depth--
		if (depth || text !~ /;$/)
			continue
		for (k = 3; k <= cnt; k++)
			if (text ~ ("[ *]" word[k] "(:|;|\\[)")) {
				out = out "\n" text
				found++
			}
	}
	if (found != cnt - 2)
		fail("a field of struct " name)
	return out "\n};"
}

BEGIN {
	while ((getline text < full) > 0) {
		line[++n] = text
		if (text ~ /^(struct|union|enum) [a-z_0-9]+ {$/)
			at[substr(text, 1, length(text) - 2)] = n
		else if (text ~ /^typedef .*;$/) {
			name = text
			sub(/;$/, "", name)
			sub(/.*[ *]/, "", name)
			at["typedef " name] = n
		} else if (text == "typedef struct {") {
			anonymous = n
		} else if (text ~ /^} [a-z_0-9]+;$/) {
			at["typedef " substr(text, 3, length(text) - 3)] = anonymous
		} else if (match(text, /^\t[A-Za-z_0-9]+ = [0-9]+,$/)) {
			split(substr(text, 2), part, " ")
			sub(/,$/, "", part[3])
			value[part[1]] = part[3]
		}
	}
	print "/* SPDX-License-Identifier: GPL-2.0-only OR MIT */"
	print "/* Made by scripts/gen-vmlinux.sh from vmlinux/types: do not edit. */"
	print "#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n"
	print "#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)\n"
}

/^#/ || !NF {
	next
}

{
	cnt = split($0, word, " ")
	if (word[1] == "const") {
		text = "enum {"
		for (k = 2; k <= cnt; k++) {
			if (!(word[k] in value))
				fail(word[k])
			text = text "\n\t" word[k] " = " value[word[k]] ","
		}
		print text "\n};\n"
	} else if (!((word[1] " " word[2]) in at)) {
		fail(word[1] " " word[2])
	} else if (word[1] == "typedef") {
		print block(at["typedef " word[2]])
		if (word[2] == "pid_t")
			print ""
	} else if (cnt > 2) {
		print members(word[2], cnt) "\n"
	} else {
		print block(at[word[1] " " word[2]]) "\n"
	}
}

END {
	print "#pragma clang attribute pop\n\n#endif"
	exit failed
}' "$top/vmlinux/types"
