/* SPDX-License-Identifier: MIT
 * topology/isa.h - which instruction sets this CPU and this operating system give us.
 */
#ifndef TOPOLOGY_ISA_H
#define TOPOLOGY_ISA_H

#include "base/status.h"

enum isa { ISA_PORTABLE, ISA_AVX2, ISA_AVX512, ISA_COUNT }; /* ordered: a later one includes the earlier ones */

const char *isa_name(enum isa isa); /* "portable", "avx2", "avx512" */

/* The best level that CPU and OS support (CPUID and XCR0). */
enum isa isa_best(void);

/* The level to use: isa_best, or what the environment's CLLM_ISA names when that is lower.  An unknown name, or one
 * this CPU cannot do, is STATUS_CONFIG with the names that would work. */
enum status isa_choose(enum isa *out, struct error *err);

#endif
