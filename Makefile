# SPDX-License-Identifier: MIT
# CLLM.  `make help` lists the targets.  Objects go to build/<CONFIG>/, the command to ./cllm.

CONFIG ?= release
CC     ?= cc
PREFIX ?= /usr/local
B      := build/$(CONFIG)

VERSION  := $(shell cat VERSION)
MODULES  := base topology runtime kernels ops formats tokenizer data model train infer
LIB_SRC  := $(foreach m,$(filter-out kernels,$(MODULES)),$(wildcard src/$(m)/*.c)) $(wildcard src/kernels/*.c)
APP_SRC  := $(wildcard app/*.c)
TEST_SRC := $(wildcard tests/*/test_*.c)
ISAS     := portable
ifneq (,$(findstring x86_64,$(shell $(CC) -dumpmachine)))
ISAS     += avx2 avx512
endif

PKGS     := jansson hwloc zlib
CPPFLAGS += -I. -Iinclude -Isrc -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCLLM_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wconversion -Wno-sign-conversion $(if $(DEVELOPER),-Werror)
# Numbers first: no contraction to FMA behind our back, no value-changing liberties.  docs/numerics.md says why.
NUMERICS := -ffp-contract=off -fno-math-errno -fno-trapping-math
OPT      ?= -O2
CFLAGS   += -std=c17 $(OPT) -g $(WARN) $(NUMERICS) -pthread $(SANITIZE)
LDFLAGS  += -pthread $(SANITIZE)
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null || echo -ljansson -lhwloc -lz) -lm
OPENMP   ?= -fopenmp

KERNEL_SRC := $(wildcard src/kernels/common/*.c)
LIB_OBJ    := $(LIB_SRC:%.c=$(B)/%.o) $(foreach i,$(ISAS),$(KERNEL_SRC:src/kernels/common/%.c=$(B)/src/kernels/$(i)/%.o))
APP_OBJ    := $(APP_SRC:%.c=$(B)/%.o)
TEST_BIN   := $(TEST_SRC:%.c=$(B)/%)
LIB        := $(B)/libcllm.a

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: cllm ## Build the command ./cllm (and build/release/libcllm.a)

cllm: $(B)/cllm
	@cp -f $< $@

$(B)/cllm: $(APP_OBJ) $(LIB)
	$(CC) $(LDFLAGS) $(OPENMP) -o $@ $(APP_OBJ) $(LIB) $(LDLIBS)

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(CFLAGS_$(subst /,_,$*)) -MMD -MP -c -o $@ $<

# The OpenMP back end is the only file that needs the compiler's OpenMP.
CFLAGS_src_runtime_team_openmp := $(OPENMP)

# Every source in src/kernels/common is compiled once per ISA folder: its flags.mk holds the flags, its simd.h the vectors.
KERNEL_CFLAGS := -O3 -fno-math-errno -fno-trapping-math
define isa_rule
include src/kernels/$(1)/flags.mk
$(B)/src/kernels/$(1)/%.o: src/kernels/common/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$(CFLAGS) $$(KERNEL_CFLAGS) $$(ISA_FLAGS_$(1)) -DISA=$(1) -include src/kernels/$(1)/simd.h -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

$(B)/tests/%: tests/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(OPENMP) $(LDFLAGS) -MMD -MP -o $@ $< $(LIB) $(shell pkg-config --cflags --libs check) $(LDLIBS)

-include $(shell find build -name '*.d' 2>/dev/null)
