// SPDX-License-Identifier: MIT OR Apache-2.0
#include "sink/fold.h"

#include <string.h>

#include "base/text.h"

#define MIN_LIBRARY 2 /* one frame takes no more room than a line that stands for it */
#define MIN_AGAIN 3
#define MAX_LIBRARIES 4 /* names in one line */

static bool in_packages(const char *file)
{
	return strstr(file, "-packages/");
}

bool file_in_library(const char *file)
{
	return strstr(file, "/lib/python3") || in_packages(file) || !strncmp(file, "<frozen ", 8);
}

void fold__init(struct fold *f, const struct report_thread *t, size_t shown, bool all)
{
	size_t inner = t->outer < t->nframes ? t->nframes - t->outer : t->nframes;

	*f = (struct fold){ .thread = t, .all = all, .shown = shown, .left = shown };
	f->cut = t->cut + (t->nframes - shown);
	/* those that found no room in the record are the outermost ones: one hole is enough */
	f->hole = shown == t->nframes ? inner : shown;
	f->packages_count = true;
	for (size_t i = 0; i < shown; i++)
		f->packages_count &= file_in_library(t->frame[i].file);
}

static bool is_library(const struct fold *f, size_t i)
{
	const char *file = f->thread->frame[i].file;

	return file_in_library(file) && !(f->packages_count && in_packages(file));
}

static bool same(const struct fold *f, size_t a, size_t b)
{
	const struct report_frame *x = &f->thread->frame[a], *y = &f->thread->frame[b];

	return x->line == y->line && !strcmp(x->name, y->name) && !strcmp(x->file, y->file);
}

/* The run that begins with the next frame may go as far as this one. */
static size_t last_of_run(const struct fold *f)
{
	/* the innermost frame stands for itself */
	return f->hole && f->hole < f->left ? f->hole : 1;
}

/* Frames from the next one on that are of libraries. */
static size_t library_run(const struct fold *f)
{
	size_t i = f->left;

	while (i > last_of_run(f) && is_library(f, i - 1))
		i--;
	return f->left - i;
}

/* Frames from the next one on that are the same as the one before them. */
static size_t again_run(const struct fold *f)
{
	size_t i = f->left;

	if (i == f->shown || i == f->hole)
		return 0;
	while (i > last_of_run(f) && same(f, f->left, i - 1))
		i--;
	return f->left - i;
}

bool fold__next(struct fold *f, struct fold_item *out)
{
	size_t n;

	if (f->cut && f->left == f->hole) {
		*out = (struct fold_item){ FOLD_CUT, 0, f->cut };
		f->cut = 0;
		return true;
	}
	if (!f->left)
		return false;
	*out = (struct fold_item){ FOLD_FRAME, f->left - 1, 1 };
	if (!f->all) {
		n = library_run(f);
		if (n >= MIN_LIBRARY)
			*out = (struct fold_item){ FOLD_LIBRARY, f->left - 1, n };
		n = again_run(f);
		if (n >= MIN_AGAIN)
			*out = (struct fold_item){ FOLD_AGAIN, f->left - 1, n };
	}
	f->left -= out->cnt;
	return true;
}

/* "/usr/lib/python3.11/asyncio/events.py": asyncio; "<frozen runpy>": runpy */
static size_t library_name(const char *file, const char **name)
{
	const char *at = NULL;

	for (const char *p = file; (p = strstr(p, "-packages/")); at = p)
		p += strlen("-packages/");
	for (const char *p = file; !at && (p = strstr(p, "/lib/python3"));) {
		p += strlen("/lib/python3");
		p += strcspn(p, "/");
		if (*p)
			at = p + 1;
	}
	if (!at && !strncmp(file, "<frozen ", 8))
		at = file + 8;
	*name = at ? at : file;
	return strcspn(*name, "/.>");
}

void fold__add_libraries(const struct fold *f, const struct fold_item *item, struct strbuf *out)
{
	const char *name[MAX_LIBRARIES], *one;
	size_t len[MAX_LIBRARIES], n, cnt = 0, k;

	for (size_t i = 0; i < item->cnt; i++) {
		n = library_name(f->thread->frame[item->first - i].file, &one);
		for (k = 0; k < cnt && (len[k] != n || memcmp(name[k], one, n)); k++)
			;
		if (k < cnt)
			continue;
		if (cnt == MAX_LIBRARIES) {
			strbuf_adds(out, " and others");
			return;
		}
		name[cnt] = one;
		len[cnt] = n;
		if (cnt++)
			strbuf_adds(out, ", ");
		text_sanitize(out, one, n);
	}
}
