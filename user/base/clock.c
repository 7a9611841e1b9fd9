// SPDX-License-Identifier: MIT OR Apache-2.0
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts = { 0 };

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

void clock_rfc3339(uint64_t wall_ns, char out[CLOCK_RFC3339_LEN])
{
	time_t sec = (time_t)(wall_ns / NSEC_PER_SEC);
	unsigned int usec = (unsigned int)(wall_ns % NSEC_PER_SEC / NSEC_PER_USEC);
	struct tm tm = { 0 };
	long off_min;
	size_t n;

	localtime_r(&sec, &tm);
	n = strftime(out, CLOCK_RFC3339_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	off_min = labs(tm.tm_gmtoff) / 60;
	snprintf(out + n, CLOCK_RFC3339_LEN - n, ".%06u%c%02d:%02d", usec,
		 tm.tm_gmtoff < 0 ? '-' : '+', (int)(off_min / 60 % 100), (int)(off_min % 60));
}
