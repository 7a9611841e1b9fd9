/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PERPETUO_BASE_CLOCK_H
#define PERPETUO_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL

/* "2026-11-21T13:42:24.123456+00:00" and its NUL */
#define CLOCK_RFC3339_LEN 40

/* CLOCK_MONOTONIC of this process's time namespace: the clock of bpf_ktime_get_ns() in the root
 * namespace. */
uint64_t clock_monotonic_ns(void);

/* CLOCK_REALTIME */
uint64_t clock_wall_ns(void);

/* Writes WALL_NS as RFC 3339 in local time, with microseconds and the offset from UTC. */
void clock_rfc3339(uint64_t wall_ns, char out[CLOCK_RFC3339_LEN]);

#endif
