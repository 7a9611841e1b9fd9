// SPDX-License-Identifier: MIT OR Apache-2.0
/* Which stacks of a stall are shown again. */
#include "stall/trail.h"

#include "stall/report.h"
#include "tap.h"

static const struct report_frame deep[] = {
	{ .name = "inner", .file = "a.py", .line = 3 },
	{ .name = "outer", .file = "a.py", .line = 30 },
};

static struct report_thread thread(uint64_t ident, const struct report_frame *frame)
{
	return (struct report_thread){ .ident = ident, .tid = 7, .frame = frame, .nframes = 2 };
}

static void one_thread(void)
{
	struct report_frame moved[2] = { deep[0], deep[1] };
	struct trail trail = { 0 };
	struct report_thread t = thread(1, deep);

	trail__follow(&trail, &t, 1);
	ok(!t.same && t.nframes == 2 && !t.cut, "the first time it is shown");
	trail__follow(&trail, &t, 1);
	ok(t.same && t.nframes == 1 && t.cut == 1, "then only its innermost frame is");
	moved[1].line = 31;
	t = thread(1, moved);
	trail__follow(&trail, &t, 1);
	ok(!t.same && t.nframes == 2, "another line is another stack");
	t = thread(1, moved);
	trail__follow(&trail, &t, 1);
	ok(t.same, "which is the one to compare with now");
	t = thread(2, moved);
	trail__follow(&trail, &t, 1);
	ok(!t.same, "another thread is not the same, with any stack");
	trail__clear(&trail);
	t = thread(2, moved);
	trail__follow(&trail, &t, 1);
	ok(!t.same, "what was forgotten is shown again");
	trail__clear(&trail);
}

static void several(void)
{
	enum { N = TRAIL_MAX_THREADS + 1 };
	struct report_thread t[N], swapped[2] = { thread(2, deep), thread(1, deep) }, none = { 0 };
	struct trail trail = { 0 };

	for (int i = 0; i < N; i++)
		t[i] = thread((uint64_t)i, deep);
	trail__follow(&trail, t, N);
	for (int i = 0; i < N; i++)
		t[i] = thread((uint64_t)i, deep);
	trail__follow(&trail, t, N);
	ok(t[0].same && t[N - 2].same, "all threads are remembered");
	ok(!t[N - 1].same && t[N - 1].nframes == 2, "up to a number, beyond which they are shown");
	trail__follow(&trail, swapped, 2);
	ok(swapped[0].same && swapped[1].same, "whatever their order");
	trail__follow(&trail, &none, 1);
	trail__follow(&trail, &none, 1);
	ok(!none.same, "no stack is not the same as no stack");
	trail__follow(&trail, NULL, 0);
	is_int(trail.cnt, 0, "no threads, no trail");
	trail__clear(&trail);
}

int main(void)
{
	plan(11);
	one_thread();
	several();
	return done();
}
