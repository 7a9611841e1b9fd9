// SPDX-License-Identifier: MIT OR Apache-2.0
/* The command line: what each option does, and what is refused in which words. */
#include "options.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

#define MAX_WORDS 16

static struct options opts;
static struct err err;

/* Parses LINE, split at blanks ("''" is an empty word). */
static int parse(const char *line)
{
	static char words[1024];
	static char *argv[MAX_WORDS + 2];
	char *save = NULL;
	int argc = 0;

	snprintf(words, sizeof(words), "%s", line);
	argv[argc++] = (char *)"perpetuo-bpf";
	for (char *w = strtok_r(words, " ", &save); w && argc <= MAX_WORDS;
	     w = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(w, "''") ? w : (char *)"";
	argv[argc] = NULL;
	err.text[0] = '\0';
	return options__parse(argc, argv, &opts, &err);
}

static void defaults(void)
{
	is_int(parse("--pid 1234"), 0, "a pid is enough");
	is_int(opts.mode, MODE_WATCH, "it is watched");
	ok(opts.npids == 1 && opts.pids[0] == 1234, "it is that one");
	is_int(opts.poll_ns, 50 * NSEC_PER_MSEC, "--poll-interval is 50 ms");
	is_int(opts.thresholds.alert_ns, 200 * NSEC_PER_MSEC, "--alert-interval is 200 ms");
	is_int(opts.suppress_ns, 30 * NSEC_PER_SEC, "--traceback-suppress is 30 s");
	is_str(opts.backend, "auto", "--backend is auto");
	ok(opts.locals && !opts.json && !opts.stats && !opts.verbose, "locals yes, the rest no");
	ok(!opts.output && !opts.user && !opts.command, "no output, no user, no command");
	ok(!opts.follow && !parse("--follow --pid 7") && opts.follow, "children on request");
}

static void everything(void)
{
	is_int(parse("-v --stats --json-mode --no-print-locals --backend=poll -o /tmp/x -p 2 -p3"),
	       0, "short and long options, joined and apart");
	ok(opts.verbose && opts.stats && opts.json && !opts.locals, "switches");
	is_str(opts.backend, "poll", "--backend");
	is_str(opts.output, "/tmp/x", "-o");
	ok(opts.npids == 2 && opts.pids[0] == 2 && opts.pids[1] == 3, "two processes");
	is_int(parse("--pid 2 --no-print-locals --print-locals --json"), 0, "opposites");
	ok(opts.locals && opts.json, "the last one counts; --json");
	is_int(parse("-p 2 --pid 2 --pid=0002"), 0, "a process may be named twice");
	is_int(opts.npids, 1, "and is watched once");
}

static void modes(void)
{
	is_int(parse("--alert-interval 1 watch 7 --json"), 0, "upstream's form");
	ok(opts.mode == MODE_WATCH && opts.pids[0] == 7 && opts.json, "options on either side");
	is_int(parse("dump 7 8 --json"), 0, "dump");
	ok(opts.mode == MODE_DUMP && opts.npids == 2 && opts.json, "of several processes");
	is_int(parse("top --once 7"), 0, "top");
	ok(opts.mode == MODE_TOP && opts.pids[0] == 7 && opts.once, "once");
	is_int(parse("--user nobody -v -- dump 7 --pid 8 --"), 0, "a command");
	is_int(opts.mode, MODE_RUN, "is run");
	ok(opts.command && !strcmp(opts.command[0], "dump") && !strcmp(opts.command[3], "8") &&
		   !strcmp(opts.command[4], "--") && !opts.command[5],
	   "its words are its own");
	ok(opts.verbose && opts.npids == 0, "those before it are ours");
	is_str(opts.user, "nobody", "--user");
	is_int(parse("--features"), 0, "--features");
	is_int(opts.mode, MODE_FEATURES, "needs no process");
	is_int(parse("-vh --nonsense"), 0, "--help");
	is_int(opts.mode, MODE_HELP, "is a result, whatever follows");
	is_int(parse("--version"), 0, "--version");
	is_int(opts.mode, MODE_VERSION, "is a result");
}

static void locals(void)
{
	parse("dump 7");
	ok(!opts.locals && !opts.show_secrets && !opts.nredact, "dump: no locals, no secrets");
	parse("dump 7 --locals");
	ok(opts.locals, "unless it is told to");
	parse("--print-locals dump 7");
	ok(opts.locals, "in upstream's words, too");
	parse("-p 7 --locals --no-print-locals");
	ok(!opts.locals, "the last one counts");
	is_int(parse("-p 7 --redact ^a$ --redact=b|c --show-secrets"), 0, "patterns");
	ok(opts.nredact == 2 && !strcmp(opts.redact[0], "^a$") && !strcmp(opts.redact[1], "b|c") &&
		   opts.show_secrets,
	   "are kept in order");
}

static void sources(void)
{
	parse("-p 7");
	is_int(opts.sources, OPTIONS_SOURCE_SLOT | OPTIONS_SOURCE_GIL | OPTIONS_SOURCE_LOOP,
	       "all sources");
	is_int(parse("-p 7 --sources gil"), 0, "one source");
	is_int(opts.sources, OPTIONS_SOURCE_GIL, "and no other");
	is_int(parse("-p 7 --sources gil,slot,gil"), 0, "several");
	is_int(opts.sources, OPTIONS_SOURCE_SLOT | OPTIONS_SOURCE_GIL, "in any order");
}

static void thresholds(void)
{
	static const char *const bad[] = {
		"5", "=5", "a=", "a=9ms", "a=25h", "a=1s,", "a=-1s", "=", "a=1s=",
	};
	char line[256];
	int held = 0;

	is_int(parse("-p 1 --gil-threshold 1s --loop-threshold 3h"), 0, "thresholds of sources");
	ok(opts.thresholds.gil_ns == NSEC_PER_SEC &&
		   opts.thresholds.loop_ns == 3 * 3600 * NSEC_PER_SEC && !opts.thresholds.nrules,
	   "are kept");
	is_int(parse("-p 1 --threshold db*=20ms --threshold a=b=1.5s"), 0, "thresholds by name");
	ok(opts.thresholds.nrules == 2 && opts.thresholds.rule[0].ns == 20 * NSEC_PER_MSEC &&
		   opts.thresholds.rule[1].ns == 1500 * NSEC_PER_MSEC,
	   "in their order");
	ok(!strcmp(opts.thresholds.rule[0].name, "db*") &&
		   !strcmp(opts.thresholds.rule[1].name, "a=b"),
	   "the last = ends the name");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "-p 1 --threshold %s", bad[i]);
		held += parse(line) == -EINVAL && strstr(err.text, "--threshold");
	}
	is_int(held, sizeof(bad) / sizeof(bad[0]), "what is none is quoted");
	snprintf(line, sizeof(line), "-p 1 --threshold %064d=1s", 0);
	ok(parse(line) == -EINVAL && strstr(err.text, "1 to 63 bytes"), "a name has its limit");
}

