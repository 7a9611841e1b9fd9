// SPDX-License-Identifier: MIT OR Apache-2.0
/* What a thread waits for: the tables of the kernel, and files of this very process. */
#include "proc/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/file.h"
#include "proc/mem.h"
#include "proc/socket.h"
#include "proc/syscall.h"
#include "tap.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static struct strbuf text;

static const char *taken(void)
{
	static char copy[1024];

	snprintf(copy, sizeof(copy), "%s", strbuf_str(&text));
	strbuf_reset(&text);
	return copy;
}

static void names(void)
{
	is_str(syscall_name(SYS_read), "read", "a name");
	is_str(syscall_name(SYS_futex), "futex", "another one");
	ok(!syscall_name(-1) && !syscall_name(1000000), "no such number");
	ok(syscall_about(SYS_recvfrom) == SYSCALL_FD && syscall_about(-1) == SYSCALL_NOTHING &&
		   syscall_about(1000000) == SYSCALL_NOTHING,
	   "what they are about");
}

static const char *line(enum socket_table table, const char *s)
{
	struct socket_line l;

	if (socket_line__parse(table, s, strlen(s), &l))
		return "refused";
	if (l.inode != 4711)
		return "another inode";
	socket_line__add(table, &l, &text);
	return taken();
}

static void sockets(void)
{
	is_str(line(SOCKET_TCP,
		    "   1: 0100007F:8F1C 0700000A:1538 01 00000000:00000000 02:000A 00000000 "
		    " 1000        0 4711 2 0000000000000000 20 4 30 10 -1"),
	       "TCP 127.0.0.1:36636 -> 10.0.0.7:5432, established", "a connection");
	is_str(line(SOCKET_TCP,
		    "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 "
		    "00000000     0        0 4711 1"),
	       "TCP 0.0.0.0:80, listening", "a listener");
	is_str(line(SOCKET_TCP6, "  0: 00000000000000000000000001000000:1F90 "
				 "0000000000000000FFFF00000100007F:0050 08 0:0 0:0 0 0 0 4711 1"),
	       "TCP [::1]:8080 -> 127.0.0.1:80, closed by the other side",
	       "IPv6, and a mapped one");
	is_str(line(SOCKET_UDP, "  0: 0100007F:0035 00000000:0000 07 0:0 0:0 0 0 0 4711 2"),
	       "UDP 127.0.0.1:53", "a datagram socket");
	is_str(line(SOCKET_UNIX,
		    "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/a b"),
	       "Unix socket /run/a b, listening", "a path with a blank");
	is_str(line(SOCKET_UNIX, "0: 3 0 0 1 03 4711"), "Unix socket, connected", "no path");
	is_str(line(SOCKET_UNIX, "0: 3 0 0 1 03 4711 @\033[2J"), "Unix socket @\\x1b[2J, connected",
	       "an abstract name of ill will");
	is_str(line(SOCKET_TCP, "  sl  local_address rem_address   st tx_queue"), "refused",
	       "a title");
	is_str(line(SOCKET_TCP6, "   1: 0100007F:8F1C 0700000A:1538 01 0:0 0:0 0 0 0 4711 2"),
	       "refused", "addresses that are too short");
	is_str(line(SOCKET_TCP, ""), "refused", "nothing");
}

static enum file_kind kind(const char *s, struct file_link *out)
{
	file_link__parse(s, strlen(s), out);
	return out->kind;
}

static void links(void)
{
	struct file_link l;

	ok(kind("pipe:[123]", &l) == FILE_PIPE && l.inode == 123, "a pipe");
	ok(kind("socket:[18446744073709551615]", &l) != FILE_SOCKET, "a number that is too long");
	ok(kind("pipe:[]", &l) == FILE_PATH && kind("pipe:[1x]", &l) == FILE_PATH,
	   "files of odd names");
	ok(kind("anon_inode:[eventpoll]", &l) == FILE_EPOLL, "an epoll");
	ok(kind("anon_inode:[pidfd]", &l) == FILE_PIDFD && kind("pidfd:[9]", &l) == FILE_PIDFD,
	   "pidfds, old and new");
	ok(kind("anon_inode:inotify", &l) == FILE_ANON && l.name_len == 7, "without brackets");
	ok(kind("anon_inode:[eventfd]", &l) == FILE_ANON && !memcmp(l.name, "eventfd", l.name_len),
	   "with brackets");
	ok(kind("", &l) == FILE_PATH && !l.name_len, "nothing");
	is_int(fdinfo__epoll_files(TEXT("pos:\t0\ntfd:   5 events\ntfd:   6\n")), 2, "two files");
	is_int(fdinfo__pid(TEXT("pos:\t0\nPid:\t123\nNSpid:\t1\n")), 123, "a process");
	is_int(fdinfo__pid(TEXT("Pid:\t-1\n")), 0, "one that has ended");
	is_int(fdinfo__pid(TEXT("Pid:")), 0, "cut short");
}

