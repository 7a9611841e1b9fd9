// SPDX-License-Identifier: MIT OR Apache-2.0
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "identity.h"

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
	code = -identity__become(id);
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
	int ret = identity__find(&id, user, err);

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
