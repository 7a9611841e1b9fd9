// SPDX-License-Identifier: MIT OR Apache-2.0
/* Who is followed (bpf/family.bpf.c), from the loader's side: the beginning of each family. */
#include "source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "perpetuo.skel.h"

int bpf_family__follow(struct source *s, int pidfd, pid_t parent, struct err *err)
{
	uint32_t mark = (uint32_t)parent;

	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.family), &pidfd, &mark, BPF_ANY))
		return err_set(err, -errno, "cannot have a process followed by BPF: %s",
			       strerror(errno));
	return 0;
}

bool bpf_family__follows(const struct source *s, int pidfd)
{
	uint32_t mark;

	return !bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.family), &pidfd, &mark);
}