/* What this process would wait for in call NR. */
static const char *about(long nr, uint64_t a, uint64_t b, uint64_t c)
{
	struct task_syscall call = { .blocked = true, .nr = nr, .arg = { a, b, c } };
	struct waits w = { .pid = getpid(),
			   .deadline_ns = clock_monotonic_ns() + 10 * NSEC_PER_SEC };
	struct wait wait;

	mem__open(getpid(), &w.mem, NULL);
	wait__init(&wait, &call);
	wait__look(&wait, &call, &w);
	wait__add(&wait, &text);
	mem__free(w.mem);
	return taken();
}

static const char *expect(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *expect(const char *fmt, ...)
{
	static char copy[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(copy, sizeof(copy), fmt, ap);
	va_end(ap);
	return copy;
}

/* A child that holds the writing end of P alone, and waits till it is killed. */
static pid_t spawn_writer(const int p[2])
{
	pid_t child = fork();

	if (child)
		return child;
	close(p[0]);
	for (;;)
		pause();
}

static void pipes(void)
{
	const char *got;
	pid_t child;
	int p[2];

	if (pipe(p))
		return;
	is_str(about(SYS_write, (uint64_t)p[1], 0, 0),
	       expect("write(fd %d: pipe to this process)", p[1]), "a pipe to itself");
	child = spawn_writer(p);
	close(p[1]);
	is_str(about(SYS_read, (uint64_t)p[0], 0, 0),
	       expect("read(fd %d: pipe from pid %d (test_wait))", p[0], child), "from a child");
	is_str(about(SYS_wait4, (uint64_t)child, 0, 0), expect("wait4(pid %d (test_wait))", child),
	       "the child");
	is_str(about(SYS_wait4, UINT64_MAX, 0, 0), expect("wait4(pid %d (test_wait))", child),
	       "the only child");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* who is not root may not look at everybody's files */
	got = about(SYS_read, (uint64_t)p[0], 0, 0);
	ok(!strcmp(got, expect("read(fd %d: pipe, its other end is held by nobody)", p[0])) ||
		   (geteuid() &&
		    !strcmp(got, expect("read(fd %d: pipe, its other end was not found)", p[0]))),
	   "from one that has ended: %s", got);
	is_str(about(SYS_wait4, UINT64_MAX, 0, 0), "wait4(any child)", "no child");
	close(p[0]);
}

static void files(void)
{
	int event = eventfd(0, 0), epoll = epoll_create1(0), null = open("/dev/null", O_RDONLY);
	struct pollfd fds[3] = { { .fd = -1 }, { .fd = null }, { .fd = event } };
	struct epoll_event ev = { 0 };
	uint64_t set[16] = { 0 };

	epoll_ctl(epoll, EPOLL_CTL_ADD, event, &ev);
	is_str(about(SYS_read, (uint64_t)null, 0, 0), expect("read(fd %d: /dev/null)", null),
	       "a path");
	is_str(about(SYS_read, (uint64_t)event, 0, 0), expect("read(fd %d: eventfd)", event),
	       "an eventfd");
	is_str(about(SYS_epoll_pwait, (uint64_t)epoll, 0, 0),
	       expect("epoll_pwait(fd %d: epoll of 1 file)", epoll), "an epoll");
	is_str(about(SYS_ppoll, (uint64_t)(uintptr_t)fds, 3, 0),
	       expect("ppoll(fd %d: /dev/null, and 1 more)", null), "several files");
	is_str(about(SYS_ppoll, 16, UINT64_MAX, 0), "ppoll", "an array that is not there");
	set[null / 64] |= 1ULL << null % 64;
	is_str(about(SYS_pselect6, (uint64_t)null + 1, (uint64_t)(uintptr_t)set, 16),
	       expect("pselect6(fd %d: /dev/null)", null), "a set of files");
	is_str(about(SYS_pselect6, UINT64_MAX, 8, 16), "pselect6", "sets that are not there");
	is_str(about(SYS_openat, 0, (uint64_t)(uintptr_t) "/tmp/\033x", 0), "openat(/tmp/\\x1bx)",
	       "a path in memory");
	is_str(about(SYS_openat, 0, 16, 0), "openat", "one that is not there");
	is_str(about(SYS_read, UINT64_MAX, 0, 0), "read", "no file descriptor");
	is_str(about(SYS_read, 1000000, 0, 0), "read(fd 1000000)", "one that is not open");
	is_str(about(SYS_futex, 0x7f1234, 0, 0), "futex 0x7f1234", "a futex");
	is_str(about(999999, 0, 0, 0), "system call 999999", "an unknown call");
	is_str(about(-1, 0, 0, 0), "", "no call");
	close(event);
	close(epoll);
	close(null);
}

static void unix_socket(void)
{
	int p[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
		return;
	is_str(about(SYS_recvfrom, (uint64_t)p[0], 0, 0),
	       expect("recvfrom(fd %d: Unix socket, connected)", p[0]), "a socket");
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	plan(4 + 10 + 12 + 6 + 14 + 1);
	names();
	sockets();
	links();
	pipes();
	files();
	unix_socket();
	strbuf_free(&text);
	return done();
}
