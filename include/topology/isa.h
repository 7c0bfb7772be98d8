/* SPDX-License-Identifier: MIT
 * topology/isa.h - which instruction sets this CPU and this operating system give us.
 */
#ifndef TOPOLOGY_ISA_H
#define TOPOLOGY_ISA_H

#include "base/status.h"

/* Ordered: a later one includes the earlier ones.  The last two add units for bf16 and change nothing in f32. */
enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_AVX512BF16, ISA_AMX, ISA_COUNT };

const char *isa_name(enum isa isa); /* "portable", "avx2", "avx512", "avx512bf16", "amx" */

/* The best level that CPU and OS support (CPUID, XCR0, and for AMX the kernel's leave to use its tile registers, which
 * the first call asks for, for the whole process). */
enum isa isa_best(void);

/* What this CPU or system lacks for the level, as a phrase ("this CPU has no AVX512_BF16"); NULL when it lacks nothing.
 * A constant. */
const char *isa_missing(enum isa isa);

/* The level to use: isa_best, or what the environment's CLLM_ISA names when that is lower.  An unknown name, or one
 * this CPU cannot do, is STATUS_CONFIG with the names that would work. */
enum status isa_choose(enum isa *out, struct error *err);

#endif
