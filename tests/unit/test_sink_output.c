// SPDX-License-Identifier: MIT OR Apache-2.0
/* Outputs that fail: a record is whole or absent, it is counted, and the watch goes on. */
#include "sink/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "sample_report.h"
#include "tap.h"

static char dir[] = "/tmp/perpetuo-sink.XXXXXX";
static char path[sizeof(dir) + 8];

static char *slurp(const char *from, size_t *len)
{
	static char buf[1 << 16];
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	*len = n > 0 ? (size_t)n : 0;
	buf[*len] = '\0';
	return buf;
}

/* Bytes of one sample record. */
static size_t record_len(void)
{
	static const struct sink_style plain;
	struct strbuf out = STRBUF_INIT;
	size_t len;

	sink_json.stall(&out, &plain, &sample_detected);
	len = out.len;
	strbuf_free(&out);
	return len;
}

static void file(void)
{
	struct sink *s = NULL;
	struct err err = { "" };
	struct stat st;
	size_t len;

	is_int(sink__open(&sink_json, -1, path, true, &s, &err), 0, "a file is made");
	ok(!stat(path, &st) && (st.st_mode & 0777) == 0600, "for its owner only");
	is_int(sink__stall(s, &sample_detected, &err), 0, "a record is written");
	sink__free(s);
	is_int(sink__open(&sink_json, -1, path, true, &s, &err), 0, "it is opened again");
	is_int(sink__stall(s, &sample_detected, &err), 0, "and written to");
	is_int(sink__lost(s), 0, "nothing is lost");
	sink__free(s);
	slurp(path, &len);
	is_int(len, 2 * record_len(), "records are appended");
	unlink(path);
	sink__free(NULL);
}

/* Room for one record and a half: the half is taken back, whether we made the file or not. */
static void file_too_big(bool own)
{
	struct rlimit old, small;
	struct sink *s = NULL;
	struct err err = { "" };
	int fd = own ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	const char *whose = own ? "our file" : "the caller's file";
	size_t len;

	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = record_len() * 3 / 2;
	sink__open(&sink_json, fd, own ? path : NULL, true, &s, &err);
	setrlimit(RLIMIT_FSIZE, &small);
	is_int(sink__stall(s, &sample_detected, &err), 0, "%s: the first record fits", whose);
	is_int(sink__stall(s, &sample_detected, &err), -EFBIG, "%s: the second does not", whose);
	is_int(sink__stall(s, &sample_detected, &err), -EFBIG, "%s: nor does the third", whose);
	ok(strstr(err.text, own ? path : "standard output"), "%s: the error says where", whose);
	slurp(path, &len);
	is_int(len, record_len(), "%s: one whole record stands there", whose);
	setrlimit(RLIMIT_FSIZE, &old);
	is_int(sink__stall(s, &sample_detected, &err), 0, "%s: with room it goes on", whose);
	slurp(path, &len);
	is_int(len, 2 * record_len(), "%s: behind the first", whose);
	is_int(sink__lost(s), 2, "%s: two were lost", whose);
	sink__free(s);
	if (fd >= 0)
		close(fd);
	unlink(path);
}

static void full_device(void)
{
	struct sink *s = NULL;
	struct err err = { "" };

	is_int(sink__open(&sink_text, -1, "/dev/full", true, &s, &err), 0, "/dev/full is opened");
	is_int(sink__stall(s, &sample_detected, &err), -ENOSPC, "no space");
	is_str(err.text, "cannot write a record to /dev/full: No space left on device",
	       "it says so");
	is_int(sink__info(s, &sample_info, &err), -ENOSPC, "nor for an info record");
	is_int(sink__dump(s, &sample_dump, &err), -ENOSPC, "nor for a dump");
	is_int(sink__lost(s), 3, "all are counted");
	sink__free(s);
}

static void reader_gone(void)
{
	struct sink *s = NULL;
	struct err err = { "" };
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		return;
	close(fd[0]);
	sink__open(&sink_json, fd[1], NULL, true, &s, &err);
	is_int(sink__stall(s, &sample_detected, &err), -EPIPE, "nobody reads any more");
	sink__free(s);
	ok(fcntl(fd[1], F_GETFD) >= 0, "the caller's descriptor stays open");
	close(fd[1]);
}

/* What is in the pipe now, as text. */
static size_t drain(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	return len;
}

/*
 * A pipe with room for one page, a record of more, and nobody reads: the record is torn, as a pipe
 * gives nothing back. What comes later begins on a line of its own.
 */
