// SPDX-License-Identifier: MIT OR Apache-2.0
#include "sink/page.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "sink/fold.h"
#include "sink/format.h"

static const char *const paint_code[] = {
	[PAINT_ALARM] = "\033[1;31m", [PAINT_GOOD] = "\033[1;32m", [PAINT_STUCK] = "\033[1;33m",
	[PAINT_TITLE] = "\033[1m",    [PAINT_FAINT] = "\033[2m",
};

#define MAX_SHOWN 6 /* of the innermost frames below Python's */

#define PAINT_END "\033[0m"

void page__paint(struct page *p, enum paint paint)
{
	if (p->style->colour)
		strbuf_adds(p->out, paint_code[paint]);
}

void page__unpaint(struct page *p)
{
	if (p->style->colour)
		strbuf_adds(p->out, PAINT_END);
}

void page__text(struct page *p, const char *text)
{
	text_sanitize(p->out, text, strlen(text));
}

void page__time(struct page *p, uint64_t wall_ns)
{
	char text[CLOCK_RFC3339_LEN];

	clock_rfc3339(wall_ns, text);
	strbuf_adds(p->out, text);
}

void page__note(struct page *p, const char *title, const char *text)
{
	if (!*text)
		return;
	strbuf_addf(p->out, "  %s: ", title);
	page__text(p, text);
	strbuf_addc(p->out, '\n');
}

/* As a shell would take it, so that it can be copied. */
static void add_argument(struct page *p, const char *arg)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_./=:,+@%";

	if (*arg && !arg[strspn(arg, plain)]) {
		strbuf_adds(p->out, arg);
		return;
	}
	strbuf_addc(p->out, '\'');
	for (const char *quote; (quote = strchr(arg, '\'')); arg = quote + 1) {
		text_sanitize(p->out, arg, (size_t)(quote - arg));
		strbuf_adds(p->out, "'\\''");
	}
	page__text(p, arg);
	strbuf_addc(p->out, '\'');
}

void page__cmdline(struct page *p, const char *const *cmdline, size_t n)
{
	if (!n)
		return;
	strbuf_adds(p->out, "  Command line:");
	for (size_t i = 0; i < n; i++) {
		strbuf_addc(p->out, ' ');
		add_argument(p, cmdline[i]);
	}
	strbuf_addc(p->out, '\n');
}

void page__frame(struct page *p, const struct report_frame *f, bool innermost, bool stuck)
{
	bool painted = stuck || file_in_library(f->file);

	strbuf_adds(p->out, innermost ? "      " : "        ");
	if (painted)
		page__paint(p, stuck ? PAINT_STUCK : PAINT_FAINT);
	if (innermost)
		strbuf_adds(p->out, "> ");
	page__text(p, f->name);
	strbuf_adds(p->out, " (");
	page__text(p, f->file);
	if (f->line > 0)
		strbuf_addf(p->out, ":%d)", f->line);
	else
		strbuf_adds(p->out, ":?)");
	if (painted)
		page__unpaint(p);
	strbuf_addc(p->out, '\n');
}

/* name = repr, as perpetuo has them; a value that is not there is "?" */
static void add_locals(struct page *p, const struct report_frame *f)
{
	if (!p->style->locals)
		return;
	for (size_t i = 0; i < f->nlocals; i++) {
		strbuf_adds(p->out, "            ");
		page__text(p, f->local[i].name);
		strbuf_adds(p->out, " = ");
		page__text(p, f->local[i].value ? f->local[i].value : "?");
		strbuf_addc(p->out, '\n');
	}
	if (f->locals_cut)
		strbuf_addf(p->out, "            ... %zu more local variables\n", f->locals_cut);
}

/* "        ... 5 frames of asyncio, selectors": what stands for frames that are not told */
static void add_folded(struct page *p, const struct fold *f, const struct fold_item *item)
{
	const char *s = item->cnt == 1 ? "" : "s";

	strbuf_adds(p->out, "        ");
	page__paint(p, PAINT_FAINT);
	switch (item->kind) {
	case FOLD_LIBRARY:
		strbuf_addf(p->out, "... %zu frame%s of ", item->cnt, s);
		fold__add_libraries(f, item, p->out);
		break;
	case FOLD_AGAIN:
		strbuf_addf(p->out, "... the same frame %zu more time%s", item->cnt, s);
		break;
	case FOLD_CUT:
		strbuf_addf(p->out, "... %zu %sframe%s not shown", item->cnt,
			    f->left == f->shown ? "outer " : "", item->cnt == 1 ? " is" : "s are");
		break;
	case FOLD_FRAME:
		break;
	}
	page__unpaint(p);
	strbuf_addc(p->out, '\n');
}

static void add_source(struct page *p, const struct report_frame *f)
{
	if (!f->source || !*f->source)
		return;
	strbuf_adds(p->out, "            ");
	page__text(p, f->source);
	strbuf_addc(p->out, '\n');
}

