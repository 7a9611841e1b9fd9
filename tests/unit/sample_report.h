/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reports as the stall layer hands them to sinks, for the tests of the sinks. */
#ifndef TESTS_UNIT_SAMPLE_REPORT_H
#define TESTS_UNIT_SAMPLE_REPORT_H

#include "stall/report.h"

/* 2026-11-21T13:42:24.123456Z */
#define SAMPLE_WALL_NS 1795268544123456789ULL
#define SAMPLE_START_NS 88201400000ULL
#define SAMPLE_DURATION_NS 201400000ULL

static const char *const sample_cmdline[] = { "python3", "-m", "billing", "it's a b", "" };

static const struct report_frame sample_stuck[] = {
	{ .name = "render", .file = "/srv/billing/report.py", .line = 42 },
	{ .name = "serve", .file = "/srv/billing/web.py", .line = 71 },
	{ .name = "<module>", .file = "/srv/billing/__main__.py", .line = 80 },
};

static const struct report_frame sample_other[] = {
	{ .name = "run", .file = "/usr/lib/python3.11/threading.py", .line = 975 },
	{ .name = "_bootstrap", .file = "<frozen>", .line = 0 },
};

static const struct report_native sample_native[] = {
	{ .library = "libc.so.6", .function = "read", .offset = 0xd, .addr = 0x7f0000100d0d },
	{ .library = "rates.so", .function = "", .offset = 0x11f3, .addr = 0x7f00002011f3 },
	{ .library = "rates.so", .function = "", .offset = 0x1300, .addr = 0x7f0000201300 },
	{ .library = "rates.so", .function = "load", .offset = 0x20, .addr = 0x7f0000201520 },
	{ .library = "", .function = "", .offset = 0, .addr = 0x7f0000900000 },
};

static const struct report_kernel sample_kernel[] = {
	{ .function = "nfs_wait_bit_killable", .module = "nfs", .offset = 0x4d },
	{ .function = "vfs_read", .module = "", .offset = 0x32c },
};

static const struct report_thread sample_threads[] = {
	{ .name = "MainThread",
	  .state = "blocked",
	  .doing = "blocked in read(fd 5: /srv/billing/rates)",
	  .call = "read",
	  .fd = 5,
	  .about = "/srv/billing/rates",
	  .ident = 0x7f0000001000,
	  .tid = 1240,
	  .responsible = true,
	  .exact = true,
	  .note = "",
	  .frame = sample_stuck,
	  .nframes = 3,
	  .task = "serve-17",
	  .native = sample_native,
	  .nnative = 5,
	  .native_note = "incomplete: it leads to what is no code",
	  .kernel = sample_kernel,
	  .nkernel = 2 },
	{ .name = "worker-1",
	  .state = "running",
	  .ident = 0x7f0000002000,
	  .tid = 1241,
	  .holds_gil = true,
	  .note = "the stack moved while it was read",
	  .frame = sample_other,
	  .nframes = 2,
	  .cut = 3 },
	{ .name = "", .state = "unknown", .exact = true, .note = "", .frame = NULL },
};

static const struct report_frame sample_waiting[] = {
	{ .name = "sleep", .file = "/usr/lib/python3.11/asyncio/tasks.py", .line = 649 },
	{ .name = "retry", .file = "/srv/billing/web.py", .line = 12 },
};

static const struct report_task sample_tasks[] = {
	{ .library = "asyncio",
	  .name = "serve-17",
	  .state = "running",
	  .count = 1,
	  .current = true,
	  .exact = true,
	  .parent = REPORT_NO_INDEX,
	  .thread = "MainThread",
	  .tid = 1240,
	  .waits_for = "",
	  .note = "",
	  .frame = sample_stuck,
	  .nframes = 1 },
	{ .library = "asyncio",
	  .name = "retry-1",
	  .state = "waiting",
	  .count = 25,
	  .exact = true,
	  .parent = 0,
	  .thread = "MainThread",
	  .tid = 1240,
	  .waits_for = "sleep",
	  .note = "",
	  .frame = sample_waiting,
	  .nframes = 2 },
	{ .library = "trio",
	  .name = "",
	  .state = "ready",
	  .count = 1,
	  .parent = REPORT_NO_INDEX,
	  .thread = "",
	  .waits_for = "",
	  .note = "its coroutine is of an unknown kind" },
};

