// SPDX-License-Identifier: MIT OR Apache-2.0
/* Records for machines: read back, held against the schema, and made with no memory left. */
#include "sink/sink.h"

#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sample_report.h"
#include "sink/format.h"
#include "tap.h"

#define PYTHON "/usr/bin/python3"
#define CHECKER "tests/lib/json-check.py"
#define SCHEMA "tests/data/record.schema.json"

extern char **environ;

static const struct sink_style plain = { .colour = false };

/* The record as a reader sees it: exactly one line, valid JSON; NULL otherwise. */
static json_t *parse(struct strbuf *out)
{
	const char *line = strbuf_str(out);
	json_error_t error;
	json_t *root;

	if (!line || !out->len || strchr(line, '\n') != line + out->len - 1)
		return NULL;
	root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		diag("%s at %d: %s", error.text, error.position, line);
	return root;
}

static json_t *stall_of(const struct report_stall *r)
{
	struct strbuf out = STRBUF_INIT;
	json_t *root;

	sink_json.stall(&out, &plain, r);
	root = parse(&out);
	strbuf_free(&out);
	return root;
}

/* Follows "a/b/0/c". NULL when there is no such value. */
static const json_t *at(const json_t *root, const char *path)
{
	char part[64];
	size_t len;

	for (; root && *path; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		root = json_is_array(root) ? json_array_get(root, strtoul(part, NULL, 10))
					   : json_object_get(root, part);
	}
	return root;
}

static const char *str(const json_t *root, const char *path)
{
	return json_string_value(at(root, path));
}

static int64_t num(const json_t *root, const char *path)
{
	const json_t *value = at(root, path);

	return json_is_integer(value) ? json_integer_value(value) : -1;
}

static void exact_text(void)
{
	struct strbuf out = STRBUF_INIT;
	struct report_stall r = sample_detected;

	r.nthreads = 1;
	sink_json.stall(&out, &plain, &r);
	is_str(strbuf_str(&out),
	       "{\"time\":\"2026-11-21T13:42:24.123456+00:00\",\"severity\":\"WARNING\","
	       "\"message\":\"Stall detected\","
	       "\"additional_info\":{\"name\":\"billing\",\"pid\":\"1234\"},"
	       "\"stall\":{\"id\":\"1234-7\",\"event\":\"detected\",\"source\":\"slot\","
	       "\"pid\":1234,\"tid\":1240,\"thread\":\"MainThread\","
	       "\"start_time\":\"2026-11-21T13:42:23.922056+00:00\","
	       "\"start_monotonic_ns\":88201400000,\"reported_monotonic_ns\":88402800000,"
	       "\"duration_ms\":201.4,\"start_exact\":true,\"end_exact\":false,"
	       "\"stack_consistent\":true,\"suppressed\":0,\"untold\":0,\"note\":\"\","
	       "\"why\":{\"kind\":\"system_call\",\"on_cpu_ms\":0.3,\"run_queue_ms\":0.1,"
	       "\"throttled_ms\":0.0,\"blocked_ms\":201.0,\"stopped_ms\":0.0,"
	       "\"gil_wait_ms\":0.0,\"page_fault_ms\":0.0,\"major_faults\":0,"
	       "\"syscall\":\"read\",\"fd\":5,\"file\":\"/srv/billing/rates\","
	       "\"futex\":null,\"library\":null,\"gil_holder_tid\":null,"
	       "\"lock_holder_tid\":null,\"gc\":false,\"verdict\":"
	       "\"blocked for 201.0 of 201.4 ms in read(fd 5: /srv/billing/rates)\"},"
	       "\"task\":\"serve-17\",\"gil\":null,"
	       "\"threads\":[{\"name\":\"MainThread\",\"tid\":1240,\"ident\":139637976731648,"
	       "\"state\":\"blocked\",\"uninterruptible\":false,\"syscall\":\"read\",\"fd\":5,"
	       "\"file\":\"/srv/billing/rates\",\"futex\":null,\"holds_gil\":false,"
	       "\"waits_gil\":false,\"exact\":true,\"note\":\"\",\"cut\":0,\"cut_at\":0,"
	       "\"task\":\"serve-17\",\"native\":["
	       "{\"library\":null,\"function\":null,\"offset\":0,\"address\":\"0x7f0000900000\"},"
	       "{\"library\":\"rates.so\",\"function\":\"load\",\"offset\":32,"
	       "\"address\":\"0x7f0000201520\"},"
	       "{\"library\":\"rates.so\",\"function\":null,\"offset\":4864,"
	       "\"address\":\"0x7f0000201300\"},"
	       "{\"library\":\"rates.so\",\"function\":null,\"offset\":4595,"
	       "\"address\":\"0x7f00002011f3\"},"
	       "{\"library\":\"libc.so.6\",\"function\":\"read\",\"offset\":13,"
	       "\"address\":\"0x7f0000100d0d\"}],"
	       "\"native_note\":\"incomplete: it leads to what is no code\",\"kernel\":["
	       "{\"function\":\"vfs_read\",\"module\":null,\"offset\":812},"
	       "{\"function\":\"nfs_wait_bit_killable\",\"module\":\"nfs\",\"offset\":77}],"
	       "\"responsible\":true,\"same\":false}],"
	       "\"tasks\":[],\"tasks_found\":0,\"tasks_note\":\"\"},"
	       "\"stall_details\":{\"length_ms\":201.4,\"relevant_traces\":[["
	       "{\"name\":\"<module>\",\"filename\":\"/srv/billing/__main__.py\",\"line\":80,"
	       "\"end_line\":null,\"column\":null,\"end_column\":null,"
	       "\"source\":null,\"locals\":null},"
	       "{\"name\":\"serve\",\"filename\":\"/srv/billing/web.py\",\"line\":71,"
	       "\"end_line\":null,\"column\":null,\"end_column\":null,"
	       "\"source\":null,\"locals\":null},"
	       "{\"name\":\"render\",\"filename\":\"/srv/billing/report.py\",\"line\":42,"
	       "\"end_line\":null,\"column\":null,\"end_column\":null,"
	       "\"source\":null,\"locals\":null}]],"
	       "\"other_traces\":[],\"cmdline\":[\"python3\",\"-m\",\"billing\",\"it's a b\",\"\"],"
	       "\"rate_limited\":false}}\n",
	       "a record, key by key and in order");
	strbuf_free(&out);
}

