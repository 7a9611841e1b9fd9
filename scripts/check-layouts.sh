#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The offsets in user/py/layout_table.c are those that were measured (scripts/layouts).

exec /usr/bin/python3 "$(dirname "$0")/gen-layouts.py" --check
