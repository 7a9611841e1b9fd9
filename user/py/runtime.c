// SPDX-License-Identifier: MIT OR Apache-2.0
#include "py/runtime.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "proc/elf.h"
#include "proc/maps.h"

#define MAX_MODULES 4096 /* mapped files that are looked into */
#define STARTING "the Python in process %d is still starting"

enum module_class { MODULE_EXECUTABLE, MODULE_LIBPYTHON, MODULE_OTHER, MODULE_CLASSES };

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static enum module_class classify(const struct map *map, const char *exe)
{
	if (!strcmp(map->path, exe))
		return MODULE_EXECUTABLE;
	return strncmp(base_name(map->path), "libpython", 9) ? MODULE_OTHER : MODULE_LIBPYTHON;
}

/* The mapping of offset 0 of the file to which the executable mapping I belongs; NULL: none. */
static const struct map *module_start(const struct maps *maps, size_t i)
{
	const struct map *map = maps->map;

	if (!map[i].executable || map[i].path[0] != '/')
		return NULL;
	for (size_t k = 0; k < ELF_MAX_PHDRS; k++) {
		if (!map[i].offset)
			return map[i].readable ? &map[i] : NULL;
		if (!i || strcmp(map[i - 1].path, map[i].path))
			return NULL;
		i--;
	}
	return NULL;
}

/* "3.9" out of python3.9 or libpython3.9.so.1.0 */
static bool version_in_name(const char *path, char out[PY_VERSION_LEN])
{
	const char *name = base_name(path);
	unsigned int major, minor;

	if (!strncmp(name, "lib", 3))
		name += 3;
	if (sscanf(name, "python%2u.%3u", &major, &minor) != 2)
		return false;
	snprintf(out, PY_VERSION_LEN, "%u.%u", major, minor);
	return true;
}

/* The version of a build that does not export it. 0 or -EOPNOTSUPP. */
static int guess_version(const struct map *map, uint64_t size, uint32_t *hex, struct err *err)
{
	char version[PY_VERSION_LEN];
	bool named = version_in_name(map->path, version);

	*hex = py_layout__unversioned(named ? version : NULL, size);
	return *hex ? 0 : py_layout__refuse(named ? version : "before 3.11", err);
}

/* 0 = not there; a process that ends meanwhile is noticed at the end of look_into(). */
static uint64_t symbol(const struct elf *elf, const char *name)
{
	struct elf_symbol s;

	return elf__symbol(elf, name, &s) ? 0 : s.addr;
}

static void find_known(struct py_target *t, const struct elf *elf)
{
	const struct {
		const char *name;
		uint64_t *to;
	} object[] = {
		{ "_Py_NoneStruct", &t->known.none },
		{ "_Py_TrueStruct", &t->known.true_ },
		{ "_Py_FalseStruct", &t->known.false_ },
		{ "PyType_Type", &t->known.type },
		{ "PyCell_Type", &t->known.cell },
		{ "PyLong_Type", &t->known.integer },
		{ "PyFloat_Type", &t->known.number },
		{ "PyBytes_Type", &t->known.bytes },
		{ "PyTuple_Type", &t->known.tuple },
		{ "PyList_Type", &t->known.list },
		{ "PySet_Type", &t->known.set },
		{ "PyFrozenSet_Type", &t->known.frozenset },
	};

	for (size_t i = 0; i < sizeof(object) / sizeof(object[0]); i++)
		*object[i].to = symbol(elf, object[i].name);
}

