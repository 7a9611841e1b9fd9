// SPDX-License-Identifier: MIT OR Apache-2.0
#include "command.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who the command runs as; uid (uid_t)-1: as we are. Copied, since passwd entries are static. */
struct identity {
	uid_t uid;
	gid_t gid;
	char name[256];
	char home[4096];
};

static void fill(struct identity *id, const struct passwd *pw)
{
	id->uid = pw->pw_uid;
	id->gid = pw->pw_gid;
	snprintf(id->name, sizeof(id->name), "%s", pw->pw_name);
	snprintf(id->home, sizeof(id->home), "%s", pw->pw_dir);
}

static int find_identity(struct identity *id, const char *user, struct err *err)
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

static int become(const struct identity *id)
{
	if (id->uid == (uid_t)-1 || (id->uid == geteuid() && id->uid == getuid()))
		return 0;
	if (initgroups(id->name, id->gid) || setgid(id->gid) || setuid(id->uid))
		return -errno;
	if (setenv("HOME", id->home, 1) || setenv("USER", id->name, 1) ||
	    setenv("LOGNAME", id->name, 1))
		return -errno;
	return 0;
}

/* In the child. The errno of a failure goes through STATUS_FD, which a successful exec closes. */
static void __attribute__((noreturn))
child(char *const argv[], const struct identity *id, int gate_fd, int status_fd)
{
	sigset_t none;
	int code;
	char c;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (read(gate_fd, &c, 1) != 1)
		_exit(COMMAND_EXIT_OURS);
	code = -become(id);
	if (!code) {
		execvp(argv[0], argv);
		code = errno;
	}
	if (write(status_fd, &code, sizeof(code)) < 0)
		_exit(COMMAND_EXIT_OURS);
	_exit(code == ENOENT ? COMMAND_EXIT_NOT_FOUND : COMMAND_EXIT_CANNOT);
}

int command__start(struct command *cmd, char *const argv[], const char *user, struct err *err)
{
	int gate[2] = { -1, -1 }, status[2] = { -1, -1 };
	struct identity id;
	int ret = find_identity(&id, user, err);

	if (ret)
		return ret;
	if (pipe2(gate, O_CLOEXEC) || pipe2(status, O_CLOEXEC)) {
		ret = err_set(err, -errno, "pipe: %s", strerror(errno));
		goto fail;
	}
	cmd->pid = fork();
	if (cmd->pid < 0) {
		ret = err_set(err, -errno, "fork: %s", strerror(errno));
		goto fail;
	}
	if (!cmd->pid) {
		close(gate[1]); /* or our own death would leave it waiting */
		child(argv, &id, gate[0], status[1]);
	}
	close(gate[0]);
	close(status[1]);
	cmd->gate_fd = gate[1];
	cmd->status_fd = status[0];
	return 0;
fail:
	for (int i = 0; i < 2; i++) {
		if (gate[i] >= 0)
			close(gate[i]);
		if (status[i] >= 0)
			close(status[i]);
	}
	return ret;
}

int command__execute(struct command *cmd, const char *name, struct err *err)
{
	int code = 0;
	ssize_t n;

	if (write(cmd->gate_fd, "", 1) != 1)
		return err_set(err, COMMAND_EXIT_OURS, "cannot start %s: %s", name,
			       strerror(errno));
	close(cmd->gate_fd);
	do {
		n = read(cmd->status_fd, &code, sizeof(code));
	} while (n < 0 && errno == EINTR);
	close(cmd->status_fd);
	if (n != sizeof(code))
		return 0;
	err_set(err, -code, "cannot execute %s: %s", name, strerror(code));
	return code == ENOENT ? COMMAND_EXIT_NOT_FOUND : COMMAND_EXIT_CANNOT;
}

int command__wait(struct command *cmd)
{
	int status;

	while (waitpid(cmd->pid, &status, 0) < 0)
		if (errno != EINTR)
			return COMMAND_EXIT_OURS;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
