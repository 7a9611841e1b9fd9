// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "base/text.h"

static enum log_level max_level = LOG_INFO;

static const char *const prefix[] = {
	[LOG_ERROR] = "error: ",
	[LOG_WARN] = "warning: ",
	[LOG_INFO] = "",
	[LOG_DEBUG] = "debug: ",
};

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_msg(enum log_level level, const char *module, const char *fmt, ...)
{
	struct strbuf line = STRBUF_INIT;
	char text[1024];
	va_list ap;
	int saved = errno;
	int n;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text))
		n = (int)text_utf8_cut(text, sizeof(text) - 1, sizeof(text) - 2);

	strbuf_adds(&line, "perpetuo-bpf: ");
	if (max_level == LOG_DEBUG)
		strbuf_addf(&line, "%.6f %s: ", (double)clock_monotonic_ns() / 1e9, module);
	strbuf_adds(&line, prefix[level]);
	text_sanitize(&line, text, (size_t)n);
	strbuf_addc(&line, '\n');
	/* stderr itself may be gone or full: there is nobody left to tell */
	if (strbuf_str(&line))
		(void)!write(STDERR_FILENO, line.data, line.len);
	strbuf_free(&line);
	errno = saved;
}
