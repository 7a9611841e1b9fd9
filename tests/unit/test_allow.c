// SPDX-License-Identifier: MIT OR Apache-2.0
/* The list of stalls that are known. */
#include "stall/allow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "stall/report.h"
#include "tap.h"

static char path[] = "/tmp/test_allow.XXXXXX";
static struct err err;

static int load(const char *text, struct allow **out)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		diag("cannot write %s", path);
	err.text[0] = '\0';
	return allow__load(path, out, &err);
}

/* Does a list that is TEXT know a stack of one frame? */
static bool knows(const char *text, const char *function, const char *file)
{
	const struct report_frame frame[] = { { .name = "inner", .file = "/lib/x.py" },
					      { .name = function, .file = file } };
	const struct report_thread thread[] = {
		{ .name = "idle" }, { .responsible = true, .frame = frame, .nframes = 2 }
	};
	struct allow *a = NULL;
	bool found;

	if (load(text, &a))
		diag("%s", err.text);
	found = a && allow__knows(a, thread, 2);
	allow__free(a);
	return found;
}

static void matches(void)
{
	ok(knows("render\n", "render", "/a.py"), "a function");
	ok(knows("# known\n\n  render  ", "render", "/a.py"), "comments, blanks, no line break");
	ok(!knows("render\n", "Report.render", "/a.py"), "its whole name");
	ok(knows("*.render\n", "Report.render", "/a.py"), "or a glob of it");
	ok(knows("*/a.py:render\n", "render", "/srv/a.py"), "in a file");
	ok(!knows("*/a.py:render\n", "render", "/srv/b.py"), "not in another");
	ok(!knows("*/a.py:render\n", "show", "/srv/a.py"), "nor another function of it");
	ok(knows("/c:/a.py:*\n", "<lambda>", "/c:/a.py"), "a file may have a colon in its name");
	ok(knows("x\ny\nrender\n", "render", ""), "any line");
	ok(!knows("", "render", "/a.py") && !knows("#render\n", "render", "/a.py"), "none");
}

static void not_responsible(void)
{
	const struct report_frame frame = { .name = "render", .file = "/a.py" };
	struct report_thread thread = { .frame = &frame, .nframes = 1 };
	struct allow *a = NULL;

	is_int(load("render\n", &a), 0, "a list");
	ok(!allow__knows(a, &thread, 1), "a thread that is not responsible does not count");
	thread.responsible = true;
	ok(allow__knows(a, &thread, 1), "one that is does");
	ok(!allow__knows(a, NULL, 0), "no stack is not known");
	allow__free(a);
	allow__free(NULL);
}

static void refused(void)
{
	char *text = malloc((ALLOW_MAX_LINES + 1) * 2 + 1), *end = text;
	struct allow *a = NULL;

	is_int(load("ok\nx.py:\n", &a), -EINVAL, "a file without a function");
	ok(strstr(err.text, "line 2") && strstr(err.text, "'x.py:'"), "its line is quoted");
	is_int(load(":x\n", &a), -EINVAL, "a function without a file");
	memset(text, 'x', ALLOW_MAX_LINE + 1);
	text[ALLOW_MAX_LINE] = '\0';
	is_int(load(text, &a), 0, "a long last line");
	allow__free(a);
	a = NULL;
	text[ALLOW_MAX_LINE] = 'x';
	text[ALLOW_MAX_LINE + 1] = '\0';
	is_int(load(text, &a), -EINVAL, "a line that is too long");
	for (int i = 0; i <= ALLOW_MAX_LINES; i++)
		end += sprintf(end, "x\n");
	is_int(load(text, &a), -E2BIG, "too many of them");
	free(text);
	unlink(path);
	is_int(allow__load(path, &a, &err), -ENOENT, "no file");
	ok(strstr(err.text, path) && !a, "which is named");
}

int main(void)
{
	int fd = mkstemp(path);

	plan(22);
	if (fd >= 0)
		close(fd);
	matches();
	not_responsible();
	refused();
	return done();
}
