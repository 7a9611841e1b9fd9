// SPDX-License-Identifier: MIT OR Apache-2.0
#include "gil.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/log.h"
#include "bench.h"
#include "bpf/gil_abi.h"
#include "life.h"
#include "loop.h"
#include "proc/mem.h"
#include "proc/task.h"
#include "stall/policy.h"
#include "stall/resolve.h"
#include "stall/threshold.h"
#include "target.h"

#define MODULE "gil"
#define WORLD_NAME "stop-the-world"

#define SLEEP_TRIES 3
#define MAX_WAITERS 4096 /* told and not over, of all targets */
#define MAX_THREAD_NAME 80 /* a longer one would fill the sentence: its number stands there */

/* One thread that was told to wait, until its wait is over. */
struct waiter {
	uint32_t proc;
	bool leads; /* the stall is this wait */
	uint64_t words; /* the GIL */
	uint64_t start_ns;
	pid_t tid; /* 0 = not in our pid namespace */
	uint64_t covered_ns; /* up to then it was part of a stall that is over, 0 = it still is */
	uint32_t threads; /* leads: most that waited at once */
	struct source_gil wait; /* leads: as it was told, or seen since */
	char name[MAX_THREAD_NAME]; /* leads */
};

/* The last stall of a target that is over: later news of its victims is no news. */
struct last {
	uint64_t words, end_ns;
};

struct gil_judge {
	const struct bench *bench;
	struct py_gils gils[SOURCE_MAX_PROCS]; /* by handle */
	struct last last[SOURCE_MAX_PROCS];
	struct waiter *waiter;
	size_t nwaiters, cap;
	struct {
		uint64_t told, stale, victims, over, doubtful, overflow;
	} count;
};

static uint64_t threshold(const struct gil_judge *j)
{
	return thresholds__of(j->bench->thresholds, "gil", SOURCE_GIL_NAME);
}

struct gil_judge *gil_judge__new(const struct bench *bench)
{
	struct gil_judge *j = calloc(1, sizeof(*j));

	if (j)
		j->bench = bench;
	return j;
}

void gil_judge__free(struct gil_judge *j)
{
	if (!j)
		return;
	free(j->waiter);
	free(j);
}

int gil_judge__look(struct gil_judge *j, struct target *t, struct err *err)
{
	struct py_gils *gils = &j->gils[t->proc];
	struct err why = { { 0 } };
	bool first = !gils->cnt;
	struct python *py;
	int ret;

	if (!j->bench->ops->set_gils)
		return err_set(err, -EOPNOTSUPP, "backend %s does not see who waits for the GIL",
			       j->bench->ops->name);
	py = target__python(t, &why);
	if (!py)
		return err_set(err, t->no_python_is_final ? -EOPNOTSUPP : -ENOENT, "%s", why.text);
	ret = python__gils(py, gils);
	if (ret || !gils->cnt)
		return err_set(err, -ENOENT, "no GIL was found");
	if (gils->cut)
		log_msg(LOG_DEBUG, MODULE, "process %d: only %d of its GILs are watched",
			(int)t->pid, PY_MAX_GILS);
	ret = j->bench->ops->set_gils(j->bench->source, t->proc, gils, err);
	return ret ? ret : first;
}

/* ---- who waits ------------------------------------------------------------------------------- */

static struct waiter *find(struct gil_judge *j, uint32_t proc, uint64_t start_ns)
{
	for (size_t i = 0; i < j->nwaiters; i++)
		if (j->waiter[i].proc == proc && j->waiter[i].start_ns == start_ns)
			return &j->waiter[i];
	return NULL;
}

static struct waiter *find_leader(struct gil_judge *j, uint32_t proc, uint64_t words)
{
	for (size_t i = 0; i < j->nwaiters; i++)
		if (j->waiter[i].leads && j->waiter[i].proc == proc && j->waiter[i].words == words)
			return &j->waiter[i];
	return NULL;
}

/* NULL: there is no room. Valid until the next call. */
static struct waiter *add(struct gil_judge *j, const struct source_event *ev)
{
	size_t cap = j->cap ? j->cap * 2 : 16;
	struct waiter *more;