static void stalls(void)
{
	json_t *root = stall_of(&sample_detected);
	struct report_stall r = sample_ended;

	is_int(json_array_size(at(root, "stall_details/other_traces")), 2, "two other threads");
	is_str(str(root, "stall_details/other_traces/0/0/name"), "_bootstrap", "root frame first");
	is_int(num(root, "stall_details/other_traces/0/0/line"), 0, "an unknown line is 0");
	is_int(num(root, "stall/threads/1/cut"), 3, "frames that were cut are counted");
	is_str(str(root, "stall/threads/1/name"), "worker-1", "threads run parallel to traces");
	ok(json_is_true(at(root, "stall/threads/1/holds_gil")), "who holds the GIL");
	ok(json_is_null(at(root, "stall/threads/2/tid")), "an unknown tid is null");
	json_decref(root);

	root = stall_of(&sample_limited);
	ok(json_is_true(at(root, "stall_details/rate_limited")), "rate limited");
	is_int(json_array_size(at(root, "stall/tasks")), 0, "without stacks there are no tasks");
	is_int(num(root, "stall/suppressed"), 2, "what was suppressed is counted");
	ok(json_is_null(at(root, "stall/tid")) && json_is_null(at(root, "stall/thread")),
	   "an unknown responsible thread is null");
	json_decref(root);

	r.duration_ns = 86400000123456;
	root = stall_of(&r);
	is_str(str(root, "message"), "Stall ended", "the end");
	ok(json_real_value(at(root, "stall/duration_ms")) == 86400000.123,
	   "a day in ms has its microseconds");
	ok(json_is_true(at(root, "stall/end_exact")), "an exact end");
	json_decref(root);
}