static void durations(void)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{ "0.2", 200000000 },	    { "1", NSEC_PER_SEC },  { ".5", 500000000 },
		{ "250ms", 250000000 },	    { "1.5s", 1500000000 }, { "2m", 120 * NSEC_PER_SEC },
		{ "24h", 86400000000000 },  { "10ms", 10000000 },   { "10000us", 10000000 },
		{ "10000000ns", 10000000 }, { "2e-1", 200000000 },  { "0.1000000001", 100000000 },
	};
	static const char *const bad[] = {
		"''",	"nan",	 "NaN",	  "inf",    "infinity", "-1",	  "-0.2", "+1",	    "0",
		"0x10", "1e999", "1e300", "9.99ms", "24.001h",	"25h",	  "1min", "1sec",   "1S",
		"ms",	".",	 "1..2",  "abc",    "1,5",	"0x1p3s", "1e",	  "200ms2", "1d",
	};
	char line[64];
	int held = 0;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(line, sizeof(line), "-p 1 --alert-interval %s", good[i].text);
		if (!parse(line) && opts.thresholds.alert_ns == good[i].ns)
			held++;
		else
			diag("%s: %llu ns", good[i].text,
			     (unsigned long long)opts.thresholds.alert_ns);
	}
	is_int(held, sizeof(good) / sizeof(good[0]), "durations with and without unit");
	held = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "-p 1 --alert-interval %s", bad[i]);
		if (parse(line) == -EINVAL && strstr(err.text, "--alert-interval") &&
		    strstr(err.text, "10ms to 24h"))
			held++;
		else
			diag("%s: %s", bad[i], err.text);
	}
	is_int(held, sizeof(bad) / sizeof(bad[0]), "what is none is refused");
	is_int(parse("-p 1 --traceback-suppress 0"), 0, "0 is allowed where it means something");
	is_int(opts.suppress_ns, 0, "and is 0");
	is_int(parse("-p 1 --poll-interval 0"), -EINVAL, "and nowhere else");
	is_int(parse("-p 1 --poll-interval 1ms"), 0, "the least interval");
	is_int(parse("-p 1 --poll-interval 999us"), -EINVAL, "and below it");
}

