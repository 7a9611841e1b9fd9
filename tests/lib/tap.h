/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * TAP for unit tests. A test is one source file and one program:
 *
 *	int main(void)
 *	{
 *		plan(2);
 *		ok(buf.len == 3, "length after append");
 *		is_int(parse("x"), -EINVAL, "letters are refused");
 *		return done();
 *	}
 *
 * Every check prints one result and says whether it held, so that what cannot go on can return.
 * The plan stands first: a program that dies half way then has missing results, and the runner
 * counts each of them as failed.
 */
#ifndef TESTS_LIB_TAP_H
#define TESTS_LIB_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAP_EXIT_SKIP 4

static struct {
	int planned;
	int run;
	int failed;
} tap;

/* Once, first. */
static inline void plan(int n)
{
	/* A crash must not take results with it that were printed before. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	tap.planned = n;
	printf("1..%d\n", n);
}

/* Instead of plan(): nothing of this file can run here. Does not return. */
__attribute__((format(printf, 1, 2), noreturn)) static inline void skip_all(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("1..0 # SKIP ");
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	exit(TAP_EXIT_SKIP);
}

__attribute__((format(printf, 1, 2))) static inline void diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
}

__attribute__((format(printf, 4, 0))) static inline bool
tap_result(bool held, const char *file, int line, const char *fmt, va_list ap)
{
	printf("%sok %d - ", held ? "" : "not ", ++tap.run);
	vprintf(fmt, ap);
	putchar('\n');
	if (!held) {
		tap.failed++;
		diag("failed at %s:%d", file, line);
	}
	return held;
}

__attribute__((format(printf, 4, 5))) static inline bool tap_ok(bool held, const char *file,
								int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_result(held, file, line, fmt, ap);
	va_end(ap);
	return held;
}

__attribute__((format(printf, 5, 6))) static inline bool
tap_is_int(int64_t got, int64_t want, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_result(got == want, file, line, fmt, ap);
	va_end(ap);
	if (got != want)
		diag("got %" PRId64 " (%#" PRIx64 "), want %" PRId64 " (%#" PRIx64 ")", got,
		     (uint64_t)got, want, (uint64_t)want);
	return got == want;
}

__attribute__((format(printf, 5, 6))) static inline bool
tap_is_str(const char *got, const char *want, const char *file, int line, const char *fmt, ...)
{
	bool held = got && want ? !strcmp(got, want) : got == want;
	va_list ap;

	va_start(ap, fmt);
	tap_result(held, file, line, fmt, ap);
	va_end(ap);
	if (!held)
		diag("got \"%s\", want \"%s\"", got ? got : "(null)", want ? want : "(null)");
	return held;
}

#define ok(cond, ...) tap_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
/* Any integer type; unsigned ones are compared by their 64 bits. */
#define is_int(got, want, ...) \
	tap_is_int((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, __VA_ARGS__)
/* NULL equals NULL only. */
#define is_str(got, want, ...) tap_is_str(got, want, __FILE__, __LINE__, __VA_ARGS__)

/* The next n planned results cannot be had here. */
__attribute__((format(printf, 2, 3))) static inline void skip(int n, const char *fmt, ...)
{
	va_list ap;

	while (n-- > 0) {
		va_start(ap, fmt);
		printf("ok %d # SKIP ", ++tap.run);
		vprintf(fmt, ap);
		putchar('\n');
		va_end(ap);
	}
}

/* The status for main() to return: 0 only when all that was planned ran and held. */
static inline int done(void)
{
	if (tap.run != tap.planned)
		diag("%d results planned, %d came", tap.planned, tap.run);
	return tap.failed || tap.run != tap.planned;
}

#endif
