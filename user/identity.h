/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whose rights a program has that is started by perpetuo-bpf: never root's because of sudo. */
#ifndef PERPETUO_IDENTITY_H
#define PERPETUO_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Copied, since passwd entries are static. */
struct identity {
	uid_t uid; /* (uid_t)-1: as we are */
	gid_t gid;
	char name[256];
	char home[4096];
};

/*
 * USER; if that is NULL and root was reached by sudo, the user who called sudo; else who we are.
 * 0, or -EINVAL with ERR: there is no such user.
 */
int identity__find(struct identity *id, const char *user, struct err *err);

/* Is it another than ours, so that becoming it takes CAP_SETUID and CAP_SETGID? */
bool identity__differs(const struct identity *id);

/* In a child, before it executes. 0 or negative errno. */
int identity__become(const struct identity *id);

#endif