static void info(void)
{
	struct strbuf out = STRBUF_INIT;
	struct report_info r = sample_info;

	sink_json.info(&out, &plain, &sample_info);
	is_str(strbuf_str(&out),
	       "{\"time\":\"2026-11-21T13:42:24.123456+00:00\",\"severity\":\"INFO\","
	       "\"message\":\"Successfully monitoring pid 1234\","
	       "\"additional_info\":{\"pid\":\"1234\"}}\n",
	       "an info record, as perpetuo's, with the time");
	strbuf_reset(&out);
	r.pid = 0;
	r.severity = REPORT_ERROR;
	sink_json.info(&out, &plain, &r);
	ok(strbuf_str(&out) && strstr(out.data, "\"severity\":\"ERROR\"") &&
		   strstr(out.data, "\"additional_info\":{}}"),
	   "an info record about no process");
	strbuf_free(&out);
}

static void hostile(void)
{
	struct report_frame frame = { .name = SAMPLE_HOSTILE, .file = SAMPLE_HOSTILE, .line = -1 };
	struct report_thread thread = sample_threads[0];
	const char *const argv[] = { SAMPLE_HOSTILE };
	struct report_stall r = sample_detected;
	json_t *root;

	thread.name = thread.note = SAMPLE_HOSTILE;
	thread.ident = UINT64_MAX;
	thread.frame = &frame;
	thread.nframes = 1;
	r.name = r.note = r.thread = SAMPLE_HOSTILE;
	r.suppressed = UINT64_MAX;
	r.thread_list = &thread;
	r.nthreads = 1;
	r.cmdline = argv;
	r.ncmdline = 1;
	root = stall_of(&r);
	is_str(str(root, "additional_info/name"), SAMPLE_CLEANED, "a hostile name does no harm");
	is_str(str(root, "stall_details/relevant_traces/0/0/filename"), SAMPLE_CLEANED,
	       "nor does a file name");
	is_str(str(root, "stall_details/cmdline/0"), SAMPLE_CLEANED, "nor does an argument");
	is_int(num(root, "stall_details/relevant_traces/0/0/line"), 0, "nor a negative line");
	is_int(num(root, "stall/suppressed"), INT64_MAX, "nor a number that JSON readers lose");
	json_decref(root);
}

static void endless(void)
{
	enum { N = 300000 };
	struct report_frame *frames = calloc(N, sizeof(*frames));
	struct report_thread thread = sample_threads[0];
	struct report_stall r = sample_detected;
	json_t *root;
	size_t shown;

	for (int i = 0; frames && i < N; i++)
		frames[i] = (struct report_frame){ .name = "f", .file = "g", .line = i + 1 };
	thread.frame = frames;
	thread.nframes = frames ? N : 0;
	r.thread_list = &thread;
	r.nthreads = 1;
	root = stall_of(&r);
	shown = json_array_size(at(root, "stall_details/relevant_traces/0"));
	ok(shown > 1000 && shown < FORMAT_MAX_FRAME_BYTES / 64, "a record has a ceiling");
	is_int(num(root, "stall/threads/0/cut"), (int64_t)(N - shown),
	       "what is left out is counted");
	json_decref(root);
	free(frames);
}

static void write_each(struct strbuf *out)
{
	sink_json.stall(out, &plain, &sample_detected);
	sink_json.info(out, &plain, &sample_info);
	sink_json.summary(out, &plain, &sample_summary);
	sink_json.dump(out, &plain, &sample_dump);
}

/* Memory ends at each byte once: the record is marked as failed, never half of one. */
static void no_memory(void)
{
	struct strbuf out = STRBUF_INIT;
	bool marked;
	size_t len;

	write_each(&out);
	len = out.len;
	strbuf_free(&out);
	out = (struct strbuf){ .data = malloc(STRBUF_MAX), .cap = STRBUF_MAX };
	marked = out.data && len > 1000;
	for (size_t room = 1; marked && room <= len + 1; room++) {
		out.failed = false;
		out.len = STRBUF_MAX - room;
		write_each(&out);
		marked = out.failed == (room <= len);
	}
	ok(marked, "records without memory (%zu times) are failed ones", len);
	strbuf_free(&out);
}

