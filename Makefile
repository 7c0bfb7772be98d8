# SPDX-License-Identifier: MIT
# CLLM.  `make help` lists the targets.  Objects go to build/<CONFIG>/, the command to ./cllm.
#
# Variables: CC, CONFIG (the folder below build/), OPT, OPENMP, SANITIZE, PREFIX, DESTDIR, and the usual CPPFLAGS, CFLAGS,
# LDFLAGS, LDLIBS, which come after ours; JOBS (test programs at a time); DEVELOPER=1 makes warnings errors, V=1 shows whole command lines.  A change of
# compiler or flags rebuilds.

CONFIG ?= release
CC     ?= cc
PREFIX ?= /usr/local
B      := build/$(CONFIG)

VERSION  := $(shell cat VERSION)
MODULES  := base topology runtime kernels ops formats tokenizer data model train infer
LIB_SRC  := $(foreach m,$(filter-out kernels,$(MODULES)),$(wildcard src/$(m)/*.c)) $(wildcard src/kernels/*.c)
APP_SRC  := $(wildcard app/*.c) app/peers/gomp.c
TEST_SRC := $(wildcard tests/*/test_*.c)
HEADERS  := $(wildcard include/*/*.h)

# help, clean and the scripts must run where nothing is installed; everything else says in one sentence what is missing.
comma := ,
ifneq (,$(filter-out help clean test demo,$(or $(MAKECMDGOALS),all)))
MISSING := $(if $(shell command -v $(firstword $(CC)) 2>&1),,$(patsubst cc,gcc,$(firstword $(CC)))) \
           $(if $(shell command -v pkg-config 2>&1),,pkg-config)
ifeq (,$(strip $(MISSING)))
MISSING := $(foreach p,jansson:libjansson-dev hwloc:libhwloc-dev zlib:zlib1g-dev libdeflate:libdeflate-dev libutf8proc:libutf8proc-dev,\
             $(shell pkg-config --exists $(firstword $(subst :, ,$p)) || echo $(lastword $(subst :, ,$p)))) \
           $(shell echo 'int main(void){return 0;}' | $(CC) -x c -o /dev/null - >/dev/null 2>&1 || echo libc6-dev)
endif
ifneq (,$(strip $(MISSING)))
$(error Missing packages: $(strip $(MISSING)); on Debian or Ubuntu 'scripts/setup build' installs what is needed$(comma) or \
type: apt-get install $(strip $(MISSING)))
endif
MACHINE := $(shell $(CC) -dumpmachine)
PKGS    := jansson hwloc zlib libdeflate libutf8proc
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS))
endif

ALL_CPPFLAGS := -I. -Iinclude -Isrc -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCLLM_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS)
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wconversion -Wno-sign-conversion $(if $(DEVELOPER),-Werror)
# Numbers first: no contraction to FMA behind our back, no value-changing liberties.  docs/numerics.md says why.
NUMERICS := -ffp-contract=off -fno-math-errno -fno-trapping-math
OPT      ?= -O2
OPENMP   ?= -fopenmp
ALL_CFLAGS  := -std=c17 $(OPT) -g $(WARN) $(NUMERICS) -pthread $(SANITIZE) $(CFLAGS)
ALL_LDFLAGS := -pthread $(SANITIZE) $(LDFLAGS)
ALL_LIBS    := $(PKG_LIBS) -lm $(LDLIBS)

# One folder of src/kernels per instruction set, for the machines that can have it: flags.mk holds its compiler flags,
# simd.h its vectors, bf16.h its pairs of bf16.  Every source in src/kernels/common is compiled once for each; those with
# bf16 in their names also for the levels that only add bf16 units.  A source of that name in the folder itself comes before.
ISAS       := portable $(if $(findstring x86_64,$(MACHINE)),avx2 avx512)
BF16_ISAS  := $(ISAS) $(if $(findstring x86_64,$(MACHINE)),avx512bf16 amx)
BF16_SRC   := $(notdir $(wildcard src/kernels/common/*bf16*.c))
KERNEL_SRC := $(filter-out $(BF16_SRC),$(notdir $(wildcard src/kernels/common/*.c)))
LIB_OBJ    := $(LIB_SRC:%.c=$(B)/%.o) $(foreach i,$(ISAS),$(KERNEL_SRC:%.c=$(B)/src/kernels/$(i)/%.o)) \
              $(foreach i,$(BF16_ISAS),$(BF16_SRC:%.c=$(B)/src/kernels/$(i)/%.o))
APP_OBJ    := $(APP_SRC:%.c=$(B)/%.o)
TEST_BIN   := $(TEST_SRC:%.c=$(B)/%)
LIB        := $(B)/libcllm.a
CORPUS     := $(B)/data/generate_corpus

ifndef V
SAY = @printf '  %-5s %s\n'
Q   = @
endif
# So many test programs at a time: most use two threads for a part of their time.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n < 4 ? n : 4)))
RUN_TESTS = JOBS=$(JOBS) sh scripts/run_tests

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all check check-all check-units model-check life-check crash-check hdr-check layer-check test demo bench asan ubsan asan-ubsan tsan valgrind install cllm-bench clean check-aarch64 fuzz help \
        have-check FORCE

all: cllm ## Build the command ./cllm and build/release/libcllm.a

cllm: $(B)/cllm
	@cmp -s $< $@ || { cp -f $< $@.new && mv -f $@.new $@; }

$(B)/cllm: $(APP_OBJ) $(LIB)
	$(SAY) LINK $@
	$(Q)$(CC) $(ALL_LDFLAGS) $(OPENMP) -o $@ $(APP_OBJ) $(LIB) $(ALL_LIBS)

$(LIB): $(LIB_OBJ)
	$(SAY) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(CFLAGS_$(subst /,_,$*)) -MMD -MP -c -o $@ $<

# The OpenMP back end and its yardstick are the only files that need the compiler's OpenMP.
CFLAGS_src_runtime_team_openmp := $(OPENMP)
CFLAGS_app_peers_gomp := $(OPENMP)

# Conversions of whole files, element by element: gcc vectorises them at -O3 only.
CFLAGS_src_formats_tensor_type := $(if $(SANITIZE),,-O3)

# Most of a fuzzer's time on tokenizers would go into telling it of comparisons that fill tables.
ifneq (,$(findstring fuzzer,$(SANITIZE)))
$(foreach f,$(wildcard src/tokenizer/*.c),$(eval CFLAGS_$(subst /,_,$(f:.c=)) := -fno-sanitize-coverage=trace-cmp))
endif

# gcc vectorises loops over 16 lanes at -O3; clang does at -O2, where it also keeps the product's accumulators in
# registers (at -O3 it spills them, 46 GFLOP/s instead of 114).  Under sanitizers each operation on vectors is a call, since
# gcc would take minutes a file; clang does for the tiles of AVX-512 only, and what it inlines takes a third of the time.
CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
SANITIZED_KERNELS = $(if $(CLANG),-Wno-pass-failed) -O1 \
    $(if $(and $(CLANG),$(filter portable avx2,$(1)),$(if $(findstring fuzzer,$(SANITIZE)),,yes)),,-fno-inline -DSIMD_CALLS)
KERNEL_CFLAGS = $(if $(SANITIZE),$(SANITIZED_KERNELS),$(if $(CLANG),-O2,-O3))
define isa_rule
$(B)/src/kernels/$(1)/%.o: src/kernels/$(2)/%.c src/kernels/$(1)/flags.mk $(B)/flags
	@mkdir -p $$(@D)
	$$(SAY) CC $$@
	$$(Q)$$(CC) $$(ALL_CPPFLAGS) $$(ALL_CFLAGS) $(KERNEL_CFLAGS) $$(ISA_FLAGS_$(1)) -DISA=$(1) -include src/kernels/$(1)/simd.h \
	    $$(if $$(findstring bf16,$$*),-include src/kernels/$(1)/bf16.h) -MMD -MP -c -o $$@ $$<
endef
include $(foreach i,$(BF16_ISAS),src/kernels/$(i)/flags.mk)
$(foreach i,$(BF16_ISAS),$(eval $(call isa_rule,$(i),$(i)))$(eval $(call isa_rule,$(i),common)))

# PCRE2 is what the splitters of tokenizers are held against; without it that test says so and passes.
PCRE2 := $(shell pkg-config --exists libpcre2-8 2>/dev/null && echo -DHAVE_PCRE2 && pkg-config --cflags --libs libpcre2-8)

$(B)/tests/%: tests/%.c $(LIB) $(B)/flags | have-check
	@mkdir -p $(@D)
	$(SAY) TEST $@
	$(Q)$(CC) $(ALL_CPPFLAGS) -Itests $(ALL_CFLAGS) $(OPENMP) $(ALL_LDFLAGS) -MMD -MP -o $@ $< $(LIB) $$(pkg-config --cflags --libs check) $(if $(findstring test_split,$@),$(PCRE2)) $(ALL_LIBS)

$(CORPUS): data/generate_corpus.c $(LIB) $(B)/flags
	@mkdir -p $(@D)
	$(SAY) LINK $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -o $@ $< $(B)/libcllm.a $(ALL_LIBS)

# Rewritten only when the compiler or a flag is another than last time; every object depends on it.
$(B)/flags: FORCE
	@$(shell mkdir -p $(@D))$(file >$@.new,$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(KERNEL_CFLAGS) $(ALL_LDFLAGS) $(OPENMP) $(ALL_LIBS))\
	if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

-include $(shell find $(B) -name '*.d' 2>/dev/null)

have-check:
	@pkg-config --exists check || { echo "Missing package: check; 'scripts/setup test' installs it, or type: apt-get install check"; exit 1; }

##                 Checking
test: ## Set up, build and run the whole suite (scripts/test)
	@scripts/test
demo: ## Set up, build, train on real text for a minute and show what came of it (scripts/demo)
	@scripts/demo

# What `check` runs: unit tests, a binary each, the longest first; the command line, a case each; the program in docs/, the
# generator, layers, headers.
LONGEST := $(B)/tests/train/test_one_hash $(B)/tests/crash/test_crash
UNITS := $(LONGEST) $(filter-out $(LONGEST),$(TEST_BIN))
CASES := $(wildcard tests/cli/cases/*.sh)
WHOLE := $(foreach c,$(CASES),"tests/cli/run.sh $(B)/cllm $(basename $(notdir $(c)))") "tests/docs/run.sh $(CONFIG)" "tests/corpus/run.sh $(CORPUS)" \
         "python3 scripts/check_layers.py" "$(MAKE) --no-print-directory -s CONFIG=$(CONFIG) hdr-check"

check: $(TEST_BIN) $(CORPUS) $(B)/cllm ## Build and run every test; the last line is "N passed, N failed"
	@$(RUN_TESTS) $(UNITS) $(WHOLE)

SKIPPED := $(foreach m,$(SKIP_MODULES),$(B)/tests/$(m)/%)
check-units: $(filter-out $(SKIPPED),$(UNITS)) # SKIP_MODULES: those whose tests are left out
	@$(RUN_TESTS) $(filter-out $(SKIPPED),$(UNITS))

hdr-check: ## Each public header compiles alone, and twice
	@passed=0 failed=0; for h in $(HEADERS:include/%=%); do \
	    if printf '#include "%s"\n#include "%s"\n' $$h $$h | $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -Werror -fsyntax-only -x c -; \
	    then passed=$$((passed + 1)); else failed=$$((failed + 1)); echo "$$h does not compile alone"; fi; \
	done; echo "$$passed passed, $$failed failed"; test $$failed = 0

check-all: check model-check life-check crash-check ## All of check, the models of the thread runtime, ten thousand pools, and every crash

life-check: $(B)/tests/runtime/test_pool_life ## Ten thousand pools made, started and stopped
	@CLLM_TEST_CYCLES=10000 CK_DEFAULT_TIMEOUT=300 $(RUN_TESTS) $<

# It kills and misleads the command itself.  Its cases, the last in slices of about a minute, so that they are seen to get on.
CRASH_CASES  := kill-save kill-run kill-random fail-once fail-a-while fail-for-good short
CRASH_SLICES := $(foreach k,$(shell seq 16),$k/16)
$(B)/tests/crash/test_crash: | $(B)/cllm
crash-check: $(B)/tests/crash/test_crash ## cllm train killed at every call that changes a file and at 200 random moments; each such call failing, each request for memory
	@CLLM_TEST_CRASH=all CK_DEFAULT_TIMEOUT=7200 $(RUN_TESTS) $(CRASH_CASES:%="env CK_RUN_CASE=% $<") \
	    $(CRASH_SLICES:%="env CK_RUN_CASE=memory CLLM_TEST_CRASH_SLICE=% $<")

model-check: ## Every interleaving of src/runtime/*.pml (needs Debian's spin)
	@scripts/model_check

check-aarch64: ## The portable kernels on 64-bit Arm, under qemu-user: the same checks and the same bits
	@scripts/check_aarch64

layer-check: ## Includes obey scripts/layers.txt
	@python3 scripts/check_layers.py

# The + hands make's jobs down, which a $(MAKE) in a variable does not.
SANITIZER = +@$(MAKE) --no-print-directory CONFIG=$@ $(if $(CLANG),OPT=-O1) CPPFLAGS=-DDEBUG_ASSERT
asan: ## AddressSanitizer build (build/asan) and the tests under it
	$(SANITIZER) SANITIZE='-fsanitize=address -fno-omit-frame-pointer' check
ubsan: ## UndefinedBehaviorSanitizer, likewise
	$(SANITIZER) SANITIZE='-fsanitize=undefined -fno-sanitize-recover=all' check
asan-ubsan: ## Both in one build
	$(SANITIZER) SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' check
# Their tests start no threads, so ThreadSanitizer has nothing to see in them.
SERIAL_MODULES := formats fuzz kernels tokenizer
tsan: ## ThreadSanitizer, unit tests on the pthread back end (OpenMP runtimes are opaque to it)
	$(SANITIZER) SANITIZE=-fsanitize=thread CLLM_TEST_BACKENDS=pthread SKIP_MODULES='$(SERIAL_MODULES)' check-units
tsan: export CLLM_TEST_BACKENDS := pthread
asan ubsan asan-ubsan tsan: export CK_TIMEOUT_MULTIPLIER ?= 20
asan ubsan asan-ubsan tsan: export CLLM_TEST_SANITIZED := 1
# What LLVM's OpenMP runtime has not given back when a process ends is its own affair.
asan asan-ubsan: export LSAN_OPTIONS ?= suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0

# libFuzzer on one parser of tests/fuzz/parsers.h, from its good files and its corpus, until FUZZ_FLAGS say stop; the inputs it keeps
# are in build/fuzz/TARGET, from where the next run goes on, and one that fails lies beside it.  Words to put in are the
# texts in the parsers' sources.
FUZZ_FLAGS ?= -max_total_time=60
FUZZ_BYTES := config=1500 tokenizer=1500 chat=1500 shards=400 encoder=160 safetensors=500 gguf=5000 llmc=3000
FUZZ_BUILD := $(MAKE) --no-print-directory CONFIG=fuzz CC='$(if $(findstring clang,$(CC)),$(CC),clang)' \
              SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
fuzz: ## libFuzzer (clang) on TARGET=NAME, one of PARSERS in tests/fuzz/parsers.h; FUZZ_FLAGS are its options
	@test -n '$(TARGET)' || { echo "make fuzz TARGET=NAME: which of PARSERS in tests/fuzz/parsers.h?"; exit 2; }
	@$(MAKE) --no-print-directory build/release/tests/fuzz/test_parsers
	@$(FUZZ_BUILD) build/fuzz/fuzz_$(TARGET)
	@mkdir -p build/fuzz/$(TARGET) build/fuzz/$(TARGET).seeds
	@build/release/tests/fuzz/test_parsers --seeds build/fuzz/$(TARGET).seeds $(TARGET)
	@grep -rohE '"[A-Za-z_][A-Za-z0-9_.]{2,40}"' src/formats src/tokenizer src/model | sort -u >build/fuzz/words.dict
	ASAN_OPTIONS=malloc_context_size=0:quarantine_size_mb=2:thread_local_quarantine_size_kb=64 build/fuzz/fuzz_$(TARGET) \
	    -max_len=$(or $(patsubst $(TARGET)=%,%,$(filter $(TARGET)=%,$(FUZZ_BYTES))),1000) -dict=build/fuzz/words.dict \
	    -artifact_prefix=build/fuzz/$(TARGET)- $(FUZZ_FLAGS) build/fuzz/$(TARGET) build/fuzz/$(TARGET).seeds

$(B)/fuzz_%: tests/fuzz/test_parsers.c $(LIB) $(B)/flags
	$(SAY) FUZZ $@
	$(Q)$(CC) $(ALL_CPPFLAGS) -Itests $(ALL_CFLAGS) -Wno-unused-function -fsanitize=fuzzer -DFUZZ=$* $(ALL_LDFLAGS) -MMD -MP -o $@ $< $(LIB) $(ALL_LIBS)

# Slow by a factor of fifty, so the modules that take foreign bytes and own memory, the pool, and one small training as
# a whole.
# Without test_detmath: its references are 80-bit floats, which valgrind computes in 64.
VALGRIND_MODULES ?= base formats tokenizer data
VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite
VALGRIND_POOL := $(foreach t,pool pool_life pool_waiting future gang victims,$(B)/tests/runtime/test_$t)
VALGRIND_UNITS := $(filter-out %/test_detmath,$(foreach m,$(VALGRIND_MODULES),$(filter $(B)/tests/$(m)/%,$(TEST_BIN)))) \
                  $(filter $(VALGRIND_POOL),$(TEST_BIN))
valgrind: $(VALGRIND_UNITS) $(B)/cllm ## valgrind on a small set (VALGRIND_MODULES) and on a small training
	@status=0; \
	CLLM_TEST_VALGRIND=1 CK_TIMEOUT_MULTIPLIER=50 CLLM_TEST_BACKENDS=pthread CLLM_TEST_SANITIZED=1 WRAP='$(VALGRIND)' $(RUN_TESTS) $(VALGRIND_UNITS) || status=1; \
	$(RUN_TESTS) 'tests/cli/valgrind.sh $(B)/cllm' || status=1; exit $$status

##                 Measuring
# The command with yardsticks in it that are no part of the command people install: each where it is installed.
CXX   ?= c++
PEERS := $(if $(shell command -v $(firstword $(CXX)) 2>/dev/null),$(shell pkg-config --exists tbb && echo tbb))
PEER_LIBS_tbb := -ltbb
PEER_FLAGS = $(if $(wildcard $(addsuffix /dnnl.h,/usr/include /usr/local/include)),-DWITH_ONEDNN -ldnnl) \
             $(if $(shell pkg-config --exists openblas && echo yes),-DWITH_OPENBLAS $(shell pkg-config --cflags --libs openblas))
cllm-bench: $(B)/cllm-bench ## build/release/cllm-bench: the command with oneTBB, oneDNN and OpenBLAS in `bench`, where they are installed
$(B)/cllm-bench: $(filter-out %/bench_gemm_peers.o,$(APP_OBJ)) $(B)/bench/bench_gemm_peers.o $(PEERS:%=$(B)/app/peers/%.o) $(LIB)
	$(SAY) LINK $@
	$(Q)$(if $(PEERS),$(CXX),$(CC)) $(ALL_LDFLAGS) $(OPENMP) -o $@ $(filter %.o,$^) $(LIB) $(ALL_LIBS) $(foreach p,$(PEERS),$(PEER_LIBS_$(p))) $(PEER_FLAGS)

$(B)/bench/%.o: app/%.c $(B)/flags
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(filter -D% -I%,$(PEER_FLAGS)) -MMD -MP -c -o $@ $<

$(B)/app/peers/%.o: app/peers/%.cpp $(B)/flags
	@mkdir -p $(@D)
	$(SAY) CXX $@
	$(Q)$(CXX) -std=c++17 -I. -Iinclude $(OPT) -g -Wall -Wextra -pthread $(SANITIZE) -MMD -MP -c -o $@ $<

bench: cllm ## Steps, barriers, products; PEER_256=, PEER_1024=PROGRAM add llm.c's trainer (scripts/bench says how)
	@PEER_256='$(PEER_256)' PEER_1024='$(PEER_1024)' scripts/bench

##                 Installing
install: $(B)/cllm $(LIB) ## Command, library, headers, man page and cllm.pc below PREFIX (DESTDIR is put before it)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(B)/cllm $(DESTDIR)$(PREFIX)/bin/cllm
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/libcllm.a
	for h in $(HEADERS:include/%=%); do install -D -m 644 include/$$h $(DESTDIR)$(PREFIX)/include/cllm/$$h || exit; done
	install -m 644 docs/cllm.1 $(DESTDIR)$(PREFIX)/share/man/man1/cllm.1
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@PKGS@|$(PKGS)|' -e 's|@OPENMP@|$(OPENMP)|' \
	    scripts/cllm.pc.in > $(B)/cllm.pc
	install -m 644 $(B)/cllm.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/cllm.pc

clean: ## Remove build/ and ./cllm
	rm -rf build cllm

help: ## This list
	@awk -F ':.*## ' '/^##  /{sub(/^## +/, ""); print "\n" $$0} /^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo; echo "  CC=clang, OPT=-O3, DEVELOPER=1 (warnings are errors), V=1 (whole command lines), CONFIG=NAME (build/NAME)"
