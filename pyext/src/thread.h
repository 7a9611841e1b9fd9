/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* thread.h - the native id of the calling thread, for the price of a load. */
#ifndef PERPETUO_THREAD_H
#define PERPETUO_THREAD_H

#include <stdint.h>

/*
 * Four bytes of static TLS: a dlopened library that asks for more may be refused, and the general
 * model costs a call per access. musl refuses the model in a dlopened library altogether.
 */
#ifdef __GLIBC__
#define THREAD_TLS __attribute__((tls_model("initial-exec")))
#else
#define THREAD_TLS
#endif

extern __thread uint32_t thread_cached_tid THREAD_TLS;

/* gettid(), kept in thread_cached_tid. */
uint32_t thread_ask_tid(void);

/* The id of the calling thread as the kernel knows it, in the pid namespace of the process. */
static inline uint32_t thread_tid(void)
{
	uint32_t tid = thread_cached_tid;

	return __builtin_expect(tid != 0, 1) ? tid : thread_ask_tid();
}

#endif
