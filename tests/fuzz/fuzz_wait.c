// SPDX-License-Identifier: MIT OR Apache-2.0
/* Lines of sockets, links and fdinfo: paths and names of sockets are the target's own words. */
#include <stdlib.h>
#include <string.h>

#include "proc/file.h"
#include "proc/socket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len ? len : 1);
	struct strbuf out = STRBUF_INIT;
	struct socket_line line;
	struct file_link link;

	if (!text)
		abort();
	/* a copy of the exact size: what is read behind it is noticed */
	if (len)
		memcpy(text, data, len);
	for (int table = 0; table < SOCKET_TABLES; table++) {
		if (socket_line__parse((enum socket_table)table, text, len, &line))
			continue;
		socket_line__add((enum socket_table)table, &line, &out);
		if (line.path_len && line.path + line.path_len != text + len)
			abort();
	}
	file_link__parse(text, len, &link);
	if (link.name_len > len || (link.name_len && link.name + link.name_len > text + len))
		abort();
	fdinfo__epoll_files(text, len);
	if (fdinfo__pid(text, len) < 0)
		abort();
	for (size_t i = 0; i < out.len; i++)
		if ((unsigned char)out.data[i] < 0x20)
			abort();
	strbuf_free(&out);
	free(text);
	return 0;
}