static void refused(void)
{
	static const struct {
		const char *line, *text;
	} bad[] = {
		{ "", "nothing to watch: give --pid PID or -- COMMAND" },
		{ "-v", "nothing to watch: give --pid PID or -- COMMAND" },
		{ "--pid x", "--pid wants a process id from 1 to 4194304, not 'x'" },
		{ "--pid ''", "--pid wants a process id from 1 to 4194304, not ''" },
		{ "--pid 0", "--pid wants a process id from 1 to 4194304, not '0'" },
		{ "--pid -5", "--pid wants a process id from 1 to 4194304, not '-5'" },
		{ "-p +5", "--pid wants a process id from 1 to 4194304, not '+5'" },
		{ "-p 5x", "--pid wants a process id from 1 to 4194304, not '5x'" },
		{ "-p 4194305", "--pid wants a process id from 1 to 4194304, not '4194305'" },
		{ "-p 18446744073709551617",
		  "--pid wants a process id from 1 to 4194304, not '18446744073709551617'" },
		{ "dump x", "dump wants a process id from 1 to 4194304, not 'x'" },
		{ "dump", "dump wants a process id, and none follows" },
		{ "watch", "watch wants a process id, and none follows" },
		{ "12", "what to do with '12'? '--pid 12' watches it" },
		{ "python3 x.py",
		  "unknown command 'python3' (to run a program and watch it: '-- python3 ...')" },
		{ "--pid", "--pid wants a value (PID), and none follows" },
		{ "-o", "--output wants a value (FILE), and none follows" },
		{ "-p 1 -o -", "--output wants a file, not '-' (for a pipe leave it out)" },
		{ "-p 1 -o ''", "--output wants a FILE, not ''" },
		{ "-p 1 --sources slot,",
		  "--sources wants slot, gil, loop or some of them, not 'slot,'" },
		{ "-p 1 --sources gill",
		  "--sources wants slot, gil, loop or some of them, not 'gill'" },
		{ "-p 1 --backend ebpf", "--backend wants auto, bpf or poll, not 'ebpf'" },
		{ "-p 1 --json=yes", "--json takes no value: '--json=yes'" },
		{ "-p 1 --redact ''", "--redact wants a REGEX, not ''" },
		{ "-p 1 --redact", "--redact wants a value (REGEX), and none follows" },
		{ "-p 1 --redact a(b",
		  "--redact: 'a(b' is no regular expression: Unmatched ( or \\(" },
		{ "-p 1 --bogus", "unknown or ambiguous option '--bogus'" },
		{ "-p 1 --p 2", "unknown or ambiguous option '--p'" },
		{ "-p 1 -vx", "unknown option '-x'" },
		{ "--", "no command behind '--'" },
		{ "-p 1 -- x", "--pid and '--' exclude each other" },
		{ "watch 1 -- x", "'watch' and '--' exclude each other" },
		{ "-p 1 --user x", "--user is for a command ('-- COMMAND'), there is none" },
		{ "--features -p 1", "--features looks at no process: leave out the rest" },
		{ "--features -- x", "--features looks at no process: leave out the rest" },
		{ "--features dump 1", "--features looks at no process: leave out the rest" },
	};
	char line[64], want[64];
	int held = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i].line) == -EINVAL && !strcmp(err.text, bad[i].text))
			held++;
		else
			diag("%s: %s", bad[i].line, err.text);
	}
	is_int(held, sizeof(bad) / sizeof(bad[0]), "each mistake is named");
	snprintf(line, sizeof(line), "-p %d", getpid());
	snprintf(want, sizeof(want), "--pid: %d is perpetuo-bpf itself", getpid());
	is_int(parse(line), -EINVAL, "we do not watch ourselves");
	is_str(err.text, want, "and say so");
	is_int(parse("-p 1"), 0, "a mistake leaves nothing behind");
}

static void many(void)
{
	static char pid[OPTIONS_MAX_PIDS + 1][16];
	static char *argv[2 * (OPTIONS_MAX_PIDS + 1) + 2];
	int argc = 1;

	argv[0] = (char *)"perpetuo-bpf";
	for (int i = 0; i <= OPTIONS_MAX_PIDS; i++) {
		snprintf(pid[i], sizeof(pid[i]), "%d", 4000000 + i);
		argv[argc++] = (char *)"-p";
		argv[argc++] = pid[i];
	}
	is_int(options__parse(argc - 2, argv, &opts, &err), 0,
	       "as many processes as there is room");
	is_int(opts.npids, OPTIONS_MAX_PIDS, "are all taken");
	is_int(options__parse(argc, argv, &opts, &err), -EINVAL, "one more is refused");
}

static void help(void)
{
	struct strbuf out = STRBUF_INIT;
	size_t longest = 0, len;

	options__help(&out);
	for (const char *p = strbuf_str(&out); p && *p; p += len + (p[len] == '\n')) {
		len = strcspn(p, "\n");
		longest = len > longest ? len : longest;
	}
	ok(longest > 60 && longest <= 80, "--help fits into 80 columns (%zu)", longest);
	ok(strstr(out.data, "\n      --alert-interval TIME ") &&
		   strstr(out.data, "(default 200ms)\n"),
	   "it has the defaults");
	ok(strstr(out.data, "\nDetection:\n") && strstr(out.data, "\nReports:\n"), "in sections");
	strbuf_free(&out);
}

int main(void)
{
	plan(71);
	defaults();
	everything();
	modes();
	locals();
	sources();
	thresholds();
	durations();
	refused();
	many();
	help();
	return done();
}
