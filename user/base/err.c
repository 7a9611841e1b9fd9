// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

const char *err_text(const struct err *err, int code)
{
	if (err && err->text[0])
		return err->text;
	return strerror(code < 0 ? -code : code);
}
