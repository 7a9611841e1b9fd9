// SPDX-License-Identifier: MIT OR Apache-2.0
#include "identity.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void fill(struct identity *id, const struct passwd *pw)
{
	id->uid = pw->pw_uid;
	id->gid = pw->pw_gid;
	snprintf(id->name, sizeof(id->name), "%s", pw->pw_name);
	snprintf(id->home, sizeof(id->home), "%s", pw->pw_dir);
}

int identity__find(struct identity *id, const char *user, struct err *err)
{
	const char *sudo_uid = getenv("SUDO_UID");
	const struct passwd *pw;
	unsigned long uid;
	char *end;

	id->uid = (uid_t)-1;
	if (user) {
		pw = getpwnam(user);
		if (!pw)
			return err_set(err, -EINVAL, "--user: there is no user '%s'", user);
		fill(id, pw);
		return 0;
	}
	if (geteuid() || !sudo_uid || !*sudo_uid)
		return 0;
	uid = strtoul(sudo_uid, &end, 10);
	/* in doubt not as root: strtoul() takes signs and blanks, and stops at the first letter */
	pw = isdigit((unsigned char)*sudo_uid) && !*end && uid < (uid_t)-1 ? getpwuid((uid_t)uid)
									   : NULL;
	if (!pw)
		return err_set(err, -EINVAL,
			       "SUDO_UID is '%s', but there is no such user: say --user USER",
			       sudo_uid);
	fill(id, pw);
	return 0;
}

bool identity__differs(const struct identity *id)
{
	return id->uid != (uid_t)-1 && (id->uid != geteuid() || id->uid != getuid());
}

int identity__become(const struct identity *id)
{
	if (!identity__differs(id))
		return 0;
	if (initgroups(id->name, id->gid) || setgid(id->gid) || setuid(id->uid))
		return -errno;
	if (setenv("HOME", id->home, 1) || setenv("USER", id->name, 1) ||
	    setenv("LOGNAME", id->name, 1))
		return -errno;
	return 0;
}
