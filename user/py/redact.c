// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/redact.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>

/*
 * "token" but not "tokenizer"; "auth", "key" and the like only as a word of its own ("author",
 * "monkey" and "keyboard" are shown). Keys of dicts have other separators ("X-Api-Key").
 */
#define WORD(w) "(^|[^a-z])(" w ")s?($|[^a-z])"
#define SECRETS                                                                                   \
	"passw|passphrase|secret|token([^i]|$)|api[^a-z]?key|private[^a-z]?key|access[^a-z]?key|" \
	"credential|cookie|authori[sz]ation|oauth|session[^a-z]?id|" WORD(                        \
		"auth|key|pwd|pw|pin|jwt|csrf|creds?|bearer|dsn")

struct redact {
	regex_t regex[REDACT_MAX_PATTERNS + 1];
	size_t n;
};

static int add(struct redact *r, const char *pattern, struct err *err)
{
	char text[128];
	int code = regcomp(&r->regex[r->n], pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB);

	if (!code) {
		r->n++;
		return 0;
	}
	if (code == REG_ESPACE)
		return err_set(err, -ENOMEM, "no memory for the pattern '%s'", pattern);
	regerror(code, &r->regex[r->n], text, sizeof(text));
	return err_set(err, -EINVAL, "'%s' is no regular expression: %s", pattern, text);
}

int redact__new(const char *const *patterns, size_t n, bool show_secrets, struct redact **out,
		struct err *err)
{
	struct redact *r = calloc(1, sizeof(*r));
	int ret = 0;

	*out = NULL;
	if (!r)
		return err_set(err, -ENOMEM, "no memory for patterns");
	if (n > REDACT_MAX_PATTERNS)
		ret = err_set(err, -EINVAL, "more than %d patterns", REDACT_MAX_PATTERNS);
	if (!ret && !show_secrets)
		ret = add(r, SECRETS, err);
	for (size_t i = 0; !ret && i < n; i++)
		ret = add(r, patterns[i], err);
	if (ret) {
		redact__free(r);
		return ret;
	}
	*out = r;
	return 0;
}

void redact__free(struct redact *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		regfree(&r->regex[i]);
	free(r);
}

bool redact__hides(const struct redact *r, const char *name)
{
	/* also when memory is short: what cannot be judged is hidden */
	for (size_t i = 0; i < r->n; i++)
		if (regexec(&r->regex[i], name, 0, NULL, 0) != REG_NOMATCH)
			return true;
	return false;
}