	if (j->nwaiters == j->cap) {
		more = j->nwaiters < MAX_WAITERS ? reallocarray(j->waiter, cap, sizeof(*more))
						 : NULL;
		if (!more) {
			j->count.overflow++;
			return NULL;
		}
		j->waiter = more;
		j->cap = cap;
	}
	more = &j->waiter[j->nwaiters++];
	*more = (struct waiter){ .proc = ev->proc,
				 .words = ev->gil.words,
				 .start_ns = ev->gil.start_ns,
				 .tid = ev->gil.tid };
	return more;
}

static void drop(struct gil_judge *j, struct waiter *w)
{
	*w = j->waiter[--j->nwaiters];
}

void gil_judge__forget(struct gil_judge *j, uint32_t proc)
{
	for (size_t i = j->nwaiters; i-- > 0;)
		if (j->waiter[i].proc == proc)
			drop(j, &j->waiter[i]);
	j->gils[proc] = (struct py_gils){ 0 };
	j->last[proc] = (struct last){ 0 };
}

/* ---- what is told ---------------------------------------------------------------------------- */

static struct stall_key key_of(uint32_t proc, uint64_t start_ns)
{
	/* no slot page lies at 0 */
	return (struct stall_key){ .proc = proc, .word = start_ns };
}

static void name_thread(char out[MAX_THREAD_NAME], pid_t tid, const char *name)
{
	if (name && *name && strlen(name) < MAX_THREAD_NAME)
		snprintf(out, MAX_THREAD_NAME, "%s", name);
	else if (tid)
		snprintf(out, MAX_THREAD_NAME, "thread %d", (int)tid);
	else
		snprintf(out, MAX_THREAD_NAME, "a thread");
}

static const char *outcome_of(const struct source_gil *g)
{
	return g->left ? "left" : g->unsure ? "unsure" : "got";
}

/* What is said of the GIL by UNTIL_NS, beside the sentence. */
static void set_facts(struct stall *s, const struct waiter *w, uint64_t until_ns, bool ended)
{
	static const char *const kind[] = {
		[GIL_HELD] = "held",
		[GIL_RETAKEN] = "retaken",
		[GIL_QUEUE] = "queue",
	};
	const struct source_gil *g = &w->wait;

	s->gil = (struct report_gil){
		.kind = kind[g->kind],
		.switches = g->moved,
		.drops = g->drops,
		.held_ns = g->held_ns && until_ns > g->held_ns ? until_ns - g->held_ns : 0,
		.waiting = w->threads,
		.outcome = ended ? outcome_of(g) : NULL,
	};
}

/* " while worker held it", and how */
static void say_holder(char *out, size_t size, const struct waiter *w, const struct stall *s,
		       uint64_t waited_ns)
{
	char holder[MAX_THREAD_NAME] = "its holder";
	int n;

	if (*s->thread)
		name_thread(holder, s->tid, s->thread);
	if (w->wait.kind == GIL_QUEUE)
		n = snprintf(out, size, " in a queue, while it went to another thread %llu times",
			     (unsigned long long)s->gil.switches);
	else if (w->wait.kind == GIL_RETAKEN)
		n = snprintf(out, size, " while %s let go and took it again %llu times", holder,
			     (unsigned long long)s->gil.drops);
	else
		n = *s->thread ? snprintf(out, size, " while %s held it", holder) : 0;
	if (n && w->wait.kind == GIL_HELD && s->gil.held_ns < waited_ns - waited_ns / 4)
		snprintf(out + n, size - (size_t)n, ", for the last %.0f ms",
			 (double)s->gil.held_ns / 1e6);
}

/* "3 threads wait for the GIL; MainThread waited 201 ms for it while worker held it" */
static void say_wait(struct err *note, const struct waiter *w, const struct stall *s, bool waits,
		     uint64_t waited_ns)
{
	char others[48], held[MAX_THREAD_NAME + 80] = "";

	if (w->threads == 1)
		snprintf(others, sizeof(others), "1 thread wait%s for the GIL", waits ? "s" : "ed");
	else
		snprintf(others, sizeof(others), "%u threads wait%s for the GIL", w->threads,
			 waits ? "" : "ed");
	say_holder(held, sizeof(held), w, s, waited_ns);
	err_set(note, 0, "%s; %s waited %.0f ms for it%s", others, w->name, (double)waited_ns / 1e6,
		held);
}

/* "MainThread asked all threads to stop and has waited for 201 ms: worker did not; 3 have stopped"
 */
