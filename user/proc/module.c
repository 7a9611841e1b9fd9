// SPDX-License-Identifier: MIT OR Apache-2.0
#include "proc/module.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "proc/elf.h"
#include "proc/procfile.h"

#define PAGE 4096
#define MAX_STEPS 64 /* mappings of one file before the one that holds its code */
#define MOUNTINFO_MAX (1u << 20)

/* ---- bytes ----------------------------------------------------------------------------------- */

static int read_fd(int fd, uint64_t off, void *buf, size_t len)
{
	if (off > INT64_MAX)
		return -EINVAL;
	return pread(fd, buf, len, (off_t)off) == (ssize_t)len ? 0 : -EINVAL;
}

/* At an offset in the file. */
static int read_file(const struct module *m, uint64_t off, void *buf, size_t len)
{
	if (m->fd >= 0)
		return read_fd(m->fd, off, buf, len);
	return m->in_memory ? mem__read(m->mem, m->base + off, buf, len) : -ENOENT;
}

/* At a vaddr, within one segment. */
static int read_vaddr(const struct module *m, uint64_t vaddr, void *buf, size_t len)
{
	uint64_t in;

	for (size_t i = 0; i < m->nloads; i++) {
		in = vaddr - m->load[i].vaddr;
		if (vaddr < m->load[i].vaddr || in > m->load[i].len || len > m->load[i].len - in)
			continue;
		return m->fd >= 0 ? read_fd(m->fd, m->load[i].offset + in, buf, len)
				  : mem__read(m->mem, m->bias + vaddr, buf, len);
	}
	return -EINVAL;
}

/* ---- which file ------------------------------------------------------------------------------ */

static bool same_file(const struct map *a, const struct map *b)
{
	return a->inode == b->inode && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor && a->path_len == b->path_len &&
	       !memcmp(a->path, b->path, a->path_len);
}

/* The mapping of the first byte of the file that is mapped at MAP, or NULL. */
static const struct map *first_map(const struct maps *maps, const struct map *map)
{
	for (size_t i = 0; i < MAX_STEPS && map - i >= maps->map; i++)
		if (same_file(map - i, map) && !(map - i)->offset)
			return map - i;
	return NULL;
}

/*
 * 36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 *
 * Only file systems that cannot be on another machine: what is not known may be.
 */
static bool is_local_mount(const char *line, size_t len, const char *dev)
{
	static const char *const local[] = { " - overlay ", " - btrfs ",    " - tmpfs ",
					     " - rootfs ",  " - zfs ",	    " - bcachefs ",
					     " - ramfs ",   " - squashfs ", " - erofs " };

	if (!memmem(line, len, dev, strlen(dev)))
		return false;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if (memmem(line, len, local[i], strlen(local[i])))
			return true;
	return false;
}

static bool is_local(pid_t pid, const struct map *map)
{
	char path[64], dev[32], *text = NULL, *line, *end;
	bool local = map->dev_major != 0;
	ssize_t len;

	if (local)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	snprintf(dev, sizeof(dev), " %u:%u ", map->dev_major, map->dev_minor);
	len = procfile__slurp(&text, MOUNTINFO_MAX, path);
	for (line = text; len > 0 && line < text + len && !local; line = end + 1) {
		end = memchr(line, '\n', (size_t)(text + len - line));
		if (!end)
			break;
		local = is_local_mount(line, (size_t)(end - line), dev);
	}
	free(text);
	return local;
}

/*
 * The file by its path inside the root of the process, or -1. What it is, is known before it is
 * opened: to open a device can do something. Nothing is asked of a server, nor of a disk.
 */
static int open_file(pid_t pid, const struct map *map)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	char path[64];
	int root, at, fd = -1;
	struct stat st;

	if (*map->path != '/')
		return -1;
#ifdef RESOLVE_CACHED
	how.resolve |= RESOLVE_CACHED;
