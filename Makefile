# SPDX-License-Identifier: MIT OR Apache-2.0
#
# perpetuo-bpf is built out of tree; source lists are wildcards, so a new file needs no edit here.
# CONTRIBUTING.md has the map of the house.
#
#: Targets
#:   all              the loader, the BPF skeleton and the Python extension (the default)
#:   extension        the Python extension alone, in $(O)/python
#:   tests            test programs and test targets
#:   check            build all of it and run tests/run (TESTS="--list", TESTS="-k GLOB unit", ...)
#:   fuzz, fuzz-run   build the fuzz targets; run each for FUZZ_SECONDS (10)
#:   bench            run the benchmarks
#:   install          loader, man page and bash completion (PREFIX=/usr/local, DESTDIR=)
#:   install-python   the Python package (PYTHONDIR= overrides where)
#:   uninstall        remove what install put there
#:   clean            remove the build directory
#: Variables
#:   O=DIR            build directory (build, or build/sanitize with SANITIZE)
#:   V=1              show the commands
#:   CC=gcc|clang     compiler of the loader, the extension and the tests
#:   CLANG=clang      compiler of the BPF programs and the fuzz targets
#:   PYTHON=python3   interpreter for which the extension is built
#:   WERROR=1         warnings are errors
#:   SANITIZE=address,undefined   build the loader and the tests with sanitizers

ifneq ($(origin CC),command line)
ifneq ($(origin CC),environment)
CC := gcc
endif
endif
CXX := $(if $(findstring clang,$(CC)),clang++,g++)
CLANG ?= clang
BPFTOOL ?= $(shell PATH="$$PATH:/usr/sbin:/sbin" command -v bpftool)
PYTHON ?= python3
SANITIZE ?=
O ?= build$(if $(SANITIZE),/sanitize)
FUZZ_SECONDS ?= 10
TESTS ?=

PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man/man8
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions

ifeq ($(V),1)
Q :=
say =
else
Q := @
say = @printf '  %-8s%s\n' '$(1)' '$(2)'
MAKEFLAGS += --no-print-directory
endif

MACHINE := $(patsubst aarch64,arm64,$(shell uname -m))
BPF_ARCH := $(patsubst x86_64,x86,$(MACHINE))

# ---- flags ---------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wundef -Wwrite-strings -Wimplicit-fallthrough
WARNINGS += $(if $(filter 1,$(WERROR)),-Werror)
C_WARNINGS := -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -I. -Iuser -I$(O) -D_GNU_SOURCE
ifeq ($(SANITIZE),)
HARDEN := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
else
HARDEN := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
OPT := -O2 -g
C_FLAGS := -std=gnu11 $(OPT) -fPIE $(WARNINGS) $(C_WARNINGS) $(HARDEN) $(CPPFLAGS) $(CFLAGS)
CXX_FLAGS := -std=c++17 $(OPT) -fPIE $(WARNINGS) $(HARDEN) $(CPPFLAGS) $(CXXFLAGS)
LD_FLAGS := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
LIBS := -lbpf -lelf -lz -ljansson -lpthread
DEPS = -MMD -MP

BPF_FLAGS := -target bpf -mcpu=v3 -g -O2 -std=gnu11 -D__TARGET_ARCH_$(BPF_ARCH)
BPF_FLAGS += -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -I. -isystem vmlinux/$(MACHINE)

# ---- what there is -------------------------------------------------------------------------------

