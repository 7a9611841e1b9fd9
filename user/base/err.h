/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An error that a person can act on travels beside the negative errno: the function that knows what
 * failed, on what and why says it here; the caller decides whether it is printed.
 */
#ifndef PERPETUO_BASE_ERR_H
#define PERPETUO_BASE_ERR_H

struct err {
	char text[512]; /* "" when there is none */
};

/* Stores the text (cut if too long) and returns CODE, so that `return err_set(err, -ENOENT, ...)`
 * works. ERR may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The text if there is one, else strerror of CODE (negative errno). Never NULL. */
const char *err_text(const struct err *err, int code);

#endif
