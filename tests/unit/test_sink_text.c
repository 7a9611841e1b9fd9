// SPDX-License-Identifier: MIT OR Apache-2.0
/* Records for people, character by character: what is printed is an interface. */
#include "sink/sink.h"

#include <stdlib.h>
#include <time.h>

#include "sample_report.h"
#include "sink/format.h"
#include "tap.h"

static const struct sink_style plain = { .colour = false };
static const struct sink_style coloured = { .colour = true };

#define WHEN "2026-11-21T13:42:24.123456+00:00"

static void stall_is(const struct report_stall *r, const char *want, const char *name)
{
	struct strbuf out = STRBUF_INIT;

	sink_text.stall(&out, &plain, r);
	is_str(strbuf_str(&out), want, "%s", name);
	strbuf_free(&out);
}

static bool stall_has(const struct report_stall *r, const struct sink_style *style,
		      const char *part)
{
	struct strbuf out = STRBUF_INIT;
	bool found;

	sink_text.stall(&out, style, r);
	found = strbuf_str(&out) && strstr(out.data, part);
	if (!found)
		diag("no '%s' in: %s", part, strbuf_str(&out) ? out.data : "(failed)");
	strbuf_free(&out);
	return found;
}

static void detected(void)
{
	stall_is(&sample_detected,
		 "[Warning] Stall detected (name: billing, pid: 1234, id: 1234-7) at " WHEN "\n"
		 "  Duration (so far): 201.4 ms\n"
		 "  Started: 2026-11-21T13:42:23.922056+00:00\n"
		 "  Why: blocked for 201.0 of 201.4 ms in read(fd 5: /srv/billing/rates)\n"
		 "  Command line: python3 -m billing 'it'\\''s a b' ''\n"
		 "  -- This thread is probably responsible --\n"
		 "    MainThread (tid 1240, blocked in read(fd 5: /srv/billing/rates), "
		 "runs task serve-17)\n"
		 "        <module> (/srv/billing/__main__.py:80)\n"
		 "        serve (/srv/billing/web.py:71)\n"
		 "      > render (/srv/billing/report.py:42)\n"
		 "      native: 0x7f0000900000 > rates.so load+0x20 > +0x11f3 > libc.so.6 read+0xd"
		 " (incomplete: it leads to what is no code)\n"
		 "      kernel: vfs_read+0x32c > nfs_wait_bit_killable+0x4d (nfs)\n"
		 "  -- Other threads (probably not responsible) --\n"
		 "    worker-1 (tid 1241, running, holds the GIL)\n"
		 "        ... 3 outer frames are not shown\n"
		 "        _bootstrap (<frozen>:?)\n"
		 "      > run (/usr/lib/python3.11/threading.py:975)\n"
		 "      (the stack moved while it was read)\n"
		 "    (no name) (unknown)\n"
		 "      (no Python frames)\n"
		 "\n",
		 "a stall with stacks");
}

static void others(void)
{
	struct report_thread thread = sample_threads[0];
	struct report_stall r = sample_limited;

	stall_is(&sample_limited,
		 "[Warning] Stall detected (name: billing, pid: 1234, id: 1234-8) at " WHEN "\n"
		 "  Duration (so far): 201.4 ms\n"
		 "  Started: 2026-11-21T13:42:23.922056+00:00"
		 " (first seen then, may have begun a little earlier)\n"
		 "  Note: its thread has ended\n"
		 "  Suppressed: stacks of 2 records so far\n"
		 "  -- (no traceback because of rate limiting) --\n"
		 "\n",
		 "a rate-limited record says what is not there");
	stall_is(&sample_ended,
		 "[Warning] Stall ended (name: billing, pid: 1234, id: 1234-7) at " WHEN "\n"
		 "  Duration (total): 83211.4 ms (1 min 23 s)\n"
		 "  Started: 2026-11-21T13:41:00.912056+00:00\n"
		 "\n",
		 "the end of a stall has its total");

	r = sample_ended;
	r.end_exact = false;
	r.duration_ns = 5079100000;
	ok(stall_has(&r, &plain, "(total): 5079.1 ms (5.1 s), its end was seen from outside\n"),
	   "an end that was observed only is told as such");
	r.duration_ns = 7380ULL * 1000000000;
	ok(stall_has(&r, &plain, "7380000.0 ms (2 h 3 min)"), "hours");

	r = sample_detected;
	r.stacks_consistent = false;
	ok(stall_has(&r, &plain, "\n  Stacks: the program may have moved on"),
	   "stacks that may not belong to the stall are told as such");
	r.suppressed = 1;
	ok(stall_has(&r, &plain,
		     "\n  Suppressed: stacks of 1 record since the last that has them\n"),
	   "what was suppressed is counted");
	r = sample_detected;
	r.event = REPORT_CONTINUES;
	ok(stall_has(&r, &plain, "[Warning] Stall continues (name: billing,"), "it continues");
	r.untold = 12;
	ok(stall_has(&r, &plain,
		     "\n  Not told: 12 stalls of this tracker before, too many at once\n"),
	   "stalls without a record are said with the next");
	r.untold = 0;
	thread.native = NULL;
	thread.same = true;
	thread.nframes = 1;
	thread.cut = 2;
	r.thread_list = &thread;
	r.nthreads = 1;
	ok(stall_has(&r, &plain,
		     " serve-17)\n"
		     "      > render (/srv/billing/report.py:42)\n"
		     "      (the stack is the same as before)\n\n"),
	   "a stack that did not move is not shown again");
	r.tasks = sample_dump.tasks;
	ok(stall_has(&r, &plain,
		     "      (the stack is the same as before)\n"
		     "  -- 30 tasks --\n"
		     "  * serve-17 (asyncio, running, in MainThread)\n"
		     "      retry-1 and 24 more (asyncio, waiting for sleep)\n"
		     "        > retry (/srv/billing/web.py:12)\n"),
	   "the tasks stand behind the threads");
}

