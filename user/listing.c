// SPDX-License-Identifier: MIT OR Apache-2.0
#include "listing.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "proc/process.h"
#include "proc/task.h"

#define MAX_FILE (4u << 20) /* bytes of a file that are read */
#define MAX_TEXT 200 /* bytes of a line that are shown */
#define TICK_NS (20 * NSEC_PER_MSEC) /* a start is known to a clock tick: procfile's stat */
#define REAPS 20 /* looks after a child that was killed, a millisecond apart */

/* What the child sends for each line that it has read. */
struct answer {
	uint32_t index;
	uint32_t len;
	char text[MAX_TEXT];
};

/* ---- the child ------------------------------------------------------------------------------- */

struct reader {
	int root, cwd; /* O_PATH */
	int out;
	uint64_t start_ns; /* CLOCK_REALTIME of the process's start */
};

/*
 * Rights of the target's user, and no capability. -errno if it still may do more. What this process
 * has in memory of other targets is not for that user to read.
 */
static int drop_rights(const struct task_status *who)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (!geteuid() && !who->euid)
		return 0;
	if (!geteuid() && (setgroups(0, NULL) || setresgid(who->egid, who->egid, who->egid) ||
			   setresuid(who->euid, who->euid, who->euid)))
		return -errno;
	if (syscall(SYS_capset, &head, none) || prctl(PR_SET_DUMPABLE, 0))
		return -errno;
	return 0;
}

/* Inside the root of the target, whatever links say; without opening what it is. */
static int find_file(const struct reader *r, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	/* a path without a slash first would be looked for from the working directory on; as it
	 * may lead out of that by "..", it is taken below it only */
	return (int)syscall(SYS_openat2, *path == '/' ? r->root : r->cwd, path, &how, sizeof(how));
}

static bool is_wanted(const struct reader *r, const struct stat *st)
{
	uint64_t changed =
		(uint64_t)st->st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t)st->st_mtim.tv_nsec;

	return S_ISREG(st->st_mode) && st->st_size <= MAX_FILE && changed <= r->start_ns + TICK_NS;
}

/* The whole file, or NULL. */
static char *read_file(const struct reader *r, const char *path, size_t *len)
{
	int fd, file = -1, at = find_file(r, path);
	char link[32], *text = NULL;
	struct stat st;
	ssize_t n = 0;

	if (at < 0)
		return NULL;
	if (fstat(at, &st) || !is_wanted(r, &st))
		goto out;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	file = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	text = file < 0 ? NULL : malloc((size_t)st.st_size + 1);
	for (*len = 0; text && *len < (size_t)st.st_size; *len += (size_t)n) {
		n = read(file, text + *len, (size_t)st.st_size - *len);
		if (n <= 0)
			break;
	}
out:
	for (int i = 0; i < 2; i++) {
		fd = i ? file : at;
		if (fd >= 0)
			close(fd);
	}
	return text;
}

/* All in one write: shorter than what a pipe takes at once. */
static void send_line(const struct reader *r, size_t index, const char *text, size_t len)
{
	struct answer a = { .index = (uint32_t)index };
	ssize_t n;

	while (len && (*text == ' ' || *text == '\t' || *text == '\f')) {
		text++;
		len--;
	}
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\r'))
		len--;
	a.len = (uint32_t)(len < MAX_TEXT ? len : MAX_TEXT);
	memcpy(a.text, text, a.len);
	n = write(r->out, &a, sizeof(a));
	if (n != sizeof(a))
		_exit(1);
}

/* All wanted lines of the file of WANT[FIRST]. */
static void send_file(const struct reader *r, const struct listing_line *want, size_t cnt,
		      size_t first)
{
	const char *path = want[first].file, *end, *at;
	size_t len = 0;
	char *text = read_file(r, path, &len);
	int line = 1;

	for (at = text; text && at < text + len; at = end + 1, line++) {
		end = memchr(at, '\n', len - (size_t)(at - text));
		if (!end)
			end = text + len;
		for (size_t i = first; i < cnt; i++)
			if (want[i].line == line && !strcmp(want[i].file, path))
				send_line(r, i, at, (size_t)(end - at));
	}
	free(text);
}

static bool seen_before(const struct listing_line *want, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(want[k].file, want[i].file))
			return true;
	return false;
}

/* Is PIDFD still the process whose number was used until now? A zombie keeps its number, too. */
static bool is_same(int pidfd)
{
	return !syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) || errno != ESRCH;
}

static void child(pid_t pid, int pidfd, const struct listing_line *want, size_t cnt, int out)
{
	uint64_t now = clock_wall_ns(), mono = clock_monotonic_ns();
	struct reader r = { .out = out };
	struct process_info info;
	struct task_status who;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	r.root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
	r.cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r.root < 0 || r.cwd < 0 || process_info__load(pid, &info) ||
	    task_status__load(pid, pid, &who) || !is_same(pidfd) || drop_rights(&who))
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of rights would clear it */
	r.start_ns = now - (mono > info.start_monotonic_ns ? mono - info.start_monotonic_ns : 0);
	for (size_t i = 0; i < cnt; i++)
		if (!seen_before(want, i))
			send_file(&r, want, cnt, i);
}

/* ---- the parent ------------------------------------------------------------------------------ */

static void take(struct listing_line *line, size_t cnt, const struct answer *a)
{
	struct strbuf text = STRBUF_INIT;

	if (a->index >= cnt || a->len > MAX_TEXT || line[a->index].text)
		return;
	text_sanitize(&text, a->text, text_utf8_cut(a->text, a->len, MAX_TEXT));
	line[a->index].text = strbuf_detach(&text);
}

static void receive(int fd, struct listing_line *line, size_t cnt, uint64_t deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct answer a;
	size_t have = 0;
	uint64_t now;
	ssize_t n;

	for (;;) {
		now = clock_monotonic_ns();
		if (now >= deadline_ns ||
		    poll(&p, 1, (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1) <= 0)
			return;
		n = read(fd, (char *)&a + have, sizeof(a) - have);
		if (n <= 0)
			return;
		have += (size_t)n;
		if (have < sizeof(a))
			continue;
		take(line, cnt, &a);
		have = 0;
	}
}

/* One that a dead file server holds fast is left behind. */
static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	for (int i = 0; i < REAPS && !waitpid(pid, NULL, WNOHANG); i++)
		usleep(1000);
}

void listing__read(pid_t pid, int pidfd, struct listing_line *line, size_t cnt, uint64_t timeout_ns)
{
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ns;
	pid_t reader;
	int fd[2];

	cnt = cnt < LISTING_MAX ? cnt : LISTING_MAX;
	if (!cnt || pipe2(fd, O_CLOEXEC))
		return;
	reader = fork();
	if (!reader) {
		child(pid, pidfd, line, cnt, fd[1]);
		_exit(0);
	}
	close(fd[1]);
	if (reader > 0) {
		receive(fd[0], line, cnt, deadline_ns);
		end_child(reader);
	}
	close(fd[0]);
}

void listing__free(struct listing_line *line, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		free(line[i].text);
}
