#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# install-deps.sh [--print] build|test|demo: installs the Debian packages that are missing for that
# purpose, and for tests a venv with PyPI packages in the user's cache. Nothing is asked of apt when
# everything is there. Needs nothing but a shell and apt.

top=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$top/scripts/common.sh"

# purpose  packages
packages="
build  gcc make clang bpftool libbpf-dev libelf-dev zlib1g-dev libjansson-dev
build  pkg-config python3 python3-dev libc6-dev
test   git g++ shellcheck clang-format libclang-rt-dev llvm mandoc
test   python3-venv python3-jsonschema jq procps util-linux mount ca-certificates mmdebstrap xz-utils
demo   python3
"
# Event loops, servers with workers and the original extension, as they come from PyPI, and a validator
# for the records.
pypi="trio perpetuo jsonschema uvloop gevent tornado gunicorn uvicorn"
# For interpreters that are not the venv's, in folders beside it: folder, version, packages. The
# clang-format that decides, the oldest Trio that is read, and what is compiled for each version.
folders="
clang-format 3.11 clang-format==14.0.6
trio-0.22 3.9 trio==0.22.2 exceptiongroup typing_extensions
3.9 3.9 greenlet gevent uvloop
3.10 3.10 greenlet
3.11 3.11 greenlet gevent
3.12 3.12 greenlet
3.13 3.13 greenlet gevent
3.14 3.14 greenlet gevent uvloop
3.15 3.15 greenlet
"
tries=3

# names PURPOSE: tests and demo need what the build needs
names()
{
	echo "$packages" | while read -r purpose list; do
		case "$purpose" in
		build | "$1") echo "$list" ;;
		esac
	done | tr ' ' '\n' | sort -u
}

missing()
{
	for name in $(names "$1"); do
		# The dev packages are "Multi-Arch: same": one row for each architecture.
		dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q ' installed$' || echo "$name"
	done
}

# again WHAT COMMAND...: up to $tries times, the network may have hiccups
again()
{
	what=$1
	shift
	try=1
	until "$@"; do
		[ $try -lt $tries ] || return 1
		say "$what failed, once more in $((try * 5)) s"
		sleep $((try * 5))
		try=$((try + 1))
	done
}

# apt ARGUMENT...: of the hundreds of lines that it prints only errors and warnings are shown (update
# ends with 0 where no server can be reached), and the last ones where it fails
apt()
{
	apt_log=$(mktemp) || die "cannot make a temporary file"
	apt_status=0
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" \
		</dev/null >"$apt_log" 2>&1 || apt_status=$?
	if [ $apt_status = 0 ]; then
		grep '^[EW]:' "$apt_log" >&2
	else
		tail -n 10 "$apt_log" >&2
	fi
	rm -f "$apt_log"
	return $apt_status
}

install_packages()
{
	wanted=$(missing "$1")
	[ -n "$wanted" ] || return 0
	# shellcheck disable=SC2086  # one line of words
	set -- $wanted
	[ "$(id -u)" = 0 ] || die "these packages are missing, and installing them needs root: $*"
	command -v apt-get >/dev/null || die "no apt-get here; install the likes of: $*"

	say "installing with apt, a minute or some: $*"
	again "apt-get update" apt update || die "apt-get update failed: is there a network?"
	unknown=$(for name; do
		apt-cache policy "$name" | grep -q '^  Candidate: [^(]' || echo "$name"
	done | tr '\n' ' ')
	[ -z "$unknown" ] || die "apt knows no package named ${unknown% }; is there a network, and Debian 12 or 13?"
	again "apt-get install" apt install -y --no-install-recommends "$@"
	for name; do
		dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q ' installed$' ||
			die "could not install the package $name"
	done
}

# The venv lies where tests/lib/tap.sh looks for it.
install_venv()
{
	venv=${PERPETUO_TEST_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/perpetuo-bpf-tests/venv}
	wanted=
	for name in $pypi; do
		# -I: what PYTHONPATH or the current directory hold is not the venv's.
		"$venv/bin/python" -I -c "import $name" 2>/dev/null || wanted="$wanted $name"
	done
	[ -n "$wanted" ] || return 0
	say "installing from PyPI into $venv:$wanted"
	[ -x "$venv/bin/pip" ] || /usr/bin/python3 -m venv --clear "$venv" ||
		die "could not make the venv $venv"
	for name in $wanted; do
		# pip has retries of its own.
		"$venv/bin/pip" install -q --retries 2 --timeout 60 "$name" >&2 ||
			die "could not install $name from PyPI"
	done
}

# A folder is there when all of it is.
install_folders()
{
	venv=${PERPETUO_TEST_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/perpetuo-bpf-tests/venv}
	echo "$folders" | while read -r folder version list; do
		dir=$(dirname "$venv")/packages/$folder
		if [ -z "$folder" ] || [ -d "$dir" ]; then continue; fi
		say "installing from PyPI into $dir: $list"
		rm -rf "$dir.new"
		# shellcheck disable=SC2086  # a list of words
		if "$venv/bin/pip" install -q --disable-pip-version-check --retries 2 --timeout 60 --target "$dir.new" \
			--python-version "$version" --only-binary=:all: $list >&2; then
			mv "$dir.new" "$dir"
		else
			say "could not install $list: tests of it will be skipped"
		fi
	done
}

# uWSGI is built from source, for one test, which skips without it.
install_uwsgi()
{
	[ ! -x "$venv/bin/uwsgi" ] || return 0
	say "building uWSGI from PyPI in $venv"
	timeout 180 "$venv/bin/pip" install -q --retries 2 --timeout 60 uWSGI >&2 ||
		say "uWSGI could not be built: its test will skip"
}

print=
if [ "${1:-}" = --print ]; then
	print=1
	shift
fi
case "${1:-}" in
build | test | demo) ;;
*)
	echo "Usage: install-deps.sh [--print] build|test|demo" >&2
	exit 2
	;;
esac
if [ -n "$print" ]; then
	names "$1"
	exit 0
fi
install_packages "$1"
if [ "$1" = test ]; then
	install_venv
	install_folders
	install_uwsgi
fi
