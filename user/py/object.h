/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Objects of the target that are not part of a stack: str, int, dict and the attributes of simple
 * instances, as far as thread names need them. The target changes them meanwhile: every type,
 * length and pointer is checked, and -EINVAL means that something was not what it should be.
 */
#ifndef PERPETUO_PY_OBJECT_H
#define PERPETUO_PY_OBJECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/strbuf.h"
#include "py/target.h"

#define OBJECT_MAX_DICT 65536 /* entries of a dict */

struct dict_entry {
	uint64_t key, value; /* addresses; 0 = none */
};

/* What the head of a keys object says of the entries behind it. */
struct dict_keys {
	uint64_t count; /* deleted ones included */
	uint64_t first; /* offset of the first one */
	size_t words; /* of one; the last two are key and value */
};

struct dict_entries {
	struct dict_entry *entry; /* owned */
	size_t cnt;
};

/* Adds a str of at most MAX characters (sanitised). 0, -EINVAL, -EFAULT, ... */
int object__str(const struct py_target *t, uint64_t addr, size_t max, struct strbuf *out);

/* A non-negative int below 2^64. */
int object__u64(const struct py_target *t, uint64_t addr, uint64_t *out);

/* All entries of a dict, in order (dict_entries__free). -E2BIG: more than OBJECT_MAX_DICT. */
int object__dict(const struct py_target *t, uint64_t addr, struct dict_entries *out);
/* HEAD: at least keys.indices bytes of it. 0 or -EINVAL. */
int dict_keys__parse(const struct py_layout *layout, const struct bytes *head,
		     struct dict_keys *out);
void dict_entries__free(struct dict_entries *entries); /* zeroed structs are fine */

/* The index of the entry whose key is the ASCII string NAME; -ENOENT. */
ssize_t dict_entries__find(const struct py_target *t, const struct dict_entries *entries,
			   const char *name);

/* The value of dict[NAME]: its address in *OUT. -ENOENT. */
int object__dict_get(const struct py_target *t, uint64_t dict, const char *name, uint64_t *out);

/* Where an attribute was found: spares the search in the next instance of the same class. */
struct attribute_hint {
	uint64_t keys; /* the names that instances of the class share; 0 = nothing was found yet */
	size_t index; /* in those */
	uint64_t name; /* the str that is the key; 0 = likewise */
};

/*
 * The attribute NAME of an instance whose class has no slots: its address in *OUT. -ENOENT. HINT
 * (not NULL) belongs to that name and to one walk.
 */
int object__attribute(const struct py_target *t, uint64_t addr, const char *name,
		      struct attribute_hint *hint, uint64_t *out);

#endif
