#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Dependencies point one way: main -> session, options -> source, sink -> stall -> py -> proc -> base.
# The table says what a folder may include between quotes; each folder may include itself.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"
cd "$top" || exit 1

{
	tracked 'bpf/*.[ch]' 'user/*.[ch]' 'pyext/*.[ch]' |
		xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"'
} | awk '
BEGIN {
	leaf = "^bpf/([a-z0-9_]+_abi|[a-z]+_state)[.]h$"
	skeleton = "|^perpetuo[.]skel[.]h$"

	may["bpf"] = "^bpf/|^vmlinux[.]h$"
	may["pyext"] = "^bpf/slot_abi[.]h$"
	may["base"] = "^base/"
	may["proc"] = "^(proc|base)/|^syscall_names[.]h$|" leaf
	may["py"] = "^(py|proc|base)/|" leaf
	may["stall"] = "^(stall|py|proc|base)/|" leaf
	may["sink"] = "^(sink|base)/|^stall/report[.]h$"
	may["kern"] = "^(kern|proc|base)/|" leaf skeleton
	may["source"] = "^(source|kern|stall|py|proc|base)/|" leaf skeleton
	may["user"] = "^[a-z0-9_]+/|^[a-z0-9_]+[.]h$|" leaf skeleton
}

{
	split($0, part, ":")
	file = part[1]
	split($0, quoted, "\"")
	name = quoted[2]

	split(file, dir, "/")
	folder = dir[1]
	if (folder == "user" && dir[3] != "")
		folder = dir[2]
	own = file
	sub(/[^\/]*$/, name, own)

	seen++
	if (!(folder in may))
		bad = "no row in the table of scripts/check-includes.sh for folder " folder
	else if (name ~ /(^|\/)[.][.]?\//)
		bad = "a path with dots: " name
	else if (name ~ may[folder] && (folder != "user" || name !~ /^bpf\// || name ~ leaf))
		next
	else if (name !~ /\// && folder != "user" && (getline line < own) >= 0) {
		close(own)
		next
	} else
		bad = folder " may not include " name
	print file ":" part[2] ": " bad
	failed = 1
}

END {
	if (!seen) {
		print "no include was seen: the check does not work"
		failed = 1
	}
	exit failed
}'
