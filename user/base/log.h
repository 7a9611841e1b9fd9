/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Diagnostics, for the person who started the tool: one line each, to stderr. Never reports. */
#ifndef PERPETUO_BASE_LOG_H
#define PERPETUO_BASE_LOG_H

enum log_level {
	LOG_ERROR, /* the tool cannot do what it was asked to do */
	LOG_WARN, /* it goes on, with less */
	LOG_INFO, /* what a user wants to know once: the default level */
	LOG_DEBUG, /* --verbose */
};

void log_set_level(enum log_level level);

/*
 * Writes "perpetuo-bpf: [warning: ]TEXT" (with --verbose also MODULE and the time) in one write.
 * Control characters in the text are escaped: it may quote what a target says.
 */
void log_msg(enum log_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
