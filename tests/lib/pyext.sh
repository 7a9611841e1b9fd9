# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash disable=SC2154
#
# For tests of the extension; sourced after tap.sh, whose $build, $top and $tmp it uses.

export PYTHONDONTWRITEBYTECODE=1
# Forking with threads is what some of them test.
export PYTHONWARNINGS=ignore::DeprecationWarning
export LC_ALL=C.UTF-8

# need_extension: the build made one
need_extension()
{
	[ -e "$build/python/perpetuo/_perpetuo.abi3.so" ] ||
		tap_need_failed extension "no extension in $build/python: its Python headers are missing"
}

# package_for PYTHON: the folder to import perpetuo from; built for a free-threaded interpreter,
# which takes no binary but its own
package_for()
{
	local version

	version=$(python_version "$1")
	case "$version" in
	*t)
		env -u MAKEFLAGS make -s -C "$top" O="$tmp/$version" PYTHON="$1" extension >"$tmp/make" 2>&1 ||
			diag "$(cat "$tmp/make")"
		echo "$tmp/$version/python"
		;;
	*) echo "$build/python" ;;
	esac
}

# run_target PYTHON SCRIPT [ARGUMENT...]: one result
run_target()
{
	local python=$1 script=$2

	shift 2
	check "$(python_version "$python") $script" env \
		PYTHONPATH="$(package_for "$python"):$top/tests/targets" \
		"$python" "$top/tests/targets/$script.py" "$@"
}