#endif
	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	at = (int)syscall(SYS_openat2, root, map->path, &how, sizeof(how));
	close(root);
	if (at < 0)
		return -1;
	if (!fstat(at, &st) && S_ISREG(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	close(at);
	return fd;
}

/* The headers and, with the usual linkers, the build id stand in the first page. */
static bool is_mapped_file(const struct module *m, int fd)
{
	unsigned char mapped[PAGE], on_disk[PAGE];

	return !read_fd(fd, 0, on_disk, PAGE) && !mem__read(m->mem, m->base, mapped, PAGE) &&
	       !memcmp(mapped, on_disk, PAGE);
}

static void set_name(struct module *m, const struct map *map)
{
	const char *slash = memrchr(map->path, '/', map->path_len);
	const char *name = slash ? slash + 1 : map->path;

	text_copy_clean(m->name, sizeof(m->name), name, map->path_len - (size_t)(name - map->path));
}

/* ---- headers --------------------------------------------------------------------------------- */

static void add_segment(struct module *m, const Elf64_Phdr *ph)
{
	if (ph->p_type == PT_GNU_EH_FRAME)
		m->table = ph->p_vaddr;
	if (ph->p_type != PT_LOAD || m->nloads == MODULE_MAX_LOADS)
		return;
	m->load[m->nloads].vaddr = ph->p_vaddr;
	m->load[m->nloads].len = ph->p_filesz;
	m->load[m->nloads].offset = ph->p_offset;
	m->load[m->nloads].code = ph->p_flags & PF_X;
	m->nloads++;
}

/* From the file, or (FD -1) from where its first byte is mapped. */
static int read_headers(struct module *m)
{
	static const unsigned char ident[] = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB };
	Elf64_Phdr ph[ELF_MAX_PHDRS];
	size_t len = sizeof(ph[0]);
	Elf64_Ehdr eh;
	int err;

	err = m->fd >= 0 ? read_fd(m->fd, 0, &eh, sizeof(eh))
			 : mem__read(m->mem, m->base, &eh, sizeof(eh));
	if (err)
		return err;
	if (memcmp(eh.e_ident, ident, sizeof(ident)) || eh.e_phentsize != len || !eh.e_phnum ||
	    eh.e_phnum > ELF_MAX_PHDRS)
		return -ENOEXEC;
	len *= eh.e_phnum;
	err = m->fd >= 0 ? read_fd(m->fd, eh.e_phoff, ph, len)
			 : mem__read(m->mem, m->base + eh.e_phoff, ph, len);
	if (err)
		return err;
	for (size_t i = 0; i < eh.e_phnum; i++)
		add_segment(m, &ph[i]);
	if (eh.e_shentsize == sizeof(Elf64_Shdr) && eh.e_shnum <= MODULE_MAX_SECTIONS) {
		m->sections = eh.e_shoff;
		m->nsections = eh.e_shnum;
	}
	return m->nloads ? 0 : -ENOEXEC;
}

/* The segment of code of which MAP is a piece tells where the file lies. */
static int find_bias(struct module *m, const struct map *map)
{
	uint64_t from;

	for (size_t i = 0; i < m->nloads; i++) {
		from = m->load[i].offset & ~(uint64_t)(PAGE - 1);
		if (!m->load[i].code || map->offset < from ||
		    map->offset >= m->load[i].offset + m->load[i].len)
			continue;
		m->bias = map->start - (m->load[i].vaddr + (map->offset - m->load[i].offset));
		return 0;
	}
	return -ENOEXEC;
}

int module__open(struct module *m, pid_t pid, struct mem *mem, const struct maps *maps,
		 const struct map *map)
{
	const struct map *first = first_map(maps, map);
	int err;

	*m = (struct module){ .mem = mem, .fd = -1 };
	set_name(m, map);
	m->in_memory = !strcmp(map->path, "[vdso]");
	if (!first || (!m->in_memory && !map->inode))
		return -ENOENT;
	if (!m->in_memory && !is_local(pid, map))
		return -EREMOTE;
	m->base = first->start;
	m->fd = m->in_memory ? -1 : open_file(pid, map);
	if (m->fd >= 0 && !is_mapped_file(m, m->fd)) {
		close(m->fd);
		m->fd = -1;
	}
	err = read_headers(m);
	if (!err)
		err = find_bias(m, map);
	if (err)
		module__close(m);
	return err;
}

int module__from_fd(struct module *m, int fd)
{
	int err;

	*m = (struct module){ .fd = fd };
	err = read_headers(m);
	if (err)
		module__close(m);
	return err;
}