static void say_world(struct err *note, const struct waiter *w, const struct stall *s, bool waits,
		      uint64_t waited_ns)
{
	char who[MAX_THREAD_NAME] = "a thread", stopped[48] = "";

	if (*s->thread)
		name_thread(who, s->tid, s->thread);
	if (w->threads > 1)
		snprintf(stopped, sizeof(stopped), ", %u others %s", w->threads - 1,
			 waits ? "have" : "had");
	err_set(note, 0, "%s asked all threads to stop and %s for %.0f ms: %s %s not%s", w->name,
		waits ? "has waited" : "waited", (double)waited_ns / 1e6, who,
		waits ? "has" : "had", stopped);
}

static int world_of(struct target *t, uint64_t at, struct py_world *out)
{
	struct python *py = target__python(t, NULL);

	*out = (struct py_world){ 0 };
	return py ? python__world(py, at, out) : -ENOENT;
}

static bool is_stopping(struct target *t, uint64_t at)
{
	struct py_world world;

	return !world_of(t, at, &world) && world.stopping;
}

/* ---- looking again --------------------------------------------------------------------------- */

static int read_words(struct target *t, uint64_t words, struct gil_words *out)
{
	return mem__read(t->mem, words, out, sizeof(*out));
}

static bool is_known(const struct gil_judge *j, uint32_t proc, uint64_t words)
{
	for (size_t i = 0; i < j->gils[proc].cnt; i++)
		if (j->gils[proc].words[i] == words)
			return true;
	return false;
}

/* Does TID sleep on what lies in the GIL's words from FROM to TO? */
static bool sleeps_on(const struct target *t, pid_t tid, uint64_t words, uint64_t from, uint64_t to)
{
	struct task_syscall call;

	return !task_syscall__load(t->pid, tid, &call) && call.blocked && call.nr == SYS_futex &&
	       call.arg[0] - words >= from && call.arg[0] - words < to;
}

static bool is_world(const struct gil_judge *j, uint32_t proc, uint64_t at)
{
	for (size_t i = 0; i < j->gils[proc].nworlds; i++)
		if (j->gils[proc].world[i] == at)
			return true;
	return false;
}

/*
 * It was seen waiting when switch_number was so much. It has not had the GIL since if that is still
 * so; nor if it moved by one (to somebody) and the thread sleeps on the GIL's condition.
 */
static bool still_waits(const struct gil_judge *j, struct target *t, const struct source_event *ev)
{
	struct gil_words now;
	uint64_t moved;

	if (ev->gil.stw)
		return is_world(j, ev->proc, ev->gil.words) && is_stopping(t, ev->gil.words);
	if (!is_known(j, ev->proc, ev->gil.words) || read_words(t, ev->gil.words, &now))
		return false;
	moved = now.switches - ev->gil.switches;
	if (moved != 1 || !ev->gil.tid)
		return !moved;
	return sleeps_on(t, ev->gil.tid, ev->gil.words, GIL_COND, GIL_MUTEX_AT);
}

/* ---- the life of a stall --------------------------------------------------------------------- */

/*
 * The kernel sees the end when the thread leaves its CPU the next time or a tick interrupts it. So
 * it is asked where it is, too: a thread that waits is out of its sleep for some us every 5 ms.
 */
static bool goes_on(void *judge, struct target *t, struct stall *s)
{
	const struct gil_judge *j = judge;
	struct waiter *w = find(judge, s->key.proc, s->key.word);

	if (!w || !j->bench->ops->gil_waits(j->bench->source, s->key.proc, w->start_ns, &w->wait))
		return false;
	if (w->wait.stw)
		return is_stopping(t, w->words);
	if (!w->tid)
		return true;
	for (int i = 0; i < SLEEP_TRIES; i++)
		if (sleeps_on(t, w->tid, w->words, GIL_COND, GIL_END))
			return true;
	return false;
}

static void name_waiter(struct waiter *w, const struct looks *l)
{
	for (size_t i = 0; i < l->resolved.nthreads; i++)
		if (w->tid && l->resolved.thread[i].tid == w->tid)
			name_thread(w->name, w->tid, l->resolved.thread[i].name);
}

/* True if the same thread ran on, and was waited for, until the stacks were taken. */
static bool look_at_world(const struct gil_judge *j, struct target *t, struct waiter *w,
			  struct looks *l)
{
	struct py_world before, after;
	struct culprit who = { 0 };

	if (!world_of(t, w->words, &before))
		who.tstate = before.running;
	w->threads = (uint32_t)before.nstopped + 1;
	bench__look(j->bench, t, &who, l);
	name_waiter(w, l);
	return before.running && !world_of(t, w->words, &after) && after.stopping &&
	       after.requester == before.requester && after.running == before.running;
}