static const struct report_why sample_why = {
	.kind = "system_call",
	.measured = true,
	.on_cpu_ns = 300000,
	.run_queue_ns = 100000,
	.blocked_ns = 201000000,
	.call = "read",
	.fd = 5,
	.about = "/srv/billing/rates",
	.library = "",
	.verdict = "blocked for 201.0 of 201.4 ms in read(fd 5: /srv/billing/rates)",
};

static const struct report_stall sample_detected = {
	.event = REPORT_DETECTED,
	.id = "1234-7",
	.source = "slot",
	.name = "billing",
	.pid = 1234,
	.tid = 1240,
	.thread = "MainThread",
	.wall_ns = SAMPLE_WALL_NS,
	.start_ns = SAMPLE_START_NS,
	.reported_ns = SAMPLE_START_NS + SAMPLE_DURATION_NS,
	.duration_ns = SAMPLE_DURATION_NS,
	.start_exact = true,
	.note = "",
	.why = &sample_why,
	.cmdline = sample_cmdline,
	.ncmdline = 5,
	.thread_list = sample_threads,
	.nthreads = 3,
	.stacks_consistent = true,
};

static const struct report_stall sample_limited = {
	.event = REPORT_DETECTED,
	.id = "1234-8",
	.source = "slot",
	.name = "billing",
	.pid = 1234,
	.thread = "",
	.wall_ns = SAMPLE_WALL_NS,
	.start_ns = SAMPLE_START_NS,
	.reported_ns = SAMPLE_START_NS + SAMPLE_DURATION_NS,
	.duration_ns = SAMPLE_DURATION_NS,
	.note = "its thread has ended",
	.rate_limited = true,
	.suppressed = 2,
};

static const struct report_stall sample_ended = {
	.event = REPORT_ENDED,
	.id = "1234-7",
	.source = "slot",
	.name = "billing",
	.pid = 1234,
	.tid = 1240,
	.thread = "MainThread",
	.wall_ns = SAMPLE_WALL_NS,
	.start_ns = SAMPLE_START_NS,
	.reported_ns = SAMPLE_START_NS + 83211400000ULL,
	.duration_ns = 83211400000ULL,
	.start_exact = true,
	.end_exact = true,
	.note = "",
};

static const struct report_tracker sample_trackers[] = {
	{ .source = "slot",
	  .name = "billing",
	  .cnt = 10,
	  .total_ns = 2512000000,
	  .worst_ns = 809300000,
	  .p50_ns = 210200000,
	  .p99_ns = 809300000,
	  .untold = 3 },
	{ .source = "", .name = "(others)", .cnt = 1, .open = 1, .allowed = 2 },
};

static const struct report_summary sample_summary = {
	.wall_ns = SAMPLE_WALL_NS,
	.stalls = 11,
	.tracker_list = sample_trackers,
	.ntrackers = 2,
};

static const struct report_info sample_info = {
	.severity = REPORT_INFO,
	.wall_ns = SAMPLE_WALL_NS,
	.message = "Successfully monitoring pid 1234",
	.pid = 1234,
};

static const struct report_greenlet sample_greenlets[] = {
	{
		.type = "greenlet",
		.count = 8,
		.thread = "MainThread",
		.tid = 1240,
		.exact = true,
		.note = "",
		.frame = sample_stuck,
		.nframes = 3,
		.cut = 2,
	},
	{ .type = "Hub", .count = 1, .thread = "", .note = "incomplete: too many frames" },
};

static const struct report_dump sample_dump = {
	.wall_ns = SAMPLE_WALL_NS,
	.pid = 1234,
	.python = "CPython 3.11.7 (static, /usr/bin/python3.11)",
	.note = "",
	.cmdline = sample_cmdline,
	.ncmdline = 5,
	.has_gil = true,
	.thread_list = sample_threads,
	.nthreads = 3,
	.tasks = { sample_tasks, 3, 30, "incomplete: no time left for all tasks" },
	.greenlet_list = sample_greenlets,
	.ngreenlets = 2,
	.greenlets_found = 9,
	.greenlets_note = "incomplete: no time left for all greenlets",
};

/* Names as a hostile target may choose them, should nobody have cleaned them on the way. */
#define SAMPLE_HOSTILE "a\033[2Jb\nc\xff\xc3z\u202e"
#define SAMPLE_CLEANED "a\\x1b[2Jb\\x0ac\\xff\\xc3z\\u202e"

#endif
