# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
#
# Completion of perpetuo-bpf(8) for bash. tests/shell/docs.sh holds its options against --help.

# Processes that run some Python, by their pid.
_perpetuo_bpf_pids()
{
	local exe pids=()

	for exe in /proc/[0-9]*/exe; do
		[[ $(readlink "$exe" 2>/dev/null) == */python* ]] || continue
		exe=${exe#/proc/}
		pids+=("${exe%/exe}")
	done
	echo "${pids[*]}"
}

# _perpetuo_bpf_value OPTION WORD: what OPTION takes, in COMPREPLY; 1 when it takes nothing
_perpetuo_bpf_value()
{
	case "$1" in
	-p | --pid) mapfile -t COMPREPLY < <(compgen -W "$(_perpetuo_bpf_pids)" -- "$2") ;;
	--on-stall) mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
	-o | --output | --allow)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$2")
		;;
	--backend) mapfile -t COMPREPLY < <(compgen -W "auto bpf poll" -- "$2") ;;
	--sources) mapfile -t COMPREPLY < <(compgen -W "slot gil loop slot,gil,loop" -- "$2") ;;
	--user) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
	--threshold) ;; # any name
	--alert-interval | --gil-threshold | --loop-threshold | --poll-interval) mapfile -t COMPREPLY < <(compgen -W "50ms 200ms 1s" -- "$2") ;;
	--redact) ;; # any text
	--traceback-suppress) mapfile -t COMPREPLY < <(compgen -W "0 30s 5m" -- "$2") ;;
	*) return 1 ;;
	esac
}

_perpetuo_bpf()
{
	local word=$2 previous=$3 i
	local options="-p --pid --follow --user --alert-interval --gil-threshold --loop-threshold --threshold --poll-interval
		--backend --sources --json --json-mode --once
		-o --output --full --native --traceback-suppress --allow --on-stall --fail-on-stall
		--print-locals --locals --no-print-locals --redact --show-secrets --features --stats
		-v --verbose -V --version -h --help"

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		[ "${COMP_WORDS[i]}" = -- ] || continue
		# From here on it is another program's line.
		if declare -F _comp_command_offset >/dev/null; then
			_comp_command_offset $((i + 1))
		elif declare -F _command_offset >/dev/null; then
			_command_offset $((i + 1))
		elif [ $((i + 1)) = "$COMP_CWORD" ]; then
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		else
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
		fi
		return
	done

	# bash makes three words of --backend=bpf
	if [ "$word" = "=" ]; then
		word=
	elif [ "$previous" = "=" ] && [ "$COMP_CWORD" -ge 2 ]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	_perpetuo_bpf_value "$previous" "$word" && return

	for ((i = 1; i < COMP_CWORD; i++)); do
		case "${COMP_WORDS[i]}" in
		watch | dump | top)
			[[ $word == -* ]] || options=$(_perpetuo_bpf_pids)
			mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
			return
			;;
		esac
	done
	[[ $word == -* ]] || options="watch dump top --"
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}

complete -F _perpetuo_bpf perpetuo-bpf
