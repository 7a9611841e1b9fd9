// SPDX-License-Identifier: MIT OR Apache-2.0
/* A program that has Python in it: runs the source that it is given. */
#include <Python.h>

int main(int argc, char **argv)
{
	int err;

	if (argc != 2)
		return 2;
	Py_Initialize();
	err = PyRun_SimpleString(argv[1]);
	Py_Finalize();
	return err ? 1 : 0;
}
