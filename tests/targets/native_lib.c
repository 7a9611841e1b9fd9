// SPDX-License-Identifier: MIT OR Apache-2.0
/* What a C extension may do to its callers: tests/shell/native.sh builds a library of it. */
#include <string.h>
#include <time.h>
#include <unistd.h>

double lib_spin(double seconds);
int lib_sleep(double seconds);
int lib_deep(double seconds);

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Not in the table for other modules: only the full one has it. */
static __attribute__((noinline)) double burn(double end)
{
	volatile double n = 0;

	while (now() < end)
		for (int i = 0; i < 10000; i++)
			n = n + i;
	return n;
}

double lib_spin(double seconds)
{
	return burn(now() + seconds) + 1;
}

int lib_sleep(double seconds)
{
	return usleep((useconds_t)(seconds * 1e6)) + 1;
}

/* Its frame is larger than what is read of a stack at once. */
int lib_deep(double seconds)
{
	volatile char room[40000];

	memset((char *)room, 1, sizeof(room));
	return lib_sleep(seconds) + room[sizeof(room) / 2];
}
