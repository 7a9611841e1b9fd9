// SPDX-License-Identifier: MIT OR Apache-2.0
/* What of a stack is told, and in which order threads are. */
#include "sink/fold.h"

#include "sink/format.h"
#include "sink/lineup.h"
#include "tap.h"

#define LIB "/usr/lib/python3.11/"
#define SITE "/srv/venv/lib/python3.11/site-packages/"

/* The items of a thread, outermost first: F2 L3 A5 C7 (a frame by its index, others by count). */
static const char *items(const struct report_thread *t, bool all)
{
	static char text[4096];
	size_t budget = FORMAT_MAX_FRAME_BYTES, at = 0;
	struct fold_item item;
	struct fold f;

	text[0] = '\0';
	fold__init(&f, t, format_frames(t, &budget), all);
	while (fold__next(&f, &item) && at < sizeof(text) - 32)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%c%zu", at ? " " : "",
				       "FLAC"[item.kind],
				       item.kind == FOLD_FRAME ? item.first : item.cnt);
	return text;
}

static const char *libraries(const struct report_thread *t)
{
	static struct strbuf out;
	size_t budget = FORMAT_MAX_FRAME_BYTES;
	struct fold_item item;
	struct fold f;

	strbuf_reset(&out);
	fold__init(&f, t, format_frames(t, &budget), false);
	while (fold__next(&f, &item))
		if (item.kind == FOLD_LIBRARY)
			fold__add_libraries(&f, &item, &out);
	return strbuf_str(&out);
}

#define THREAD(...)                                    \
	thread((struct report_frame[]){ __VA_ARGS__ }, \
	       sizeof((struct report_frame[]){ __VA_ARGS__ }) / sizeof(struct report_frame))

static struct report_thread thread(const struct report_frame *frame, size_t n)
{
	return (struct report_thread){ .name = "x",
				       .state = "blocked",
				       .note = "",
				       .exact = true,
				       .frame = frame,
				       .nframes = n };
}

static const struct report_frame own = { .name = "f", .file = "/srv/a.py", .line = 1 };
static const struct report_frame other = { .name = "g", .file = "/srv/a.py", .line = 2 };
static const struct report_frame lib = { .name = "run",
					 .file = LIB "asyncio/base_events.py",
					 .line = 3 };
static const struct report_frame select_ = { .name = "select",
					     .file = LIB "selectors.py",
					     .line = 4 };
static const struct report_frame frozen = { .name = "run", .file = "<frozen runpy>", .line = 5 };
static const struct report_frame site = { .name = "app", .file = SITE "flask/app.py", .line = 6 };

static void folded(void)
{
	struct report_thread t = THREAD(select_, lib, lib, lib, own);

	is_str(items(&t, false), "F4 L3 F0", "libraries become one line, but the innermost frame");
	is_str(items(&t, true), "F4 F3 F2 F1 F0", "all");
	is_str(libraries(&t), "asyncio", "of which library");
	t = THREAD(own, select_, lib, frozen, frozen, other);
	is_str(libraries(&t), "runpy, asyncio, selectors", "of several, each once");
	t = THREAD(own, lib, other);
	is_str(items(&t, false), "F2 F1 F0", "one frame stays what it is");
	t = THREAD(own, site, site, other);
	is_str(items(&t, false), "F3 L2 F0", "what was installed is a library, too");
	is_str(libraries(&t), "flask", "by its name");
	t = THREAD(select_, site, site, frozen, frozen);
	is_str(items(&t, false), "L2 F2 F1 F0", "where there is nothing else it is the program");
	t = THREAD(select_, lib, frozen);
	is_str(items(&t, false), "L2 F0", "a thread of the library alone");
	t = THREAD(own);
	t.nframes = 0;
	is_str(items(&t, false), "", "no frames");
}

static void repeated(void)
{
	struct report_thread t = THREAD(own, own, own, own, own, own, other);

	is_str(items(&t, false), "F6 F5 A4 F0", "a recursion");
	is_str(items(&t, true), "F6 F5 F4 F3 F2 F1 F0", "all of it");
	t = THREAD(other, own, own, own, other);
	is_str(items(&t, false), "F4 F3 F2 F1 F0", "a short one");
}

static void cut(void)
{
	struct report_thread t = THREAD(own, other, own, other, own, other);

	t.cut = 7;
	is_str(items(&t, false), "C7 F5 F4 F3 F2 F1 F0", "cut at the outer end");
	t.outer = 2;
	is_str(items(&t, false), "F5 F4 C7 F3 F2 F1 F0", "cut in the middle");
	is_int(format_cut_at(&t, 6), 2, "behind two frames");
	is_int(format_cut_at(&t, 4), 0, "no room for the outer ones: cut there");
	t.outer = 6;
	is_str(items(&t, false), "C7 F5 F4 F3 F2 F1 F0", "more than there are");
	t = THREAD(own, lib, lib, lib, lib, own);
	t.cut = 1;
	t.outer = 3;
	is_str(items(&t, false), "F5 L2 C1 L2 F0", "libraries on both sides of it");
	t = THREAD(own, own, own, own, own, own, own, own, own, own);
	t.cut = 1;
	t.outer = 5;
	is_str(items(&t, false), "F9 A4 C1 F4 A3 F0", "a recursion on both sides of it");
}

static void order(void)
{
	struct report_thread t[] = {
		THREAD(select_, lib), THREAD(own, lib), THREAD(own, lib), THREAD(select_, lib),
		THREAD(other),	      THREAD(own, lib), THREAD(own),
	};
	struct report_dump r = { .thread_list = t, .nthreads = 7 };
	struct lineup_place p[7];

	for (int i = 0; i < 7; i++)
		t[i].tid = 10 + i;
	t[4].holds_gil = true;
	t[5].waits_gil = true;
	t[6].state = "running";
	lineup__make(&r, true, p);
	ok(p[0].thread == &t[4] && p[1].thread == &t[6] && p[2].thread == &t[5],
	   "the holder of the GIL, who runs, who waits for it");
	ok(p[3].thread == &t[1] && p[4].thread == &t[2] && p[5].thread == &t[0],
	   "then those with frames of the program");
	ok(!p[3].merged && p[4].merged && !p[5].merged && p[6].merged,
	   "the same place is told once");
	t[2].call = "read";
	lineup__make(&r, true, p);
	ok(!p[4].merged, "in another system call: another place");
	lineup__make(&r, false, p);
	ok(!p[6].merged, "nothing is merged where all is wanted");
	r.nthreads = 0;
	lineup__make(&r, true, p);
	ok(true, "no threads");
}

int main(void)
{
	plan(10 + 3 + 7 + 6);
	folded();
	repeated();
	cut();
	order();
	return done();
}
