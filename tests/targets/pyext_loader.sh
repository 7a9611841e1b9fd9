#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Stands in for perpetuo-bpf in tests of start_watcher(): what it does is said in $FAKE, its own pid
# and its arguments go to the file $FAKE_LOG.
{
	echo "$$"
	printf '%s\n' "$@"
} >"$FAKE_LOG.part"
mv "$FAKE_LOG.part" "$FAKE_LOG"

for pid; do :; done # the last argument

# A zombie is over, as it is for a pidfd.
target_runs()
{
	{ read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
	case "${stat##*) }" in Z*) return 1 ;; esac
}

case "$FAKE" in
refuse)
	echo "perpetuo-bpf: one thing first" >&2
	echo "perpetuo-bpf: pid $pid: not allowed" >&2
	exit 3
	;;
silent) exit 1 ;;
stubborn) trap '' TERM ;;
esac
echo "a report"
echo "a diagnosis" >&2
while target_runs; do
	sleep 0.05
	[ ! -e "$FAKE_LOG.die" ] || exit 7
done
echo "the target has ended" >>"$FAKE_LOG"