void module__close(struct module *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

/* ---- tables for unwinding -------------------------------------------------------------------- */

/* .eh_frame_hdr: a sorted table of functions. The one format that linkers write. */
struct frame_header {
	uint8_t version, frames_enc, count_enc, table_enc;
	int32_t frames;
	uint32_t count;
};

struct frame_entry {
	int32_t start, fde; /* from the header */
};

#define COUNT_ENC 0x03 /* udata4 */
#define TABLE_ENC 0x3b /* sdata4, from the header */

static uint64_t entry_vaddr(const struct module *m, uint64_t index)
{
	return m->table + sizeof(struct frame_header) + index * sizeof(struct frame_entry);
}

/* The FDE of the last function that begins at or before VADDR. */
static int find_fde(const struct module *m, uint64_t vaddr, uint64_t *fde)
{
	struct frame_header head;
	struct frame_entry e;
	uint64_t lo = 0, hi, mid;
	int err;

	if (!m->table)
		return -ENOENT;
	err = read_vaddr(m, m->table, &head, sizeof(head));
	if (err)
		return err;
	if (head.version != 1 || head.count_enc != COUNT_ENC || head.table_enc != TABLE_ENC ||
	    head.count > MODULE_MAX_FDES)
		return -EOPNOTSUPP;
	hi = head.count;
	*fde = 0;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		err = read_vaddr(m, entry_vaddr(m, mid), &e, sizeof(e));
		if (err)
			return err;
		if (m->table + (uint64_t)(int64_t)e.start <= vaddr) {
			*fde = m->table + (uint64_t)(int64_t)e.fde;
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return *fde ? 0 : -ENOENT;
}

/* A whole entry at VADDR, of which BUF has room for CAP bytes. */
static int read_entry(const struct module *m, uint64_t vaddr, uint8_t *buf, size_t cap,
		      struct bytes *out)
{
	uint32_t len;
	int err = read_vaddr(m, vaddr, &len, sizeof(len));

	if (err)
		return err;
	if (len < 4 || len > cap - 4)
		return -EINVAL;
	err = read_vaddr(m, vaddr, buf, len + 4);
	*out = (struct bytes){ buf, len + 4 };
	return err;
}

int module__row(const struct module *m, uint64_t vaddr, struct cfi_row *out)
{
	uint8_t shared[256], *own = malloc(CFI_MAX_ENTRY);
	struct bytes common, fde;
	struct cfi_common c;
	uint64_t at;
	int err;

	if (!own)
		return -ENOMEM;
	err = find_fde(m, vaddr, &at);
	if (!err)
		err = read_entry(m, at, own, CFI_MAX_ENTRY, &fde);
	if (!err)
		err = read_entry(m, at + 4 - cfi__common_distance(&fde), shared, sizeof(shared),
				 &common);
	if (!err)
		err = cfi_common__parse(&common, &c);
	if (!err)
		err = cfi_row__find(&fde, at, &c, vaddr, out);
	free(own);
	return err;
}

/* ---- symbols --------------------------------------------------------------------------------- */

#define STEP 1024 /* symbols that are read at once */

struct symbol_table {
	Elf64_Shdr symbols, names;
};

/* The full table, or where it was stripped the one for other modules. */
static int find_table(const struct module *m, struct symbol_table *out)
{
	static const uint32_t types[] = { SHT_SYMTAB, SHT_DYNSYM };
	Elf64_Shdr *sh = calloc(m->nsections ? m->nsections : 1, sizeof(*sh));
	int err = -ENOENT;

	if (!sh)
		return -ENOMEM;
	if (!m->nsections || read_file(m, m->sections, sh, m->nsections * sizeof(*sh)))
		goto out;
	for (size_t t = 0; t < 2 && err; t++) {
		for (size_t i = 0; i < m->nsections && err; i++) {
			if (sh[i].sh_type != types[t] || sh[i].sh_entsize != sizeof(Elf64_Sym) ||
			    sh[i].sh_link >= m->nsections ||
			    sh[i].sh_size / sizeof(Elf64_Sym) > MODULE_MAX_SYMBOLS)
				continue;
			*out = (struct symbol_table){ sh[i], sh[sh[i].sh_link] };
			err = 0;
		}
	}
out:
	free(sh);
	return err;
}

/* What covers the address best: one with a size before one without, the later start. */
struct candidate {
	bool found;
	Elf64_Sym sym;
};

static bool is_code(const Elf64_Sym *s)
{
	unsigned int type = ELF64_ST_TYPE(s->st_info);

	return s->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC);
}

static void consider(struct candidate *c, uint64_t vaddr, const Elf64_Sym *s)
{
	if (vaddr < s->st_value || (s->st_size && vaddr - s->st_value >= s->st_size))
		return;
	if (!s->st_size && vaddr != s->st_value)
		return;
	if (c->found && c->sym.st_value >= s->st_value)
		return;
	*c = (struct candidate){ true, *s };
}

static void name_symbol(const struct module *m, const struct symbol_table *t, const Elf64_Sym *s,
			struct symbol *out)
{
	char raw[SYMBOL_NAME_MAX];
	size_t len = sizeof(raw);

	if (s->st_name >= t->names.sh_size)
		return;
	if (t->names.sh_size - s->st_name < len)
		len = t->names.sh_size - s->st_name;
	if (t->names.sh_offset > INT64_MAX ||
	    read_file(m, t->names.sh_offset + s->st_name, raw, len))
		return;
	text_copy_clean(out->name, sizeof(out->name), raw, strnlen(raw, len));
	out->start = s->st_value;
}

void module__symbols(const struct module *m, struct symbol *symbol, size_t n)
{
	struct candidate *best = calloc(n ? n : 1, sizeof(*best));
	Elf64_Sym *part = malloc(STEP * sizeof(*part));
	struct symbol_table t;
	uint64_t cnt = 0, step;

	for (size_t i = 0; i < n; i++)
		symbol[i].name[0] = '\0';
	if (best && part && !find_table(m, &t))
		cnt = t.symbols.sh_size / sizeof(*part);
	for (uint64_t i = 0; i < cnt; i += step) {
		step = cnt - i < STEP ? cnt - i : STEP;
		if (t.symbols.sh_offset > INT64_MAX ||
		    read_file(m, t.symbols.sh_offset + i * sizeof(*part), part,
			      step * sizeof(*part)))
			break;
		for (size_t k = 0; k < step; k++)
			for (size_t w = 0; w < n && is_code(&part[k]); w++)
				consider(&best[w], symbol[w].vaddr, &part[k]);
	}
	for (size_t i = 0; cnt && i < n; i++)
		if (best[i].found)
			name_symbol(m, &t, &best[i].sym, &symbol[i]);
	free(part);
	free(best);
}
