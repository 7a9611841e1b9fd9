// SPDX-License-Identifier: MIT OR Apache-2.0
#include "stall/cause.h"

#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/text.h"

/* A part of the duration from which on what takes time from a thread is the cause. */
#define STARVED 0.4
#define BESIDES 0.1 /* and from which on it is mentioned */

enum kind {
	KIND_UNKNOWN,
	KIND_PYTHON,
	KIND_NATIVE,
	KIND_GC,
	KIND_CALL,
	KIND_LOCK,
	KIND_DEADLOCK,
	KIND_GIL,
	KIND_RUN_QUEUE,
	KIND_THROTTLED,
	KIND_PAGES,
	KIND_STOPPED,
};

static const char *const kind_name[] = {
	[KIND_UNKNOWN] = "unknown",	[KIND_PYTHON] = "python",
	[KIND_NATIVE] = "native",	[KIND_GC] = "gc",
	[KIND_CALL] = "system_call",	[KIND_LOCK] = "lock",
	[KIND_DEADLOCK] = "deadlock",	[KIND_GIL] = "gil",
	[KIND_RUN_QUEUE] = "run_queue", [KIND_THROTTLED] = "throttled",
	[KIND_PAGES] = "page_faults",	[KIND_STOPPED] = "stopped",
};

/* Where the duration went: parts that do not overlap, and nothing is left. */
struct parts {
	uint64_t on_cpu, run_queue, throttled, gil, pages, stopped, call;
};

static uint64_t take(uint64_t *left, uint64_t ns)
{
	uint64_t part = ns < *left ? ns : *left;

	*left -= part;
	return part;
}

/* A sleeping thread is frozen where it sleeps: then only the account of the process knows it. */
static struct parts split(const struct cause_facts *f)
{
	uint64_t left = f->duration_ns, frozen;
	struct parts p;

	p.on_cpu = take(&left, f->sum[ACCOUNT_ON_CPU]);
	p.run_queue = take(&left, f->sum[ACCOUNT_RUN_QUEUE]);
	p.throttled = take(&left, f->sum[ACCOUNT_SUM_THROTTLED]);
	p.stopped = take(&left, f->sum[ACCOUNT_SUM_STOPPED]);
	frozen = f->stopped_ns > p.stopped ? f->stopped_ns - p.stopped : 0;
	p.stopped += take(&left, frozen);
	p.gil = take(&left, f->sum[ACCOUNT_SUM_GIL]);
	p.pages = take(&left, f->sum[ACCOUNT_SUM_FAULT]);
	p.call = left;
	return p;
}

static enum kind on_cpu_kind(const struct cause_seen *seen)
{
	if (seen->gc)
		return KIND_GC;
	return *seen->library ? KIND_NATIVE : KIND_PYTHON;
}

static enum kind call_kind(const struct cause_seen *seen)
{
	if (seen->waits_gil)
		return KIND_GIL;
	if (!*seen->lock)
		return KIND_CALL;
	return seen->deadlock ? KIND_DEADLOCK : KIND_LOCK;
}

static enum kind largest(const struct cause_facts *f, const struct cause_seen *seen,
			 const struct parts *p, uint64_t *ns)
{
	const struct {
		uint64_t ns;
		enum kind kind;
	} each[] = {
		{ p->on_cpu, on_cpu_kind(seen) },
		{ p->call, call_kind(seen) },
		{ p->gil, KIND_GIL },
		{ p->run_queue, KIND_RUN_QUEUE },
		{ p->throttled, KIND_THROTTLED },
		{ p->pages, KIND_PAGES },
		{ p->stopped, KIND_STOPPED },
	};
	uint64_t starved = (uint64_t)((double)f->duration_ns * STARVED);
	size_t best = 0;

	for (size_t i = 1; i < sizeof(each) / sizeof(*each); i++)
		if (each[i].ns > each[best].ns)
			best = i;
	if (p->throttled && p->throttled >= starved)
		best = 4;
	else if (p->run_queue && p->run_queue >= starved)
		best = 3;
	*ns = each[best].ns;
	return each[best].kind;
}

