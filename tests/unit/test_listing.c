// SPDX-License-Identifier: MIT OR Apache-2.0
/* Source lines of a process that is there, and of one whose number another process has. */
#include "listing.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define TIMEOUT_NS 5000000000ULL /* a machine that is busy; it takes some ms */

/* A process that sleeps, and its pidfd. */
static pid_t sleeper(int *pidfd)
{
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	char path[] = "/tmp/test_listing.XXXXXX";
	struct listing_line line[2] = { { path, 2, NULL }, { path, 9, NULL } };
	int fd = mkstemp(path), pidfd, other_fd;
	pid_t pid, other;

	plan(3);
	if (dprintf(fd, "first\n\tsecond \x1b[2J\n") < 0)
		return 1;
	close(fd);
	pid = sleeper(&pidfd);
	other = sleeper(&other_fd);
	end(other);
	listing__read(pid, pidfd, line, 2, TIMEOUT_NS);
	is_str(line[0].text ? line[0].text : "", "second \\x1b[2J", "a line, sanitised");
	ok(!line[1].text, "one that the file does not have");
	listing__free(line, 2);
	line[0].text = line[1].text = NULL;
	listing__read(pid, other_fd, line, 2, TIMEOUT_NS);
	ok(!line[0].text, "nothing where the number belongs to another process by now");
	listing__free(line, 2);
	end(pid);
	unlink(path);
	return done();
}