/* Runs the checker that all tests use on LINE. Its exit status, or -1. */
static int check_line(const char *line)
{
	char path[] = "/tmp/perpetuo-json.XXXXXX";
	char *const argv[] = { (char *)PYTHON, (char *)CHECKER, (char *)SCHEMA, path, NULL };
	posix_spawn_file_actions_t quiet;
	int fd = mkstemp(path);
	int status = -1;
	pid_t pid;

	if (fd < 0)
		return -1;
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (write(fd, line, strlen(line)) == (ssize_t)strlen(line) &&
	    !posix_spawn(&pid, PYTHON, &quiet, NULL, argv, environ) &&
	    waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		status = WEXITSTATUS(status);
	else
		status = -1;
	posix_spawn_file_actions_destroy(&quiet);
	close(fd);
	unlink(path);
	return status;
}

static bool have_checker(void)
{
	char *const argv[] = { (char *)PYTHON, (char *)"-c", (char *)"import jsonschema", NULL };
	int status = -1;
	pid_t pid;

	return !posix_spawn(&pid, PYTHON, NULL, NULL, argv, environ) &&
	       waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Changes the first FROM in the record R to TO (same length) and asks the schema. */
static int check_changed(const struct report_stall *r, const char *from, const char *to)
{
	struct strbuf out = STRBUF_INIT;
	char *found;
	int status = -1;

	sink_json.stall(&out, &plain, r);
	found = strbuf_str(&out) ? strstr(out.data, from) : NULL;
	if (found && strlen(from) == strlen(to)) {
		memcpy(found, to, strlen(to));
		status = check_line(out.data);
	}
	strbuf_free(&out);
	return status;
}

static void schema(void)
{
	struct strbuf out = STRBUF_INIT;

	sink_json.stall(&out, &plain, &sample_detected);
	sink_json.stall(&out, &plain, &sample_limited);
	sink_json.stall(&out, &plain, &sample_ended);
	sink_json.info(&out, &plain, &sample_info);
	sink_json.summary(&out, &plain, &sample_summary);
	sink_json.dump(&out, &plain, &sample_dump);
	is_int(strbuf_str(&out) ? check_line(out.data) : -1, 0, "the schema allows every record");
	strbuf_free(&out);
	is_int(check_changed(&sample_detected, "\"suppressed\"", "\"oppressed\" "), 1,
	       "it refuses a key that it does not know");
	is_int(check_changed(&sample_detected, "\"start_exact\":true", "\"start_exact\":null"), 1,
	       "it refuses a value of another type");
	is_int(check_changed(&sample_detected, "\"billing\"", "\"b\\u001b\""), 1,
	       "it refuses a control character");
	is_int(check_changed(&sample_detected, "123456+00:00", "123456 00:00"), 1,
	       "it refuses a time that is none");
}

static void locals(void)
{
	static const struct report_local local[] = { { "n", "[1, 2]" }, { "later", NULL } };
	static const struct sink_style with = { .locals = true };
	struct report_frame frame[2] = { sample_stuck[0], sample_stuck[1] };
	struct report_thread thread = sample_threads[0];
	struct report_stall r = sample_detected;
	struct strbuf out = STRBUF_INIT;
	json_t *root;

	frame[0].local = frame[1].local = local;
	frame[0].nlocals = 2;
	frame[0].locals_cut = 6;
	thread.frame = frame;
	thread.nframes = 2;
	r.thread_list = &thread;
	r.nthreads = 1;
	root = stall_of(&r);
	ok(json_is_null(at(root, "stall_details/relevant_traces/0/1/locals")) &&
		   !at(root, "stall_details/relevant_traces/0/1/locals_cut"),
	   "local variables are null where they are not wanted");
	json_decref(root);
	sink_json.stall(&out, &with, &r);
	root = parse(&out);
	is_str(str(root, "stall_details/relevant_traces/0/1/locals/0/value"), "[1, 2]", "a value");
	ok(json_is_null(at(root, "stall_details/relevant_traces/0/1/locals/1/value")),
	   "null where nothing is bound");
	is_int(num(root, "stall_details/relevant_traces/0/1/locals_cut"), 6,
	       "how many are left out");
	is_int(json_array_size(at(root, "stall_details/relevant_traces/0/0/locals")), 0,
	       "a frame without any");
	json_decref(root);
	if (have_checker())
		is_int(check_line(out.data), 0, "the schema allows it");
	else
		skip(1, "no jsonschema for %s", PYTHON);
	strbuf_free(&out);
}

/* A crowd of tasks with deep chains does not make a record without end. */
static void tasks(void)
{
	enum { N = 64, DEPTH = 256 };
	struct report_frame frame[DEPTH];
	struct report_task task[N];
	struct report_stall r = sample_detected;
	struct strbuf out = STRBUF_INIT;
	json_t *root;

	for (int i = 0; i < DEPTH; i++)
		frame[i] = sample_waiting[1];
	for (int i = 0; i < N; i++) {
		task[i] = sample_tasks[1];
		task[i].parent = REPORT_NO_INDEX;
		task[i].frame = frame;
		task[i].nframes = DEPTH;
	}
	r.tasks = (struct report_tasks){ task, N, 10000, "" };
	sink_json.stall(&out, &plain, &r);
	ok(out.len < 4 * FORMAT_MAX_TASK_BYTES, "the tasks of a record have a ceiling");
	root = parse(&out);
	is_int(json_array_size(at(root, "stall/tasks")), N, "all of them are there");
	is_int(num(root, "stall/tasks/63/cut"), DEPTH, "frames left out are counted");
	is_int(num(root, "stall/tasks_found"), 10000, "and so are the tasks");
	json_decref(root);
	strbuf_free(&out);
}

static void dump(void)
{
	struct strbuf out = STRBUF_INIT;
	json_t *root;

	sink_json.dump(&out, &plain, &sample_dump);
	root = parse(&out);
	is_str(str(root, "message"), "Dump", "a dump");
	is_str(str(root, "dump/threads/0/frames/2/name"), "render", "innermost frame last");
	is_int(json_array_size(at(root, "dump/threads/2/frames")), 0, "a thread without frames");
	is_int(num(root, "dump/threads/1/tid"), 1241, "a thread's tid");
	is_str(str(root, "dump/threads/0/task"), "serve-17", "the task that a thread runs");
	ok(json_is_null(at(root, "dump/threads/1/task")), "or none");
	ok(json_is_null(at(root, "dump/tasks/0/parent")), "a task without a parent");
	is_int(num(root, "dump/tasks/1/parent"), 0, "and one with");
	is_int(num(root, "dump/tasks/1/count"), 25, "tasks that look the same");
	is_str(str(root, "dump/tasks/1/waits_for"), "sleep", "what they wait for");
	is_str(str(root, "dump/tasks/1/frames/1/name"), "sleep", "their innermost frame last");
	ok(json_is_null(at(root, "dump/tasks/2/thread")), "a loop whose thread is not known");
	is_int(num(root, "dump/tasks_found"), 30, "how many there are");
	is_str(str(root, "dump/greenlets/0/type"), "greenlet", "the class of a greenlet");
	is_int(num(root, "dump/greenlets/0/count"), 8, "greenlets that look the same");
	is_int(num(root, "dump/greenlets/0/cut"), 2, "outer frames that are left out");
	is_str(str(root, "dump/greenlets/0/frames/2/name"), "render", "innermost frame last");
	ok(json_is_null(at(root, "dump/greenlets/1/thread")), "one whose thread is not known");
	is_int(num(root, "dump/greenlets_found"), 9, "how many there are");
	json_decref(root);
	strbuf_free(&out);
}

int main(void)
{
	setenv("TZ", "UTC0", 1);
	tzset();
	plan(59);
	exact_text();
	stalls();
	info();
	hostile();
	endless();
	no_memory();
	dump();
	tasks();
	locals();
	if (have_checker())
		schema();
	else
		skip(5, "no jsonschema for %s", PYTHON);
	return done();
}
