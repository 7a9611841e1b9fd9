// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/asyncio_debug.h"

#include <string.h>

#include "tap.h"

/* As CPython 3.14.10 has them, x86-64. */
static const uint64_t good[13] = { 168,	   136,	  96,  108, 109, 128, 152,
				   225864, 10880, 936, 864, 872, 880 };

static bool parse(const uint64_t words[13], struct asyncio_debug *out)
{
	struct bytes b = { (const uint8_t *)words, ASYNCIO_DEBUG_BYTES };

	return asyncio_debug__parse(&b, 0, 225864, out);
}

/* The words with one of them changed are refused. */
static void refused(size_t word, uint64_t value, const char *name)
{
	struct asyncio_debug d;
	uint64_t w[13];

	memcpy(w, good, sizeof(w));
	w[word] = value;
	ok(!parse(w, &d), "%s", name);
}

int main(void)
{
	struct bytes b = { (const uint8_t *)good, sizeof(good) };
	struct asyncio_debug d = { 0 };

	plan(16);
	ok(parse(good, &d), "what a CPython says is taken");
	is_int(d.task_coro, 128, "the coroutine");
	is_int(d.task_name, 136, "the name");
	is_int(d.ts_task, 872, "the running task");
	ok(!asyncio_debug__parse(&b, 8, 225864, &d), "words that are not all there");
	ok(!asyncio_debug__parse(&b, 0, 225856, &d), "of another build");
	ok(!asyncio_debug__parse(&b, 0, 0, &d), "of a build that does not tell its size");
	refused(0, 1 << 20, "a task that is too big");
	refused(5, 162, "a field that lies on no word");
	refused(5, 0, "a coroutine with nothing before it");
	refused(5, 168, "a field behind the end");
	refused(6, 160, "a node that is cut");
	refused(6, UINT64_MAX - 7, "an offset that overflows");
	refused(8, 225864, "a list behind the end of its interpreter");
	refused(9, 1 << 30, "a thread state that is too big");
	refused(12, 936, "a list behind the end of its thread state");
	return done();
}