static void add_frames(struct page *p, const struct report_thread *t, bool emphasis)
{
	struct fold_item item;
	struct fold fold;

	fold__init(&fold, t, format_frames(t, &p->budget), p->style->full);
	if (t->same)
		fold.cut = 0;
	while (fold__next(&fold, &item)) {
		if (item.kind != FOLD_FRAME) {
			add_folded(p, &fold, &item);
			continue;
		}
		page__frame(p, &t->frame[item.first], !item.first, !item.first && emphasis);
		add_source(p, &t->frame[item.first]);
		add_locals(p, &t->frame[item.first]);
	}
}

/* Of functions of one library that follow each other and have no names the innermost will do. */
static bool says_something(const struct page *p, const struct report_thread *t, size_t i)
{
	const struct report_native *f = &t->native[i];

	return p->style->full || !i || *f->function || !*f->library || *f[-1].function ||
	       strcmp(f->library, f[-1].library);
}

/* "      native: ... > python3.11 os_read+0xbf > libc.so.6 read+0xd": inwards, as the frames are */
static void add_native(struct page *p, const struct report_thread *t)
{
	const char *library = "";
	size_t shown, n = 0;

	if (!t->nnative)
		return;
	for (shown = 0; shown < t->nnative && (n < MAX_SHOWN || p->style->full); shown++)
		n += says_something(p, t, shown);
	strbuf_adds(p->out, "      native: ");
	if (shown < t->nnative)
		strbuf_adds(p->out, "... > ");
	for (size_t i = shown; i-- > 0;) {
		const struct report_native *f = &t->native[i];

		if (!says_something(p, t, i))
			continue;
		if (*f->library && strcmp(f->library, library)) {
			page__text(p, f->library);
			strbuf_addc(p->out, ' ');
		}
		library = f->library;
		page__text(p, f->function);
		if (*f->library)
			strbuf_addf(p->out, "+0x%" PRIx64, f->offset);
		else
			strbuf_addf(p->out, "0x%" PRIx64, f->addr);
		strbuf_adds(p->out, i ? " > " : "");
	}
	if (t->native_note && *t->native_note) {
		strbuf_adds(p->out, " (");
		page__text(p, t->native_note);
		strbuf_addc(p->out, ')');
	}
	strbuf_addc(p->out, '\n');
}

/* "      kernel: ksys_read+0xba > vfs_read+0x32c > anon_pipe_read+0x366" */
static void add_kernel(struct page *p, const struct report_thread *t)
{
	size_t shown = t->nkernel < MAX_SHOWN || p->style->full ? t->nkernel : MAX_SHOWN;

	if (!t->nkernel)
		return;
	strbuf_adds(p->out, "      kernel: ");
	if (shown < t->nkernel)
		strbuf_adds(p->out, "... > ");
	for (size_t i = shown; i-- > 0;) {
		const struct report_kernel *f = &t->kernel[i];

		page__text(p, f->function);
		if (f->offset)
			strbuf_addf(p->out, "+0x%" PRIx64, f->offset);
		if (*f->module) {
			strbuf_adds(p->out, " (");
			page__text(p, f->module);
			strbuf_addc(p->out, ')');
		}
		strbuf_adds(p->out, i ? " > " : "");
	}
	strbuf_addc(p->out, '\n');
}

static void add_position(struct page *p, const struct report_thread *t)
{
	if (!t->native)
		return;
	add_native(p, t);
	add_kernel(p, t);
}

void page__thread(struct page *p, const struct report_thread *t, bool emphasis)
{
	strbuf_adds(p->out, "    ");
	if (emphasis)
		page__paint(p, PAINT_TITLE);
	page__text(p, *t->name ? t->name : "(no name)");
	if (emphasis)
		page__unpaint(p);
	strbuf_adds(p->out, " (");
	if (t->tid)
		strbuf_addf(p->out, "tid %d, ", t->tid);
	page__text(p, t->doing && *t->doing ? t->doing : t->state);
	if (t->task && *t->task) {
		strbuf_adds(p->out, ", runs task ");
		page__text(p, t->task);
	}
	strbuf_adds(p->out, t->holds_gil && !t->waits_gil ? ", holds the GIL)\n" : ")\n");

	add_frames(p, t, emphasis);
	add_position(p, t);
	if (t->same)
		strbuf_adds(p->out, "      (the stack is the same as before)\n");
	if (!t->nframes && !*t->note)
		strbuf_adds(p->out, "      (no Python frames)\n");
	if (*t->note || (t->nframes && !t->exact)) {
		strbuf_adds(p->out, "      (");
		page__text(p, *t->note ? t->note : "may have moved while it was read");
		strbuf_adds(p->out, ")\n");
	}
}

void page__title(struct page *p, enum paint paint, const char *title)
{
	strbuf_adds(p->out, "  ");
	page__paint(p, paint);
	strbuf_addf(p->out, "-- %s --", title);
	page__unpaint(p);
	strbuf_addc(p->out, '\n');
}

void page__headline(struct page *p, enum paint paint, const char *severity, const char *message)
{
	page__paint(p, paint);
	strbuf_addf(p->out, "[%s] ", severity);
	page__text(p, message);
	page__unpaint(p);
}
