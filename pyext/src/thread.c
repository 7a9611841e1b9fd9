// SPDX-License-Identifier: MIT OR Apache-2.0
#include <sys/syscall.h>
#include <unistd.h>

#include "thread.h"

__thread uint32_t thread_cached_tid THREAD_TLS;

uint32_t thread_ask_tid(void)
{
	/* glibc has gettid() since 2.30 only */
	thread_cached_tid = (uint32_t)syscall(SYS_gettid);
	return thread_cached_tid;
}
