// SPDX-License-Identifier: MIT OR Apache-2.0
/* Which names are hidden. */
#include "py/redact.h"

#include <errno.h>

#include "tap.h"

static void secrets(void)
{
	static const char *const hidden[] = {
		"password",	 "PASSWORD",	"db_passwd",   "passphrase",	"secret",
		"client_secret", "token",	"csrf_token",  "tokens",	"api_key",
		"apikey",	 "apiKey",	"X-Api-Key",   "private_key",	"PrivateKey",
		"access_key_id", "credential",	"credentials", "cookie",	"Set-Cookie",
		"auth",		 "auth_header", "basic_auth",  "Authorization", "oauth2",
		"key",		 "keys",	"signing_key", "pwd",		"jwt",
		"session_id",	 "sessionid",	"pin",	       "_key2",		"db_creds",
	};
	static const char *const shown[] = {
		"",	     "self",	 "author", "authors",  "monkey",  "keyboard", "keyword",
		"tokenizer", "tokenize", "pinned", "spinning", "passed",  "compass",  "session",
		"path",	     "Ämter",	 "user",   "sequence", "request",
	};
	struct redact *r;
	size_t held = 0;

	is_int(redact__new(NULL, 0, false, &r, NULL), 0, "no patterns");
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		if (redact__hides(r, hidden[i]))
			held++;
		else
			diag("shown: %s", hidden[i]);
	}
	is_int(held, sizeof(hidden) / sizeof(hidden[0]), "what looks like a secret is hidden");
	held = 0;
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		if (!redact__hides(r, shown[i]))
			held++;
		else
			diag("hidden: %s", shown[i]);
	}
	is_int(held, sizeof(shown) / sizeof(shown[0]), "what only contains such letters is shown");
	redact__free(r);
}

static void patterns(void)
{
	static const char *const two[] = { "^iban$", "card|имя" };
	struct redact *r;

	is_int(redact__new(two, 2, true, &r, NULL), 0, "patterns");
	ok(redact__hides(r, "IBAN") && !redact__hides(r, "iban2"), "are taken whole, in any case");
	ok(redact__hides(r, "credit_card") && redact__hides(r, "имя"), "and found anywhere");
	ok(!redact__hides(r, "password"), "secrets are shown when that is wanted");
	redact__free(r);
	is_int(redact__new(two, 1, false, &r, NULL), 0, "patterns and secrets");
	ok(redact__hides(r, "password") && redact__hides(r, "iban"), "both are hidden");
	redact__free(r);
}

static void mistakes(void)
{
	static const char *const bad[] = { "good", "(" };
	const char *many[REDACT_MAX_PATTERNS + 1];
	struct err err = { { 0 } };
	struct redact *r;

	is_int(redact__new(bad, 2, false, &r, &err), -EINVAL, "no regular expression");
	ok(strstr(err.text, "'('") && !r, "is quoted: %s", err.text);
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		many[i] = "x";
	is_int(redact__new(many, REDACT_MAX_PATTERNS, false, &r, &err), 0, "as many as allowed");
	redact__free(r);
	is_int(redact__new(many, REDACT_MAX_PATTERNS + 1, true, &r, &err), -EINVAL, "and one more");
	redact__free(NULL);
}

int main(void)
{
	plan(13);
	secrets();
	patterns();
	mistakes();
	return done();
}