/* By what it does now, where nobody kept account. */
static enum kind by_state(const struct cause_seen *seen)
{
	if (!seen->looked)
		return KIND_UNKNOWN;
	if (seen->running)
		return on_cpu_kind(seen);
	return seen->waits_gil || *seen->lock || *seen->wait.call ? call_kind(seen) : KIND_UNKNOWN;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* " for 201.3 of 205.1 ms": NS of the duration, where that was measured. */
static void add_time(struct strbuf *out, const struct cause_facts *f, uint64_t ns)
{
	if (f->measured)
		strbuf_addf(out, " for %.1f of %.1f ms", ms(ns), ms(f->duration_ns));
}

static void add_place(struct strbuf *out, const char *how, const struct cause_seen *seen)
{
	if (*seen->place)
		strbuf_addf(out, "%s%s", how, seen->place);
}

static void add_holder(struct strbuf *out, const struct cause_seen *seen)
{
	if (*seen->holder_name)
		strbuf_addf(out, ", which %s (tid %d) holds", seen->holder_name, (int)seen->holder);
}

static void add_call(struct strbuf *out, const struct cause_facts *f, const struct cause_seen *seen,
		     uint64_t ns)
{
	strbuf_adds(out, "blocked");
	add_time(out, f, ns);
	if (*seen->wait.call) {
		strbuf_adds(out, " in ");
		wait__add(&seen->wait, out);
	}
	add_place(out, ", called by ", seen);
}

static void add_cause(struct strbuf *out, enum kind kind, const struct cause_facts *f,
		      const struct cause_seen *seen, uint64_t ns)
{
	switch (kind) {
	case KIND_PYTHON:
		strbuf_adds(out, "its own Python code is on CPU");
		add_time(out, f, ns);
		add_place(out, ", in ", seen);
		break;
	case KIND_NATIVE:
		strbuf_addf(out, "native code of %s is on CPU", seen->library);
		add_time(out, f, ns);
		add_place(out, ", called by ", seen);
		break;
	case KIND_GC:
		strbuf_adds(out, "garbage collection is on CPU");
		add_time(out, f, ns);
		add_place(out, ", begun in ", seen);
		break;
	case KIND_CALL:
		add_call(out, f, seen, ns);
		break;
	case KIND_LOCK:
		strbuf_adds(out, "waits");
		add_time(out, f, ns);
		strbuf_addf(out, " for %s", seen->lock);
		add_place(out, ", in ", seen);
		break;
	case KIND_DEADLOCK:
		strbuf_addf(out, "deadlock: %s", seen->lock);
		break;
	case KIND_GIL:
		strbuf_adds(out, "waits");
		add_time(out, f, ns);
		strbuf_adds(out, " for the GIL");
		add_holder(out, seen);
		break;
	case KIND_RUN_QUEUE:
		strbuf_adds(out, "ready to run, but without a CPU");
		add_time(out, f, ns);
		if (f->load >= 0)
			strbuf_addf(out, ": load %.1f on %d CPU%s", f->load, f->cpus,
				    f->cpus == 1 ? "" : "s");
		break;
	case KIND_THROTTLED:
		strbuf_adds(out, "its cgroup has used up its CPU quota");
		add_time(out, f, ns);
		if (*f->quota)
			strbuf_addf(out, ": %s", f->quota);
		break;
	case KIND_PAGES:
		strbuf_adds(out, "waits");
		add_time(out, f, ns);
		strbuf_addf(out, " for pages from swap or files (%u major faults)", f->faults);
		add_place(out, ", in ", seen);
		break;
	case KIND_STOPPED:
		strbuf_adds(out, "stopped");
		add_time(out, f, ns);
		strbuf_adds(out, " (SIGSTOP, a debugger or the freezer)");
		break;
	case KIND_UNKNOWN:
		strbuf_adds(out, "not known");
		break;
	}
}

/* "; besides 43.0 ms on CPU, 21.2 ms in the run queue" */
static void add_besides(struct strbuf *out, enum kind kind, const struct cause_facts *f,
			const struct parts *p)
{
	const struct {
		uint64_t ns;
		bool told;
		const char *where;
	} each[] = {
		{ p->on_cpu, kind == KIND_PYTHON || kind == KIND_NATIVE || kind == KIND_GC,
		  "on CPU" },
		{ p->call, kind == KIND_CALL || kind == KIND_LOCK || kind == KIND_DEADLOCK,
		  "blocked" },
		{ p->gil, kind == KIND_GIL, "waiting for the GIL" },
		{ p->run_queue, kind == KIND_RUN_QUEUE, "in the run queue" },
		{ p->throttled, kind == KIND_THROTTLED, "throttled" },
		{ p->pages, kind == KIND_PAGES, "waiting for pages" },
		{ p->stopped, kind == KIND_STOPPED, "stopped" },
	};
	const char *before = "; besides ";

	for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++) {
		if (each[i].told || (double)each[i].ns < (double)f->duration_ns * BESIDES)
			continue;
		strbuf_addf(out, "%s%.1f ms %s", before, ms(each[i].ns), each[i].where);
		before = ", ";
	}
}

void cause__judge(const struct cause_facts *f, const struct cause_seen *seen,
		  char verdict[CAUSE_VERDICT_MAX], struct report_why *out)
{
	struct parts p = split(f);
	struct strbuf text = STRBUF_INIT;
	uint64_t ns = 0;
	enum kind kind = f->measured ? largest(f, seen, &p, &ns) : by_state(seen);
	bool blocked = kind == KIND_CALL || kind == KIND_LOCK || kind == KIND_DEADLOCK;

	if (f->holds_gil)
		strbuf_adds(&text, "the holder of the GIL: ");
	add_cause(&text, kind, f, seen, ns);
	if (f->measured)
		add_besides(&text, kind, f, &p);
	snprintf(verdict, CAUSE_VERDICT_MAX, "%s", strbuf_str(&text) ? strbuf_str(&text) : "");
	verdict[text_utf8_cut(verdict, strlen(verdict), CAUSE_VERDICT_MAX - 1)] = '\0';
	strbuf_free(&text);
	*out = (struct report_why){
		.kind = kind_name[kind],
		.measured = f->measured,
		.on_cpu_ns = p.on_cpu,
		.run_queue_ns = p.run_queue,
		.throttled_ns = p.throttled,
		.blocked_ns = p.call + p.pages,
		.page_fault_ns = p.pages,
		.stopped_ns = p.stopped,
		.gil_wait_ns = p.gil,
		.major_faults = f->faults,
		.call = blocked ? seen->wait.call : "",
		.fd = blocked ? seen->wait.fd : -1,
		.about = blocked ? seen->wait.about : "",
		.futex = blocked ? seen->wait.futex : 0,
		.library = kind == KIND_NATIVE ? seen->library : "",
		.gil_holder = seen->holder,
		.lock_holder = blocked ? seen->lock_holder : 0,
		.gc = seen->gc,
		.verdict = verdict,
	};
}
