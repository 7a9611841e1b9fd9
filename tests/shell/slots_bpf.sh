#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# timeout: 240
# sanitize: yes
# Slots of the extension, watched with the bpf backend.
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/watch.sh"
need_bpf
need_tool jq
need_extension
# shellcheck disable=SC2034  # for slots.sh
backend=bpf
. "$(dirname "$0")/../lib/slots.sh"