LIB_SRC := $(filter-out user/main.c,$(wildcard user/*.c user/*/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(O)/%.o)
LIB := $(if $(LIB_OBJ),$(O)/libperpetuo.a)
LOADER := $(if $(wildcard user/main.c),$(O)/perpetuo-bpf)

BPF_SRC := bpf/core.bpf.c $(filter-out bpf/core.bpf.c,$(wildcard bpf/*.bpf.c))
BPF_OBJ := $(BPF_SRC:%.c=$(O)/%.o)
SKEL := $(if $(BPF_SRC),$(O)/perpetuo.skel.h)
GENERATED := $(SKEL) $(O)/syscall_names.h

UNIT_C := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
UNIT_CXX := $(patsubst %.cpp,$(O)/%-cpp,$(wildcard tests/unit/test_*.cpp))
# What embeds Python is built by its test, for each libpython there is; a library by its test, too.
TARGETS := $(patsubst %.c,$(O)/%,$(filter-out %_embed.c %_lib.c,$(wildcard tests/targets/*.c)))
FUZZERS := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# One look at the interpreter: "<include directory> <file name of the extension> <gil|free> ", or nothing.
PY_QUERY := import os, sysconfig as s; i = s.get_path("include"); \
	free = bool(s.get_config_var("Py_GIL_DISABLED")); \
	name = "_perpetuo" + (s.get_config_var("EXT_SUFFIX") if free else ".abi3.so"); \
	os.path.exists(i + "/Python.h") and print(i, name, "free" if free else "gil")
PY_SRC := $(wildcard pyext/src/*.c)
PY_INFO := $(if $(PY_SRC),$(shell $(PYTHON) -c '$(PY_QUERY)' 2>/dev/null))
PY_SO := $(if $(PY_INFO),$(O)/python/perpetuo/$(word 2,$(PY_INFO)))
PY_TAG := $(word 2,$(subst ., ,$(word 2,$(PY_INFO))))
PY_OBJ := $(PY_SRC:pyext/src/%.c=$(O)/pyext/$(PY_TAG)/%.o)
PY_FILES := $(patsubst pyext/%,$(O)/python/%,$(wildcard pyext/perpetuo/*.py \
	pyext/perpetuo/*.pyi pyext/perpetuo/py.typed))
# The limited API serves every interpreter that has a GIL; free-threaded ones have none.
PY_FLAGS := -std=gnu11 $(OPT) -fPIC -fvisibility=hidden $(WARNINGS) $(C_WARNINGS) -I. \
	$(if $(filter gil,$(PY_INFO)),-DPy_LIMITED_API=0x03090000) \
	-isystem $(word 1,$(PY_INFO)) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong $(CFLAGS)

# ---- rules ---------------------------------------------------------------------------------------

.PHONY: all extension tests check fuzz fuzz-run bench install install-python uninstall clean help FORCE
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(LIB) $(LOADER) extension

help:
	@sed -n 's/^#: \?//p' Makefile

# A change of compiler or flags rebuilds what was made with the old ones.
stamp = @mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@
$(O)/.flags: FORCE
	$(call stamp,$(CC) $(CXX) $(C_FLAGS) $(CXX_FLAGS) $(LD_FLAGS))
$(O)/.flags-bpf: FORCE
	$(call stamp,$(CLANG) $(BPFTOOL) $(BPF_FLAGS))
$(O)/.flags-python: FORCE
	$(call stamp,$(CC) $(PYTHON) $(PY_FLAGS))

$(LIB_OBJ) $(O)/user/main.o: $(O)/%.o: %.c $(O)/.flags | $(GENERATED)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(C_FLAGS) $(DEPS) -c -o $@ $<

# Rows of a table, by the machine's own numbers: user/proc/syscall.c.
$(O)/syscall_names.h: $(O)/.flags
	$(call say,GEN,$@)
	$(Q)echo '#include <sys/syscall.h>' | $(CC) -E -dM - | \
		sed -n 's/^#define SYS_\([a-z0-9_]*\) .*/[SYS_\1] = "\1",/p' | LC_ALL=C sort > $@

# Appended, not replaced: folders may hold files of the same name.
$(O)/libperpetuo.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) qcs $@ $^

$(O)/perpetuo-bpf: $(O)/user/main.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(C_FLAGS) $(LD_FLAGS) -o $@ $^ $(LIBS)

$(O)/%.bpf.o: %.bpf.c $(O)/.flags-bpf
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_FLAGS) $(DEPS) -c -o $@ $<

$(O)/perpetuo.bpf.o: $(BPF_OBJ)
	$(call say,BPFLINK,$@)
	$(if $(BPFTOOL),,$(error bpftool is missing; 'sudo scripts/install-deps.sh build' installs what is needed))
	$(Q)$(BPFTOOL) gen object $@ $^

$(O)/perpetuo.skel.h: $(O)/perpetuo.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name perpetuo > $@

extension: $(PY_SO) $(PY_FILES)
	$(if $(PY_SRC),$(if $(PY_SO),,@echo "  SKIP    extension: $(PYTHON) is missing or has no Python.h (python3-dev)"))

$(PY_OBJ): $(O)/pyext/$(PY_TAG)/%.o: pyext/src/%.c $(O)/.flags-python
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PY_FLAGS) $(DEPS) -c -o $@ $<

$(PY_SO): $(PY_OBJ)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PY_FLAGS) -shared -Wl,-z,relro,-z,now $(LDFLAGS) -o $@ $^

