// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/allow.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stall/report.h"

struct line {
	char *text; /* owns what the others point to */
	const char *file; /* NULL: any */
	const char *function;
};

struct allow {
	struct line *line;
	size_t cnt;
};

void allow__free(struct allow *a)
{
	for (size_t i = 0; a && i < a->cnt; i++)
		free(a->line[i].text);
	if (a)
		free(a->line);
	free(a);
}

/* Without the blanks around it. */
static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* 0, also for a line that says nothing. */
static int add_line(struct allow *a, char *text, const char *path, size_t nr, struct err *err)
{
	struct line *l = &a->line[a->cnt];
	char *colon;

	text = trim(text);
	if (!*text || *text == '#')
		return 0;
	if (a->cnt == ALLOW_MAX_LINES)
		return err_set(err, -E2BIG, "%s: more than %d functions", path, ALLOW_MAX_LINES);
	l->text = strdup(text);
	if (!l->text)
		return err_set(err, -ENOMEM, "out of memory");
	a->cnt++;
	l->function = l->text;
	colon = strrchr(l->text, ':'); /* no function has one in its name, a file may */
	if (!colon)
		return 0;
	*colon = '\0';
	l->file = l->text;
	l->function = colon + 1;
	if (*l->file && *l->function)
		return 0;
	return err_set(err, -EINVAL, "%s, line %zu: '%s' is not FUNCTION or FILE:FUNCTION", path,
		       nr, text);
}

static int load(struct allow *a, FILE *file, const char *path, struct err *err)
{
	char text[ALLOW_MAX_LINE + 2]; /* a line break and its NUL */
	int ret = 0;

	for (size_t nr = 1; !ret && fgets(text, sizeof(text), file); nr++) {
		if (!strchr(text, '\n') && !feof(file))
			return err_set(err, -EINVAL, "%s, line %zu: longer than %d bytes", path, nr,
				       ALLOW_MAX_LINE);
		ret = add_line(a, text, path, nr, err);
	}
	if (!ret && ferror(file))
		return err_set(err, -EIO, "cannot read %s: %s", path, strerror(errno));
	return ret;
}

int allow__load(const char *path, struct allow **out, struct err *err)
{
	struct allow *a = calloc(1, sizeof(*a));
	FILE *file = NULL;
	int ret;

	if (a)
		a->line = calloc(ALLOW_MAX_LINES, sizeof(*a->line));
	if (!a || !a->line) {
		ret = err_set(err, -ENOMEM, "out of memory");
		goto fail;
	}
	file = fopen(path, "re");
	if (!file) {
		ret = err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
		goto fail;
	}
	ret = load(a, file, path, err);
	fclose(file);
	if (ret)
		goto fail;
	*out = a;
	return 0;
fail:
	allow__free(a);
	return ret;
}

static bool knows_frame(const struct allow *a, const struct report_frame *f)
{
	for (size_t i = 0; i < a->cnt; i++)
		if (!fnmatch(a->line[i].function, f->name, FNM_NOESCAPE) &&
		    (!a->line[i].file || !fnmatch(a->line[i].file, f->file, FNM_NOESCAPE)))
			return true;
	return false;
}

bool allow__knows(const struct allow *a, const struct report_thread *thread, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; thread[i].responsible && k < thread[i].nframes; k++)
			if (knows_frame(a, &thread[i].frame[k]))
				return true;
	return false;
}
