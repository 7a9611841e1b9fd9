// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/unwind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proc/maps.h"

#define WINDOW 8192 /* bytes of the stack that are read at once */
#define MAX_WINDOWS 16 /* and so often */

struct known_module {
	const struct map *map;
	struct module module;
	bool usable;
};

struct unwinder {
	pid_t pid;
	struct mem *mem;
	struct maps maps;
	struct known_module known[UNWIND_MAX_MODULES];
	size_t nknown;

	struct unwind_copy copy;
	uint8_t window[WINDOW];
	uint64_t window_addr;
	size_t window_len, nwindows;
};

/* Of a frame: where it is, in which file. */
struct place {
	struct known_module *in; /* NULL: in none */
	uint64_t vaddr; /* of an instruction of the function itself */
};

/* ---- the stack ------------------------------------------------------------------------------- */

static bool copy_from(const struct unwind_copy *c, uint64_t addr, uint64_t *out)
{
	if (addr < c->addr || c->len < sizeof(*out) || addr - c->addr > c->len - sizeof(*out))
		return false;
	memcpy(out, c->data + (addr - c->addr), sizeof(*out));
	return true;
}

/* As much of a window from ADDR on as there is: a stack may end within. */
static int move_window(struct unwinder *u, uint64_t addr)
{
	int err = -EFAULT;

	if (u->nwindows == MAX_WINDOWS)
		return -EFAULT;
	u->nwindows++;
	u->window_addr = addr;
	u->window_len = 0;
	for (size_t len = WINDOW; len >= 8 && err == -EFAULT; len /= 4) {
		err = mem__read(u->mem, addr, u->window, len);
		if (!err)
			u->window_len = len;
	}
	return err;
}

