// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define MAX_LINE 512 /* that is parsed */
#define MAX_TABLE (32u << 20) /* bytes of one table that are read: some 200,000 sockets */
#define BUFFER (64u << 10)
#define MAX_KIND 32
#define UNIX_LISTENS 0x10000 /* __SO_ACCEPTCON of the kernel */

static const struct table {
	const char *file;
	const char *title;
	int family; /* AF_INET, AF_INET6; AF_UNIX */
	const char *kind; /* how the kernel names its sockets (the protocol's name begins so) */
} tables[SOCKET_TABLES] = {
	[SOCKET_TCP] = { "tcp", "TCP", AF_INET, "TCP" },
	[SOCKET_TCP6] = { "tcp6", "TCP", AF_INET6, "TCPv6" },
	[SOCKET_UDP] = { "udp", "UDP", AF_INET, "UDP" },
	[SOCKET_UDP6] = { "udp6", "UDP", AF_INET6, "UDPv6" },
	[SOCKET_UNIX] = { "unix", "Unix socket", AF_UNIX, "UNIX" },
};

/* ---- one line -------------------------------------------------------------------------------- */

/* Bytes in the order of the machine's words, as the kernel prints them: back to network order. */
static int parse_address(const char *hex, size_t words, uint8_t out[16])
{
	char word[9] = "";
	uint32_t value;

	for (size_t i = 0; i < words; i++) {
		memcpy(word, hex + 8 * i, 8);
		if (strspn(word, "0123456789ABCDEFabcdef") != 8)
			return -EINVAL;
		value = (uint32_t)strtoul(word, NULL, 16);
		memcpy(out + 4 * i, &value, 4);
	}
	return 0;
}

/* "   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 UID 0 INODE ..." */
static int parse_inet(const char *line, size_t words, struct socket_line *out)
{
	char local[33], remote[33];

	if (sscanf(line,
		   "%*d: %32[0-9A-Fa-f]:%" SCNx16 " %32[0-9A-Fa-f]:%" SCNx16
		   " %x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64,
		   local, &out->local_port, remote, &out->remote_port, &out->state,
		   &out->inode) != 6)
		return -EINVAL;
	if (strlen(local) != 8 * words || strlen(remote) != 8 * words ||
	    parse_address(local, words, out->local) || parse_address(remote, words, out->remote))
		return -EINVAL;
	return 0;
}

/* "0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/x.sock" */
static int parse_unix(const char *line, const char *raw, size_t len, struct socket_line *out)
{
	unsigned int flags;
	int end = 0;

	if (sscanf(line, "%*x: %*x %*x %x %*x %x %" SCNu64 "%n", &flags, &out->state, &out->inode,
		   &end) != 3 ||
	    end <= 0)
		return -EINVAL;
	out->listens = flags & UNIX_LISTENS;
	if ((size_t)end < len && raw[end] == ' ') {
		out->path = raw + end + 1;
		out->path_len = len - (size_t)end - 1;
	}
	return 0;
}

int socket_line__parse(enum socket_table table, const char *line, size_t len,
		       struct socket_line *out)
{
	char text[MAX_LINE];
	size_t n = len < sizeof(text) ? len : sizeof(text) - 1;

	*out = (struct socket_line){ .path = "" };
	memcpy(text, line, n);
	text[n] = '\0';
	/* a path may hold anything: it ends with the line, not with what looks like an end */
	if (tables[table].family == AF_UNIX)
		return parse_unix(text, line, len, out);
	return parse_inet(text, tables[table].family == AF_INET ? 1 : 4, out);
}

/* ---- in words -------------------------------------------------------------------------------- */

static const char *const tcp_state[] = {
	[TCP_ESTABLISHED] = "established",
	[TCP_SYN_SENT] = "connecting",
	[TCP_SYN_RECV] = "connecting",
	[TCP_FIN_WAIT1] = "closing",
	[TCP_FIN_WAIT2] = "closing",
	[TCP_TIME_WAIT] = "closed",
	[TCP_CLOSE] = "closed",
	[TCP_CLOSE_WAIT] = "closed by the other side",
	[TCP_LAST_ACK] = "closing",
	[TCP_LISTEN] = "listening",
	[TCP_CLOSING] = "closing",
};