/* True if the GIL did not change hands while the stacks were taken. */
static bool look(void *judge, struct target *t, struct stall *s, struct looks *l)
{
	const struct gil_judge *j = judge;
	struct waiter *w = find(judge, s->key.proc, s->key.word);
	struct gil_words before = { 0 }, after = { 0 };
	struct culprit who = { 0 };

	if (!w)
		return false;
	if (w->wait.stw)
		return look_at_world(j, t, w, l);
	if (!read_words(t, w->words, &before))
		who.tstate = before.holder;
	bench__look(j->bench, t, &who, l);
	name_waiter(w, l);
	return before.holder && !read_words(t, w->words, &after) &&
	       after.switches == before.switches && after.holder == before.holder;
}

/* Who waits, and for whom: who holds it now, or did when that was seen last. */
static void say(void *judge, const struct target *t, struct stall *s, uint64_t duration_ns,
		struct looks *l)
{
	const struct waiter *w = find(judge, s->key.proc, s->key.word);

	(void)t;
	if (!w)
		return;
	if (w->wait.stw) {
		if (!l->note.text[0])
			say_world(&l->note, w, s, true, duration_ns);
		return;
	}
	set_facts(s, w, s->start_ns + duration_ns, false);
	if (!l->note.text[0])
		say_wait(&l->note, w, s, true, duration_ns);
}

static const struct stall_ops gil_ops = {
	.source = "gil",
	.goes_on = goes_on,
	.look = look,
	.say = say,
};

static const struct stall_ops stw_ops = {
	.source = "stw",
	.goes_on = goes_on,
	.look = look,
	.say = say,
};

static struct stall *open_stall(struct gil_judge *j, const struct target *t,
				const struct source_event *ev)
{
	struct stall_key key = key_of(ev->proc, ev->gil.start_ns);
	struct stall *s;

	s = policy__open(j->bench->policy, &key, t->pid, ev->gil.stw ? WORLD_NAME : SOURCE_GIL_NAME,
			 ev->gil.start_ns, ev->now_ns, threshold(j));
	if (s) {
		s->ops = ev->gil.stw ? &stw_ops : &gil_ops;
		s->judge = j;
	} else if (errno != EEXIST) {
		log_msg(LOG_WARN, MODULE, "a wait for the GIL is not reported: %s",
			strerror(errno));
	}
	return s;
}

/* How S ended, by W->wait. NOTE holds the sentence. */
static struct stall_end end_of(struct stall *s, const struct waiter *w, struct err *note)
{
	const struct source_gil *g = &w->wait;
	struct stall_end end = { .ns = g->end_ns, .note = note->text };

	if (!g->stw)
		set_facts(s, w, g->end_ns, true);
	if (g->stw)
		say_world(note, w, s, false, g->end_ns > s->start_ns ? g->end_ns - s->start_ns : 0);
	else if (g->unsure)
		end.note = "it may have gone on waiting after a moment with the GIL";
	else if (g->left)
		end.note = "the thread that waited has ended";
	else
		say_wait(note, w, s, false, g->end_ns > s->start_ns ? g->end_ns - s->start_ns : 0);
	return end;
}

static int tell_ended(struct gil_judge *j, struct target *t, struct stall *s, struct waiter *w,
		      const struct source_event *ev, struct err *err)
{
	struct err note = { { 0 } };
	struct stall_end end;

	w->wait = ev->gil;
	end = end_of(s, w, &note);
	return life__ended(j->bench->life, t, s, &end, err);
}

/* Is the wait part of another stall: does the thread that holds the GIL do so in a step of its
 * event loop that was told? */
static bool is_part_of_step(const struct gil_judge *j, struct target *t, uint64_t words)
{
	struct gil_words now;

	return j->bench->loop && !read_words(t, words, &now) &&
	       loop_judge__has_stalled(j->bench->loop, t->proc, now.holder);
}

static int on_wait(struct gil_judge *j, struct target *t, const struct source_event *ev,
		   struct err *err)
{
	struct waiter *w, *leader;
	struct stall *s;