static int read_word(struct unwinder *u, uint64_t addr, uint64_t *out)
{
	struct unwind_copy window = { u->window_addr, u->window, u->window_len };
	int err;

	if (u->copy.len)
		return copy_from(&u->copy, addr, out) ? 0 : -EFAULT;
	if (copy_from(&window, addr, out))
		return 0;
	err = move_window(u, addr);
	if (err)
		return err;
	memcpy(out, u->window, sizeof(*out));
	return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static struct known_module *module_at(struct unwinder *u, uint64_t addr)
{
	const struct map *map = maps__find(&u->maps, addr);
	struct known_module *k;

	if (!map || !map->executable || !*map->path)
		return NULL;
	for (size_t i = 0; i < u->nknown; i++)
		if (u->known[i].map == map)
			return &u->known[i];
	if (u->nknown == UNWIND_MAX_MODULES)
		return NULL;
	k = &u->known[u->nknown++];
	k->map = map;
	k->usable = !module__open(&k->module, u->pid, u->mem, &u->maps, map);
	return k;
}

static struct place find_place(struct unwinder *u, uint64_t addr)
{
	struct place p = { .in = module_at(u, addr) };

	if (p.in)
		p.vaddr = p.in->usable ? addr - p.in->module.bias
				       : addr - p.in->map->start + p.in->map->offset;
	return p;
}

static bool is_code(const struct unwinder *u, uint64_t addr)
{
	const struct map *map = maps__find(&u->maps, addr);

	return map && map->executable;
}

/* ---- from frame to frame --------------------------------------------------------------------- */

/* The caller's registers by ROW. 0; -ENOENT: there is no caller; -EOPNOTSUPP, -EFAULT. */
static int step_by_row(struct unwinder *u, const struct cfi_row *row, struct unwind_regs *r)
{
	struct unwind_regs next = { .knows_fp = false };
	uint64_t cfa;
	int err;

	if (row->ra.kind == CFI_UNDEFINED)
		return -ENOENT;
	if (row->base == CFI_BASE_OTHER || (row->base == CFI_BASE_FP && !r->knows_fp) ||
	    row->ra.kind != CFI_OFFSET)
		return -EOPNOTSUPP;
	cfa = (row->base == CFI_BASE_SP ? r->sp : r->fp) + (uint64_t)row->off;
	/* a stack grows down: that ends loops of frames */
	if (cfa <= r->sp || cfa % 8)
		return -EFAULT;
	err = read_word(u, cfa + (uint64_t)row->ra.off, &next.ip);
	if (err)
		return err;
	next.sp = cfa;
	if (row->fp.kind == CFI_OFFSET) {
		next.knows_fp = !read_word(u, cfa + (uint64_t)row->fp.off, &next.fp);
	} else if (row->fp.kind == CFI_SAME) {
		next.fp = r->fp;
		next.knows_fp = r->knows_fp;
	}
	*r = next;
	return 0;
}

/* Code without such information, if it keeps frame pointers: as it does if they lead to code. */
static int step_by_pointer(struct unwinder *u, struct unwind_regs *r)
{
	struct unwind_regs next = { .knows_fp = true };

	if (!r->knows_fp || r->fp < r->sp || r->fp % 8 || r->fp > UINT64_MAX - 16)
		return -EOPNOTSUPP;
	if (read_word(u, r->fp, &next.fp) || read_word(u, r->fp + 8, &next.ip))
		return -EFAULT;
	if (!is_code(u, next.ip))
		return -EOPNOTSUPP;
	next.sp = r->fp + 16;
	*r = next;
	return 0;
}

static int step(struct unwinder *u, const struct place *p, struct unwind_regs *r, bool *signal)
{
	struct cfi_row row;
	int err = -ENOENT;

	if (p->in && p->in->usable)
		err = module__row(&p->in->module, p->vaddr, &row);
	*signal = !err && row.signal;
	if (!err)
		return step_by_row(u, &row, r);
	return err == -ENOMEM ? err : step_by_pointer(u, r);
}

static const char *note_of(int err)
{
	return err == -EFAULT ? "incomplete: the stack could not be read"
			      : "incomplete: the caller of the outermost frame cannot be found";
}

static int walk(struct unwinder *u, const struct unwind_regs *regs, struct place *place,
		struct native_stack *out)
{
	struct unwind_regs r = *regs;
	bool inside = true; /* ADDR is where it is, not where it will go on */
	int err = 0;

	for (out->cnt = 0; out->cnt < UNWIND_MAX_FRAMES; inside = false) {
		struct native_frame *f = &out->frame[out->cnt];
		bool signal;

		if (!is_code(u, r.ip)) {
			out->note = "incomplete: it leads to what is no code";
			return 0;
		}
		*f = (struct native_frame){ .addr = r.ip };
		place[out->cnt] = find_place(u, inside ? r.ip : r.ip - 1);
		err = step(u, &place[out->cnt++], &r, &signal);
		if (err == -ENOENT)
			return 0;
		if (err) {
			out->note = note_of(err);
			return err == -ENOMEM || err == -ESRCH || err == -EPERM ? err : 0;
		}
		inside = signal;
	}
	out->note = "more frames are not shown";
	return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static void name_frames_of(struct known_module *k, struct native_stack *s,
			   const struct place *place)
{
	struct symbol symbol[UNWIND_MAX_FRAMES];
	size_t n = 0, at = 0;

	for (size_t i = 0; i < s->cnt; i++)
		if (place[i].in == k)
			symbol[n++].vaddr = place[i].vaddr;
	if (!n)
		return;
	module__symbols(&k->module, symbol, n);
	for (size_t i = 0; i < s->cnt; i++) {
		struct native_frame *f = &s->frame[i];

		if (place[i].in != k)
			continue;
		memcpy(f->library, k->module.name, sizeof(f->library));
		f->offset = f->addr - k->map->start + k->map->offset;
		if (k->usable)
			f->offset = f->addr - k->module.bias;
		if (symbol[at].name[0]) {
			memcpy(f->function, symbol[at].name, sizeof(f->function));
			f->offset -= symbol[at].start;
		}
		at++;
	}
}

/* Functions of CPython that run Python code: what is outside of them, Python's own frames tell. */
static bool runs_python(const char *function)
{
	static const char *const names[] = { "_PyEval_EvalFrame", "PyEval_EvalFrame",
					     "_PyEval_Vector", "PyEval_EvalCode", "_TAIL_CALL_" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(function, names[i], strlen(names[i])))
			return true;
	return false;
}

static void cut_at_python(struct native_stack *s)
{
	for (size_t i = 0; i < s->cnt; i++) {
		if (!runs_python(s->frame[i].function))
			continue;
		s->cnt = i;
		s->note = "";
	}
}

int native_stack__unwind(pid_t pid, struct mem *mem, const struct unwind_regs *regs,
			 const struct unwind_copy *copy, struct native_stack *out)
{
	struct unwinder *u = calloc(1, sizeof(*u));
	struct place place[UNWIND_MAX_FRAMES];
	int err;

	out->cnt = 0;
	out->note = "";
	if (!u)
		return -ENOMEM;
	u->pid = pid;
	u->mem = mem;
	if (copy)
		u->copy = *copy;
	err = maps__load(pid, &u->maps, NULL);
	if (!err)
		err = walk(u, regs, place, out);
	for (size_t i = 0; i < u->nknown; i++)
		name_frames_of(&u->known[i], out, place);
	cut_at_python(out);
	for (size_t i = 0; i < u->nknown; i++)
		module__close(&u->known[i].module);
	maps__free(&u->maps);
	free(u);
	return err;
}