static void add_address(struct strbuf *out, int family, const uint8_t *addr, uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
	char text[INET6_ADDRSTRLEN] = "?";

	if (family == AF_INET6 && !memcmp(addr, mapped, sizeof(mapped))) {
		family = AF_INET;
		addr += sizeof(mapped);
	}
	inet_ntop(family, addr, text, sizeof(text));
	strbuf_addf(out, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void add_unix(const struct socket_line *s, struct strbuf *out)
{
	static const char *const state[] = { "free", "unconnected", "connecting", "connected",
					     "disconnecting" };

	if (s->path_len) {
		strbuf_addc(out, ' ');
		text_sanitize(out, s->path, s->path_len);
	}
	if (s->listens)
		strbuf_adds(out, ", listening");
	else if (s->state < sizeof(state) / sizeof(state[0]))
		strbuf_addf(out, ", %s", state[s->state]);
}

void socket_line__add(enum socket_table table, const struct socket_line *s, struct strbuf *out)
{
	static const uint8_t none[16];
	const struct table *t = &tables[table];
	const char *state = NULL;

	strbuf_adds(out, t->title);
	if (t->family == AF_UNIX) {
		add_unix(s, out);
		return;
	}
	strbuf_addc(out, ' ');
	add_address(out, t->family, s->local, s->local_port);
	if (s->remote_port || memcmp(s->remote, none, sizeof(none))) {
		strbuf_adds(out, " -> ");
		add_address(out, t->family, s->remote, s->remote_port);
	}
	if ((table == SOCKET_TCP || table == SOCKET_TCP6) &&
	    s->state < sizeof(tcp_state) / sizeof(tcp_state[0]))
		state = tcp_state[s->state];
	if (state)
		strbuf_addf(out, ", %s", state);
}

/* ---- a table --------------------------------------------------------------------------------- */

struct lookup {
	enum socket_table table;
	uint64_t inode;
	struct strbuf *out;
};

/* Tells of the wanted socket if this is its line. */
static bool look_at(const struct lookup *l, const char *line, size_t len)
{
	struct socket_line s;

	if (socket_line__parse(l->table, line, len, &s) || s.inode != l->inode)
		return false;
	socket_line__add(l->table, &s, l->out);
	return true;
}

/* The lines of FD one after the other. A line that does not fit into BUF is none of the kernel's.
 */
static bool search(int fd, const struct lookup *l, uint64_t deadline_ns, char *buf)
{
	size_t have = 0, total = 0, at;
	char *end;
	ssize_t n;

	while (total < MAX_TABLE && clock_monotonic_ns() < deadline_ns) {
		n = read(fd, buf + have, BUFFER - have);
		if (n <= 0)
			return have && look_at(l, buf, have);
		total += (size_t)n;
		have += (size_t)n;
		for (at = 0; (end = memchr(buf + at, '\n', have - at));
		     at = (size_t)(end - buf) + 1)
			if (look_at(l, buf + at, (size_t)(end - buf) - at))
				return true;
		if (!at && have == BUFFER)
			return false;
		memmove(buf, buf + at, have - at);
		have -= at;
	}
	return false;
}

static bool search_table(pid_t pid, const struct lookup *l, uint64_t deadline_ns)
{
	char path[64], *buf = malloc(BUFFER);
	bool found = false;
	int fd;

	if (!buf)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, tables[l->table].file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		found = search(fd, l, deadline_ns, buf);
		close(fd);
	}
	free(buf);
	return found;
}

/* "TCP", "UDPv6", "UNIX-STREAM", "NETLINK": what the kernel calls it; "" if it does not say. */
static void load_kind(pid_t pid, int fd, char kind[MAX_KIND])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	n = getxattr(path, "system.sockprotoname", kind, MAX_KIND - 1);
	kind[n > 0 ? n : 0] = '\0';
}

static bool is_of(const char *kind, const struct table *t)
{
	return t->family == AF_UNIX ? !strncmp(kind, t->kind, strlen(t->kind))
				    : !strcmp(kind, t->kind);
}

void socket__describe(pid_t pid, int fd, uint64_t inode, uint64_t deadline_ns, struct strbuf *out)
{
	struct lookup l = { .inode = inode, .out = out };
	char kind[MAX_KIND];

	load_kind(pid, fd, kind);
	for (int i = 0; i < SOCKET_TABLES; i++) {
		l.table = (enum socket_table)i;
		if (*kind && !is_of(kind, &tables[i]))
			continue;
		if (search_table(pid, &l, deadline_ns))
			return;
	}
	if (*kind) {
		text_sanitize(out, kind, strlen(kind));
		strbuf_addc(out, ' ');
	}
	strbuf_adds(out, "socket");
}