	if (!still_waits(j, t, ev)) {
		j->count.stale++;
		return 0;
	}
	leader = find_leader(j, ev->proc, ev->gil.words);
	if (leader && leader->threads < ev->gil.waiting)
		leader->threads = ev->gil.waiting;
	if (leader || is_part_of_step(j, t, ev->gil.words)) {
		j->count.victims++;
		add(j, ev);
		return 0;
	}
	s = open_stall(j, t, ev);
	if (!s)
		return 0;
	w = add(j, ev);
	if (!w) {
		policy__close(j->bench->policy, s);
		return 0;
	}
	w->leads = true;
	w->threads = ev->gil.waiting ? ev->gil.waiting : 1;
	w->wait = ev->gil;
	name_thread(w->name, w->tid, NULL);
	j->count.told++;
	return life__detected(j->bench->life, t, s, ev, err);
}

/* It was over before anybody could look: both records, no stack. */
static int tell_over(struct gil_judge *j, struct target *t, const struct source_event *ev,
		     struct err *err)
{
	struct waiter w = { .threads = 1, .wait = ev->gil };
	struct stall *s = open_stall(j, t, ev);
	struct err note = { { 0 } };
	struct stall_end end;

	if (!s)
		return 0;
	j->count.told++;
	j->count.over++;
	name_thread(w.name, ev->gil.tid, NULL);
	end = end_of(s, &w, &note);
	return life__over(j->bench->life, t, s,
			  "no stacks: the wait was over before they could be taken", &end, err);
}

/* A stall is over: who waited beside its leader was part of it until then. */
static void cover(struct gil_judge *j, uint32_t proc, uint64_t words, uint64_t end_ns)
{
	for (size_t i = 0; i < j->nwaiters; i++)
		if (j->waiter[i].proc == proc && j->waiter[i].words == words)
			j->waiter[i].covered_ns = end_ns;
	j->last[proc] = (struct last){ words, end_ns };
}

/* A wait that leads no stall is one of its own if it was long beyond those that it was part of. */
static bool is_covered(const struct gil_judge *j, const struct waiter *w,
		       const struct source_event *ev)
{
	const struct last *last = &j->last[ev->proc];
	uint64_t until = w ? w->covered_ns : ev->gil.start_ns;

	if (w && !until)
		return true; /* its stall goes on */
	if (!w && last->words == ev->gil.words && last->end_ns > until)
		until = last->end_ns;
	return ev->gil.end_ns < until || ev->gil.end_ns - until < threshold(j);
}

static int on_end(struct gil_judge *j, struct target *t, const struct source_event *ev,
		  struct err *err)
{
	struct stall_key key = key_of(ev->proc, ev->gil.start_ns);
	struct waiter *found = find(j, ev->proc, ev->gil.start_ns), w;
	struct stall *s;
	int ret = 0;

	if (!found && ev->gil.is_long && ev->gil.doubtful) {
		j->count.doubtful++;
		return 0;
	}
	if (!found && (!ev->gil.is_long || find_leader(j, ev->proc, ev->gil.words)))
		return 0; /* it was not believed, or is part of what is told */
	if (!found || !found->leads) {
		bool covered = is_covered(j, found, ev);

		if (found)
			drop(j, found);
		if (covered)
			return 0;
		ret = tell_over(j, t, ev, err);
		cover(j, ev->proc, ev->gil.words, ev->gil.end_ns);
		return ret;
	}
	w = *found;
	drop(j, found);
	cover(j, w.proc, w.words, ev->gil.end_ns);
	s = policy__find(j->bench->policy, &key);
	return s ? tell_ended(j, t, s, &w, ev, err) : 0;
}

int gil_judge__event(struct gil_judge *j, struct target *t, const struct source_event *ev,
		     struct err *err)
{
	return ev->type == SOURCE_GIL_END ? on_end(j, t, ev, err) : on_wait(j, t, ev, err);
}

void gil_judge__stats(const struct gil_judge *j, struct strbuf *out)
{
	strbuf_addf(out, "gil.stalls %llu\n", (unsigned long long)j->count.told);
	strbuf_addf(out, "gil.over_before_seen %llu\n", (unsigned long long)j->count.over);
	strbuf_addf(out, "gil.other_waiters %llu\n", (unsigned long long)j->count.victims);
	strbuf_addf(out, "gil.stale %llu\n", (unsigned long long)j->count.stale);
	strbuf_addf(out, "gil.doubtful %llu\n", (unsigned long long)j->count.doubtful);
	strbuf_addf(out, "gil.too_many_waiters %llu\n", (unsigned long long)j->count.overflow);
}
