# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Reads the TAP output of one test. Prints "counts PASSED FAILED SKIPPED", then a line
# "problem TEXT" for each thing that is failed and a line "skip TEXT" for each that is skipped.
# Set by the caller: status (exit status), limit (the time limit, when it was hit; otherwise 0).

function fail(text)
{
	failed++
	problem[++problems] = text
}

function skip(text)
{
	skipped++
	reason[skipped] = text
}

/^1\.\.[0-9]+/ {
	if (planned++)
		fail("a second plan: " $0)
	else if (run)
		fail("the plan came after the first result")
	split($0, part, /\.\./)
	plan = part[2] + 0
	if ($0 ~ /^1\.\.0 # SKIP ./) {
		skip_all = substr($0, index($0, "SKIP ") + 5)
	} else if (!plan) {
		fail("an empty plan, and no reason for it: " $0)
	}
	next
}

/^(not )?ok([ \t]|$)/ {
	run++
	number = ($1 == "not") ? $3 : $2
	if (number != run "")
		fail("out of order: '" $0 "' is result number " run)
	else if (planned && run > plan)
		fail("more results than planned (" plan "): " $0)
	else if ($1 == "not")
		fail($0)
	else if ($0 ~ /# SKIP/)
		skip($0)
	else
		passed++
}

END {
	if (limit)
		fail("timed out after " limit " s")
	else if (status > 128 && status < 193)
		fail("killed by signal " status - 128)

	if (!planned)
		fail("no plan")
	# Each counts; one line names them.
	if (run < plan) {
		fail("missing result " run + 1 (run + 1 < plan ? " to " plan : "") " of " plan)
		failed += plan - run - 1
	}

	if (skip_all != "" && status == 4 && !failed)
		skip(skip_all)
	else if (skip_all != "" && !limit)
		fail("said that it skips, but its exit status is " status ", not 4")
	else if (status && !failed)
		fail("exit status " status ", though no result failed")

	print "counts", passed + 0, failed + 0, skipped + 0
	for (number = 1; number <= problems; number++)
		print "problem", problem[number]
	for (number = 1; number <= skipped; number++)
		print "skip", reason[number]
}
