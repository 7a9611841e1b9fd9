#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# parallel: yes
#
# instrument_trio() with the Trio of PyPI.
. "$(dirname "$0")/../lib/tap.sh"
. "$top/tests/lib/pyext.sh"

need_extension
need_venv trio
plan 1
run_target "$(venv_python)" pyext_trio
