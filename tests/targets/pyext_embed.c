// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * pyext_embed.c - a process that outlives its interpreter, and starts another one.
 *
 * After each stage it writes the stage's name and waits for a byte on stdin, so that the test can
 * look at its pages meanwhile.
 */
#include <Python.h>

#include <stdio.h>
#include <unistd.h>

static void stage(const char *name)
{
	char byte;

	printf("%s\n", name);
	fflush(stdout);
	if (read(STDIN_FILENO, &byte, 1) < 0)
		perror("read");
}

static int run(const char *code)
{
	int err;

	Py_Initialize();
	err = PyRun_SimpleString(code);
	stage("running");
	Py_Finalize();
	return err;
}

int main(void)
{
	if (run("import perpetuo, threading\n"
		"tracker = perpetuo.StallTracker('first', threading.get_ident())\n"
		"tracker._leak()\n"))
		return 1;
	stage("finalized");
	if (run("import perpetuo, threading\n"
		"tracker = perpetuo.StallTracker('second', threading.get_ident())\n"))
		return 1;
	stage("finalized");
	return 0;
}
