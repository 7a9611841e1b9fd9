#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# --help, the manual and the completion name the same options, commands and defaults.
# sanitize: yes
# parallel: yes

. "$(dirname "$0")/../lib/tap.sh"

manual=$top/user/perpetuo-bpf.8
completion=$top/scripts/completion/perpetuo-bpf.bash

# options: the option names in a text, one a line
options()
{
	grep -oE '(^|[ ,])(-[a-zA-Z]|--[a-z][a-z-]*)' | sed 's/^[ ,]*//' | LC_ALL=C sort -u
}

# From the lines that begin an entry: the sentences may name others.
options_of_help()
{
	grep -E '^ {2,6}-' "$tmp/help" | sed -E 's/^( *(-[a-zA-Z], )?--[a-z-]+(, --[a-z-]+)?).*/\1/' | options
}

options_of_manual()
{
	sed -n 's/^\.It Fl //p' "$manual" | sed -E 's/ Ar .*//; s/(^| )Fl /\1/g; s/^|, | , /&-/g' |
		grep -v '^--$' | options
}

commands_of_help()
{
	sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$tmp/help" | sort
}

# complete_line WORD...: what the completion offers for the last word of a line, one a line
complete_line()
{
	bash --norc -c '
		. "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_perpetuo_bpf perpetuo-bpf "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		printf "%s\n" "${COMPREPLY[@]}"' _ "$completion" perpetuo-bpf "$@" | LC_ALL=C sort -u
}

# same NAME FILE FILE: one result, equal and not empty
same()
{
	if [ -s "$2" ] && cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1" "$(diff "$2" "$3")"; fi
}

# defaults: one result; the default in --help stands in the manual at the same option
defaults()
{
	local option default missing=

	while read -r option default; do
		sed -n "/^\.It Fl -$option /,/^\.It/p" "$manual" | tr '\n' ' ' |
			grep -q "The default is ${default}[;.]" || missing+=" --$option($default)"
	done < <(tr '\n' ' ' <"$tmp/help" | sed -E 's/  +(-[a-zA-Z], )?--/\n--/g' |
		sed -nE 's/^--([a-z-]+).*\(default ([0-9a-z,]+)\).*/\1 \2/p' | tee "$tmp/defaults")
	[ "$(wc -l <"$tmp/defaults")" -ge 4 ] || missing+=" nearly all"
	is "$missing" "" "the manual has the defaults of --help"
}

plan 14

check_status 0 "--help" "$loader" --help
cp "$tmp/stdout" "$tmp/help"
options_of_help >"$tmp/options.help"
options_of_manual >"$tmp/options.manual"
complete_line - | grep -vx -- -- >"$tmp/options.completion"
same "the manual names the options of --help" "$tmp/options.help" "$tmp/options.manual"
same "so does the completion" "$tmp/options.help" "$tmp/options.completion"
defaults

commands_of_help >"$tmp/commands.help"
sed -n 's/^\.It Cm \([a-z]*\) Ar .*/\1/p' "$manual" | sort >"$tmp/commands.manual"
complete_line "" | grep -vx -- -- >"$tmp/commands.completion"
same "the manual names the commands of --help" "$tmp/commands.help" "$tmp/commands.manual"
same "so does the completion" "$tmp/commands.help" "$tmp/commands.completion"

is "$(complete_line --backend = p)" poll "the completion knows values"
is "$(complete_line --json -- true_that_is_no_comman)" "" "and leaves the command alone"

# Every option that --help names exists: that it wants a value, or a process, is fine.
wrong=
while read -r option; do
	status=0
	"$loader" "$option" </dev/null >/dev/null 2>"$tmp/stderr" || status=$?
	if [ $status -gt 2 ] || grep -q unknown "$tmp/stderr"; then wrong+=" $option($status)"; fi
done <"$tmp/options.help"
is "$wrong" "" "each option of --help is accepted"

check_status 0 "--version" "$loader" --version
is "$(cat "$tmp/stdout")" "perpetuo-bpf $(sed -n 's/^#define PERPETUO_VERSION "\(.*\)"/\1/p' "$top/user/version.h")" \
	"the version is the one of version.h"
check_status 2 "a mistake is exit status 2" "$loader" --alert-interval never --pid 1
is "$(grep -c "'never'" "$tmp/stderr")" 1 "and quoted, in one line"

if command -v mandoc >/dev/null; then
	check "the manual is clean" mandoc -T lint -W warning "$manual"
elif command -v man >/dev/null; then
	MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$manual" >/dev/null 2>"$tmp/warnings"
	is "$(cat "$tmp/warnings")" "" "the manual is clean"
else
	skip "the manual is clean" "neither mandoc nor man is installed"
fi