static void reader_stuck(void)
{
	struct report_stall big = sample_detected;
	static char note[8000];
	static char buf[1 << 16];
	struct sink *s = NULL;
	struct err err = { "" };
	uint64_t begun;
	int fd[2];

	memset(note, 'x', sizeof(note) - 1);
	big.note = note;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return;
	fcntl(fd[1], F_SETPIPE_SZ, 4096);
	sink__open(&sink_json, fd[1], NULL, true, &s, &err);
	is_int(sink__stall(s, &big, &err), -EAGAIN, "a reader that does not read is an error");
	begun = clock_monotonic_ns();
	is_int(sink__stall(s, &big, &err), -EAGAIN, "it stays one");
	/* The first waited for seconds. Generous: the machine may be busy. */
	ok(clock_monotonic_ns() - begun < NSEC_PER_SEC, "it is waited for only once");
	is_int(sink__lost(s), 2, "what it missed is counted");
	ok(drain(fd[0], buf, sizeof(buf)) > 0 && !strchr(buf, '\n'), "it gets a torn record");
	is_int(sink__stall(s, &sample_detected, &err), 0, "when it reads again, records go out");
	is_int(drain(fd[0], buf, sizeof(buf)), record_len() + 1, "whole");
	ok(!strncmp(buf, "\n{\"time\":", 9), "on a line of their own");
	is_int(sink__stall(s, &sample_detected, &err), 0, "the next one, too");
	ok(drain(fd[0], buf, sizeof(buf)) == record_len() && buf[0] == '{',
	   "without an empty line");
	sink__free(s);
	close(fd[0]);
	close(fd[1]);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Signals in mid-write, a reader that is slow: the record arrives whole. */
static void interrupted(void)
{
	struct itimerval often = { .it_interval.tv_usec = 1000, .it_value.tv_usec = 1000 };
	const struct itimerval never = { .it_interval.tv_usec = 0 };
	struct sigaction sa = { .sa_handler = on_alarm };
	struct sink *s = NULL;
	struct err err = { "" };
	char *got = calloc(1, 20 * record_len() + 1000);
	size_t len = 0;
	ssize_t n = 1;
	int fd[2];
	pid_t pid;

	if (!got || pipe2(fd, O_CLOEXEC))
		return;
	fcntl(fd[1], F_SETPIPE_SZ, 4096);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(fd[0]);
		sigaction(SIGALRM, &sa, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
		sink__open(&sink_json, fd[1], NULL, true, &s, &err);
		for (int i = 0; i < 20; i++) {
			if (sink__stall(s, &sample_detected, &err))
				_exit(1);
		}
		setitimer(ITIMER_REAL, &never, NULL);
		_exit(0);
	}
	close(fd[1]);
	while (n > 0) {
		usleep(3000);
		n = read(fd[0], got + len, 1000);
		len += n > 0 ? (size_t)n : 0;
	}
	close(fd[0]);
	is_int(len, 20 * record_len(), "signals in mid-write lose nothing");
	free(got);
}

static void refused(void)
{
	struct sink *s = NULL;
	struct err err = { "" };

	is_int(sink__open(&sink_text, -1, dir, true, &s, &err), -EISDIR,
	       "a directory is no output");
	ok(!s && strstr(err.text, dir) && strstr(err.text, "Is a directory"), "it says so");
	is_int(sink__open(&sink_text, -1, "/nowhere/x", true, &s, &err), -ENOENT, "nor is nowhere");
	is_int(mkfifo(path, 0600), 0, "a FIFO");
	is_int(sink__open(&sink_text, -1, path, true, &s, &err), -ENXIO,
	       "that nobody reads does not hold us up");
	ok(strstr(err.text, "nobody reads this FIFO"), "and is named");
	unlink(path);
}

/* The first byte that comes out of a terminal shows whether records are coloured there. */
static bool coloured(const struct sink_format *format)
{
	struct sink *s = NULL;
	struct err err = { "" };
	char c = 0;
	int master, slave;

	if (openpty(&master, &slave, NULL, NULL, NULL))
		return false;
	sink__open(format, slave, NULL, true, &s, &err);
	sink__info(s, &sample_info, &err);
	if (read(master, &c, 1) != 1)
		c = 0;
	sink__free(s);
	close(slave);
	close(master);
	return c == '\033';
}

static void colours(void)
{
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	ok(coloured(&sink_text), "colours on a terminal");
	ok(!coloured(&sink_json), "never in JSON");
	setenv("NO_COLOR", "1", 1);
	ok(!coloured(&sink_text), "not with NO_COLOR");
	setenv("NO_COLOR", "", 1);
	ok(coloured(&sink_text), "an empty NO_COLOR is none");
	setenv("TERM", "dumb", 1);
	ok(!coloured(&sink_text), "not on a dumb terminal");
}

int main(void)
{
	plan(53);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/out", dir);
	file();
	file_too_big(true);
	file_too_big(false);
	full_device();
	reader_gone();
	reader_stuck();
	interrupted();
	refused();
	colours();
	rmdir(dir);
	return done();
}