/* The file exports _PyRuntime: may we walk it, and does it live? */
static int examine(struct py_target *t, const struct elf *elf, const struct elf_symbol *sym,
		   const struct map *map, struct runtime *out, struct err *err)
{
	uint8_t head[PY_RUNTIME_HEAD];
	struct bytes b = { head, sym->size < sizeof(head) ? sym->size : sizeof(head) };
	uint64_t version = symbol(elf, "Py_Version"), main;
	int ret;

	if (!version || mem__read_u32(t->mem, version, &out->hex)) {
		ret = guess_version(map, sym->size, &out->hex, err);
		if (ret)
			return ret;
	}
	if (mem__read(t->mem, sym->addr, head, b.len))
		return err_set(err, -EIO, "cannot read _PyRuntime of process %d", t->pid);
	ret = py_layout__choose(out->hex, sym->size, &b, &t->layout, err);
	if (ret)
		return ret;
	t->runtime = sym->addr;
	t->code_type = symbol(elf, "PyCode_Type");
	t->str_type = symbol(elf, "PyUnicode_Type");
	t->dict_type = symbol(elf, "PyDict_Type");
	find_known(t, elf);
	if (!t->code_type)
		return err_set(err, -EOPNOTSUPP,
			       "the Python in process %d does not export PyCode_Type", t->pid);
	ret = mem__read_u64(t->mem, t->runtime + t->layout.runtime.interpreters_main, &main);
	if (ret || !main)
		return err_set(err, -ENOENT, STARTING, t->pid);
	out->size = sym->size;
	return 0;
}

/* -ENOENT without a word in ERR: not this one. */
static int look_into(struct py_target *t, const struct map *map, struct runtime *out,
		     struct err *err)
{
	struct elf_symbol sym;
	struct elf elf;
	int ret;

	ret = elf__open(t->mem, map->start, &elf);
	if (!ret)
		ret = elf__symbol(&elf, "_PyRuntime", &sym);
	if (ret == -ESRCH || ret == -EPERM)
		return err_set(err, ret, "cannot read the memory of process %d any more", t->pid);
	if (ret)
		return -ENOENT;
	ret = examine(t, &elf, &sym, map, out, err);
	if (ret && mem__check(t->mem))
		return err_set(err, -ESRCH, "process %d has ended or runs another program", t->pid);
	if (!ret)
		text_copy_clean(out->path, sizeof(out->path), map->path, map->path_len);
	return ret;
}

static int search(struct py_target *t, const struct maps *maps, const char *exe,
		  struct runtime *out, struct err *err)
{
	const struct map *start, *last;
	size_t modules = 0;
	int ret;

	for (enum module_class wanted = 0; wanted < MODULE_CLASSES; wanted++) {
		last = NULL;
		for (size_t i = 0; i < maps->cnt && modules < MAX_MODULES; i++) {
			start = module_start(maps, i);
			if (!start || start == last || classify(start, exe) != wanted)
				continue;
			last = start;
			modules++;
			ret = look_into(t, start, out, err);
			/* another copy may be the one that runs */
			if (ret == -ENOENT)
				continue;
			out->in_executable = wanted == MODULE_EXECUTABLE;
			return ret;
		}
	}
	return -ENOENT;
}

/* Nothing exports _PyRuntime: too old, or no Python at all. */
static int explain(const struct py_target *t, const struct maps *maps, struct err *err)
{
	char version[PY_VERSION_LEN];

	if (err->text[0])
		return -ENOENT;
	for (size_t i = 0; i < maps->cnt; i++) {
		if (!maps->map[i].executable || !version_in_name(maps->map[i].path, version))
			continue;
		/* the loader has not mapped or relocated all of it */
		if (py_layout__known(version))
			return err_set(err, -ENOENT, STARTING, t->pid);
		return py_layout__refuse(version, err);
	}
	return err_set(err, -ENOENT,
		       "there is no Python in process %d (no mapped file exports _PyRuntime)",
		       t->pid);
}

int runtime__find_in(struct py_target *t, const struct maps *maps, const char *exe,
		     struct runtime *out, struct err *err)
{
	struct err local = { 0 };
	int ret;

	*out = (struct runtime){ 0 };
	ret = search(t, maps, exe, out, &local);
	if (ret == -ENOENT)
		ret = explain(t, maps, &local);
	if (ret && err)
		*err = local;
	return ret;
}

int runtime__find(struct py_target *t, struct runtime *out, struct err *err)
{
	char link[64], exe[PATH_MAX];
	struct maps maps;
	ssize_t n;
	int ret;

	/* fails when the first thread has ended: then no file is known to be the executable */
	snprintf(link, sizeof(link), "/proc/%d/exe", t->pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	ret = maps__load(t->pid, &maps, err);
	if (ret)
		return ret;
	ret = runtime__find_in(t, &maps, exe, out, err);
	maps__free(&maps);
	return ret;
}