static void locals(void)
{
	static const struct report_local local[] = { { "n", "[1, 2]" },
						     { "later", NULL },
						     { SAMPLE_HOSTILE, SAMPLE_HOSTILE } };
	static const struct sink_style with = { .locals = true };
	struct report_frame frame = sample_stuck[0];
	struct report_thread thread = sample_threads[0];
	struct report_stall r = sample_detected;

	frame.local = local;
	frame.nlocals = 3;
	frame.locals_cut = 6;
	thread.frame = &frame;
	thread.nframes = 1;
	thread.native = NULL;
	r.thread_list = &thread;
	r.nthreads = 1;
	ok(stall_has(&r, &with,
		     "      > render (/srv/billing/report.py:42)\n"
		     "            n = [1, 2]\n"
		     "            later = ?\n"
		     "            " SAMPLE_CLEANED " = " SAMPLE_CLEANED "\n"
		     "            ... 6 more local variables\n\n"),
	   "local variables stand below their frame");
	ok(stall_has(&r, &plain, "      > render (/srv/billing/report.py:42)\n\n"),
	   "and only where they are wanted");
}

static void colours(void)
{
	ok(stall_has(&sample_detected, &coloured,
		     "      \033[1;33m> render (/srv/billing/report.py:42)\033[0m\n"),
	   "the stuck frame stands out");
	ok(stall_has(&sample_detected, &coloured, "\033[1;31m[Warning] Stall detected\033[0m ("),
	   "so does the headline");
	ok(stall_has(&sample_detected, &coloured,
		     "\n      \033[2m> run (/usr/lib/python3.11/threading.py:975)\033[0m\n"),
	   "frames of libraries stand back");
	ok(stall_has(&sample_detected, &coloured, "\n        serve (/srv/billing/web.py:71)\n"),
	   "those of the program do not");
	ok(stall_has(&sample_ended, &coloured, "\033[1;32m[Warning] Stall ended\033[0m ("),
	   "the end has a colour of its own");
}

static void hostile(void)
{
	struct report_frame frame = { .name = SAMPLE_HOSTILE, .file = SAMPLE_HOSTILE, .line = -1 };
	struct report_thread thread = sample_threads[0];
	const char *const argv[] = { SAMPLE_HOSTILE "'" SAMPLE_HOSTILE };
	struct report_stall r = sample_detected;
	struct strbuf out = STRBUF_INIT;
	bool clean = true;

	thread.name = thread.state = thread.note = SAMPLE_HOSTILE;
	thread.frame = &frame;
	thread.nframes = 1;
	r.name = r.id = r.note = SAMPLE_HOSTILE;
	r.thread_list = &thread;
	r.nthreads = 1;
	r.cmdline = argv;
	r.ncmdline = 1;
	sink_text.stall(&out, &plain, &r);
	for (size_t i = 0; i < out.len; i++)
		clean = clean && (out.data[i] == '\n' || (unsigned char)out.data[i] >= 0x20) &&
			(unsigned char)out.data[i] < 0x80;
	ok(strbuf_str(&out) && clean, "no byte of a hostile name gets through unescaped");
	ok(strstr(out.data, "\n      > " SAMPLE_CLEANED " (" SAMPLE_CLEANED ":?)\n"),
	   "its frame is shown, escaped");
	ok(strstr(out.data, "  Command line: '" SAMPLE_CLEANED "'\\''" SAMPLE_CLEANED "'\n"),
	   "so is its command line");
	strbuf_free(&out);
}