$(PY_FILES): $(O)/python/%: pyext/%
	$(call say,COPY,$@)
	$(Q)install -D -m 644 $< $@

tests: $(UNIT_C) $(UNIT_CXX) $(TARGETS)

$(UNIT_C): $(O)/%: %.c $(LIB) $(O)/.flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(C_FLAGS) -Itests/lib $(DEPS) -MF $@.d -MT $@ $(LD_FLAGS) -o $@ $< $(LIB) $(LIBS)

$(UNIT_CXX): $(O)/%-cpp: %.cpp $(LIB) $(O)/.flags
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CXX_FLAGS) -Itests/lib $(DEPS) -MF $@.d -MT $@ $(LD_FLAGS) -o $@ $< $(LIB) $(LIBS)

# Targets are ordinary programs that get watched: no sanitizer in them. One exports an interpreter.
$(O)/tests/targets/liar: LDFLAGS += -rdynamic
$(TARGETS): $(O)/%: %.c $(O)/.flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(OPT) $(WARNINGS) $(C_WARNINGS) $(CPPFLAGS) $(CFLAGS) \
		$(DEPS) -MF $@.d -MT $@ $(LDFLAGS) -o $@ $< -lpthread

check: all tests
	@tests/run --build $(O) $(TESTS)

bench: all tests
	@tests/bench/run --build $(O)

# ---- fuzzing: the library once more, with clang's coverage and sanitizers ------------------------

FUZZ_FLAGS := -std=gnu11 -O1 -g $(WARNINGS) $(C_WARNINGS) $(CPPFLAGS) -fno-omit-frame-pointer
FUZZ_FLAGS += -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_OBJ := $(LIB_SRC:%.c=$(O)/fuzz/%.o)

fuzz: $(FUZZERS)

fuzz-run: fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run --build $(O) fuzz

$(FUZZ_OBJ): $(O)/fuzz/%.o: %.c $(O)/.flags | $(GENERATED)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(DEPS) -c -o $@ $<

$(O)/fuzz/libperpetuo.a: $(FUZZ_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) qcs $@ $^

$(FUZZERS): $(O)/fuzz/%: tests/fuzz/%.c $(if $(LIB),$(O)/fuzz/libperpetuo.a) $(O)/.flags
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -Itests/lib -fsanitize=fuzzer $(DEPS) -MF $@.d -MT $@ \
		-o $@ $< $(filter %.a,$^) $(LIBS)

# ---- installation --------------------------------------------------------------------------------

MAN := $(wildcard user/perpetuo-bpf.8)
COMPLETION := $(wildcard scripts/completion/perpetuo-bpf.bash)

install: $(LOADER)
	$(if $(LOADER),$(Q)install -D -m 755 $(LOADER) $(DESTDIR)$(BINDIR)/perpetuo-bpf)
	$(if $(MAN),$(Q)install -D -m 644 $(MAN) $(DESTDIR)$(MANDIR)/perpetuo-bpf.8)
	$(if $(COMPLETION),$(Q)install -D -m 644 $(COMPLETION) $(DESTDIR)$(COMPLETIONDIR)/perpetuo-bpf)

PYTHONDIR ?= $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
install-python: extension
	$(if $(PY_SO),,$(error $(PYTHON) has no extension to install: see 'make extension'))
	$(Q)install -d $(DESTDIR)$(PYTHONDIR)/perpetuo
	$(Q)install -m 755 $(PY_SO) $(DESTDIR)$(PYTHONDIR)/perpetuo/
	$(Q)install -m 644 $(PY_FILES) $(DESTDIR)$(PYTHONDIR)/perpetuo/

uninstall:
	$(Q)rm -f $(DESTDIR)$(BINDIR)/perpetuo-bpf $(DESTDIR)$(MANDIR)/perpetuo-bpf.8 \
		$(DESTDIR)$(COMPLETIONDIR)/perpetuo-bpf

# Only what this Makefile made: O may have been mistyped.
clean:
	$(Q)if [ -e '$(O)/.flags' ] || [ -e '$(O)/.flags-python' ]; then rm -rf -- '$(O)'; fi

-include $(LIB_OBJ:.o=.d) $(O)/user/main.d $(BPF_OBJ:.o=.d) $(PY_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d)
-include $(UNIT_C:=.d) $(UNIT_CXX:=.d) $(TARGETS:=.d) $(FUZZERS:=.d)