/* A million frames: the innermost ones are kept, and what is not shown is counted. */
static void endless(void)
{
	enum { N = 1000000 };
	struct report_frame *frames = calloc(N, sizeof(*frames));
	struct report_thread thread = sample_threads[0];
	struct report_stall r = sample_detected;
	struct strbuf out = STRBUF_INIT;
	const char *cut;

	for (int i = 0; frames && i < N; i++)
		frames[i] = (struct report_frame){ .name = "f", .file = "g", .line = i + 1 };
	thread.frame = frames;
	thread.nframes = frames ? N : 0;
	r.thread_list = &thread;
	r.nthreads = 1;
	sink_text.stall(&out, &plain, &r);
	ok(strbuf_str(&out) && out.len < FORMAT_MAX_FRAME_BYTES, "a record has a ceiling");
	ok(strstr(out.data, "      > f (g:1)\n"), "the innermost frame is there");
	cut = strstr(out.data, "        ... ");
	ok(cut && strtol(cut + 12, NULL, 10) > N / 2, "the frames left out are counted");
	strbuf_free(&out);
	free(frames);
}

static void info_and_dump(void)
{
	static const char head[] = "[Info] Dump (pid: 1234) at " WHEN "\n"
				   "  Python: CPython 3.11.7 (static, /usr/bin/python3.11)\n"
				   "  Command line: python3 -m billing 'it'\\''s a b' ''\n"
				   "  GIL: held by worker-1 (1241)\n"
				   "  -- 3 threads --\n"
				   "    worker-1 (tid 1241, running, holds the GIL)\n"
				   "        ... 3 outer frames are not shown\n";
	static const char tasks[] = "  -- 30 tasks --\n"
				    "  * serve-17 (asyncio, running, in MainThread)\n"
				    "      retry-1 and 24 more (asyncio, waiting for sleep)\n"
				    "        > retry (/srv/billing/web.py:12)\n"
				    "    (no name) (trio, ready)\n"
				    "      (its coroutine is of an unknown kind)\n"
				    "      (incomplete: no time left for all tasks)\n"
				    "  -- 9 suspended greenlets --\n"
				    "    greenlet and 7 more (in MainThread)\n"
				    "        ... 2 outer frames are not shown\n"
				    "        <module> (/srv/billing/__main__.py:80)\n"
				    "        serve (/srv/billing/web.py:71)\n"
				    "      > render (/srv/billing/report.py:42)\n"
				    "    Hub\n"
				    "      (incomplete: too many frames)\n"
				    "      (incomplete: no time left for all greenlets)\n\n";
	struct strbuf out = STRBUF_INIT;
	struct report_info info = sample_info;

	sink_text.info(&out, &plain, &sample_info);
	info.severity = REPORT_ERROR;
	info.pid = 0;
	info.message = "x\ny";
	sink_text.info(&out, &plain, &info);
	is_str(strbuf_str(&out),
	       "[Info] Successfully monitoring pid 1234 (pid: 1234) at " WHEN "\n"
	       "[Error] x\\x0ay at " WHEN "\n",
	       "info records are one line each");
	strbuf_reset(&out);
	sink_text.dump(&out, &plain, &sample_dump);
	ok(strbuf_str(&out) && !strncmp(out.data, head, strlen(head)), "a dump says of what it is");
	ok(out.len > 2 && !strcmp(out.data + out.len - 2, "\n\n"), "a blank line ends it");
	is_str(strstr(out.data, "  -- 30 tasks --"), tasks,
	       "its tasks are shown as a tree, then greenlets");
	strbuf_reset(&out);
	sink_text.summary(&out, &plain, &sample_summary);
	is_str(strbuf_str(&out),
	       "[Info] Summary: 11 stalls at " WHEN "\n"
	       "    stalls        total        worst          p50          p99  tracker\n"
	       "        10    2512.0 ms     809.3 ms     210.2 ms     809.3 ms  billing (slot);"
	       " 3 not told because of their rate\n"
	       "         1       0.0 ms       0.0 ms       0.0 ms       0.0 ms  (others);"
	       " 1 still open; 2 more are known and allowed\n\n",
	       "a summary is a table");
	strbuf_free(&out);
}

int main(void)
{
	setenv("TZ", "UTC0", 1);
	tzset();
	plan(29);
	detected();
	others();
	locals();
	colours();
	hostile();
	endless();
	info_and_dump();
	return done();
}
